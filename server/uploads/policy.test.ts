import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from './errors.ts'
import { newUploadId } from './id.ts'
import { rowToBe } from './new-row.ts'
import { ACTIONS, type Action, listedOwner, POLICY, requireAccess, requireRole } from './policy.ts'
import type { Principal, Role, Upload } from './words.ts'

const ROLES: readonly Role[] = ['uploader', 'reader', 'operator', 'admin']

const caller = (...roles: Role[]): Principal => ({ subject: 'me', tenant: 'here', roles })
const upload = (tenant: string, owner: string): Upload =>
  rowToBe({ id: newUploadId(), tenant, owner, length: 1, lengthDeferred: false, partBytes: 1 })

function verdict(run: () => unknown): string {
  try {
    run()
    return 'yes'
  } catch (error) {
    if (hasCode(error, 'forbidden', 'not_found')) return error.code
    throw error
  }
}

/** own / another owner's in the tenant. Another tenant's is not_found for everybody. */
const EXPECTED: Readonly<
  Record<Role, Readonly<Record<Exclude<Action, 'create' | 'list'>, readonly [string, string]>>>
> = {
  uploader: {
    append: ['yes', 'not_found'],
    inspect: ['yes', 'not_found'],
    terminate: ['yes', 'not_found'],
    record: ['forbidden', 'not_found'],
    download: ['forbidden', 'not_found'],
  },
  reader: {
    append: ['forbidden', 'not_found'],
    inspect: ['forbidden', 'not_found'],
    terminate: ['forbidden', 'not_found'],
    record: ['yes', 'not_found'],
    download: ['yes', 'not_found'],
  },
  operator: {
    append: ['forbidden', 'forbidden'],
    inspect: ['forbidden', 'forbidden'],
    terminate: ['forbidden', 'forbidden'],
    record: ['yes', 'yes'],
    download: ['forbidden', 'forbidden'],
  },
  admin: {
    append: ['yes', 'yes'],
    inspect: ['yes', 'yes'],
    terminate: ['yes', 'yes'],
    record: ['yes', 'yes'],
    download: ['yes', 'yes'],
  },
}

for (const role of ROLES) {
  test(`${role}: own uploads, another owner's, another tenant's`, () => {
    for (const action of ACTIONS) {
      if (action === 'create' || action === 'list') continue
      const asked = (one: Upload) => verdict(() => requireAccess(caller(role), action, one))
      const got = [asked(upload('here', 'me')), asked(upload('here', 'you'))]
      assert.deepEqual(got, EXPECTED[role][action], action)
      // The same owner name in another tenant is somebody else.
      assert.equal(asked(upload('there', 'me')), 'not_found', action)
    }
  })
}

test('roles add up, and no role may nothing', () => {
  const both = caller('uploader', 'operator')
  assert.equal(
    verdict(() => requireAccess(both, 'append', upload('here', 'me'))),
    'yes',
  )
  assert.equal(
    verdict(() => requireAccess(both, 'append', upload('here', 'you'))),
    'forbidden',
  )
  for (const action of ACTIONS) {
    assert.equal(
      verdict(() => requireRole(caller(), action)),
      'forbidden',
    )
    assert.match(
      verdict(() => requireAccess(caller(), action, upload('here', 'me'))),
      /forbidden/,
    )
  }
})

test('creating and administration by role', () => {
  const may = (action: Action | 'administer') =>
    ROLES.filter((role) => verdict(() => requireRole(caller(role), action)) === 'yes')
  assert.deepEqual(may('create'), ['uploader', 'admin'])
  assert.deepEqual(may('list'), ['reader', 'operator', 'admin'])
  assert.deepEqual(may('administer'), ['operator', 'admin'])
  assert.deepEqual(Object.keys(POLICY), ROLES)
})

test('a list is of the caller, except for those who see the tenant', () => {
  assert.equal(listedOwner(caller('reader'), undefined), 'me')
  assert.equal(listedOwner(caller('reader'), 'me'), 'me')
  assert.equal(
    verdict(() => listedOwner(caller('reader'), 'you')),
    'forbidden',
  )
  assert.equal(listedOwner(caller('operator'), undefined), undefined)
  assert.equal(listedOwner(caller('admin'), 'you'), 'you')
  assert.equal(
    verdict(() => listedOwner(caller('uploader'), undefined)),
    'forbidden',
  )
})
