/** Which keys the sweeper takes for ours; what it does with real stores: test/integration/orphans.test.ts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUploadId } from './id.ts'
import { DEFAULT_TEMPLATE } from './key-template.ts'
import { type KeyTemplate, newObjectKey } from './keys.ts'
import { type OrphanOptions, sweepOrphans } from './orphans.ts'
import type { ListedObject } from './ports/housekeeping.ts'

const BY_TENANT = '{prefix}/{tenant}/{id}/{token}'

/** A store of these keys and multipart uploads, a database without rows, and what went. */
async function swept(keys: readonly string[], template: KeyTemplate, change: Partial<OrphanOptions> = {}) {
  const listings: string[] = []
  const removed: string[] = []
  const counts = await sweepOrphans({
    inventory: {
      async *objects(prefix, after): AsyncGenerator<ListedObject> {
        listings.push(prefix)
        const listed = keys.filter((key) => key.startsWith(prefix) && key > after).sort()
        for (const key of listed) yield { key, bytes: 1, modifiedAt: 0 }
      },
      async *multiparts() {},
    },
    records: { rowsOf: async () => new Map() },
    store: { remove: async (gone) => void removed.push(...gone), abortMultipart: async () => {} },
    keys: template,
    minAgeMs: 0,
    windowMs: null,
    dryRun: false,
    found: () => {},
    stopping: () => false,
    ...change,
  })
  return {
    removed: removed.sort(),
    count: counts.object,
    listings: listings.filter((each) => !each.startsWith('tails')),
  }
}

const keysBy = (...objects: string[]): KeyTemplate => ({ prefix: 'up', tailPrefix: 'tails', objects })
const keyBy = (template: string) => newObjectKey(keysBy(template), { id: newUploadId(), tenant: 'acme' }, 1)

test('keys of the templates that are named are ours, and no others', async () => {
  const [now, before] = [keyBy(BY_TENANT), keyBy(DEFAULT_TEMPLATE)]
  const all = [now, before, 'up/acme/readme.txt', `up/acme/${newUploadId()}/notes.txt`, 'other/file']
  assert.deepEqual((await swept(all, keysBy(BY_TENANT))).removed, [now])
  assert.deepEqual((await swept(all, { prefix: 'up', tailPrefix: 'tails' })).removed, [before])
  const both = await swept(all, keysBy(BY_TENANT, DEFAULT_TEMPLATE))
  assert.deepEqual(both.removed, [now, before].sort())
  assert.equal((await swept(all, keysBy(BY_TENANT, BY_TENANT))).count, 1, 'none is counted twice')
})

test('a listing for each shard where that leaves old ones out, else one for all', async () => {
  const recent = { windowMs: 60_000 }
  assert.equal((await swept([], keysBy(DEFAULT_TEMPLATE), recent)).listings.length, 256)
  assert.deepEqual((await swept([], keysBy(BY_TENANT), recent)).listings, ['up/'])
  assert.deepEqual((await swept([], keysBy(DEFAULT_TEMPLATE))).listings, ['up/'], 'nothing to be left out')
})

test('uploads from before the window are left alone, in whatever order keys are listed', async () => {
  for (const template of [DEFAULT_TEMPLATE, BY_TENANT, '{prefix}/{id}/{token}']) {
    const key = keyBy(template)
    assert.equal((await swept([key], keysBy(template), { windowMs: -60_000 })).count, 0, template)
    assert.equal((await swept([key], keysBy(template), { windowMs: 60_000 })).count, 1, template)
  }
})
