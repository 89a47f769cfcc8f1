import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, loadConfig } from './load.ts'
import type { Env } from './values.ts'

const A = Buffer.alloc(32, 1).toString('base64')
const B = Buffer.alloc(32, 0xff).toString('base64')

const load = (more: Env) => loadConfig({ STORAGE: 's3', S3_BUCKET: 'uploads', ...more }, { embedded: true })

function faultOf(more: Env): string {
  try {
    load(more)
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    assert.equal(error.faults.length, 1, error.faults.join('\n'))
    return error.faults[0] ?? ''
  }
  return assert.fail('it was taken')
}

test('nothing is encrypted unless a key is given', () => {
  assert.deepEqual(load({}).encryption, { keys: [], encryptNew: false })
  assert.deepEqual(load({ ENCRYPT_NEW_UPLOADS: 'false' }).encryption, { keys: [], encryptNew: false })
})

test('the first key is the current one; base64 of either alphabet is taken', () => {
  const url = Buffer.alloc(32, 0xff).toString('base64url')
  assert.deepEqual(load({ ENCRYPTION_KEYS: `2026:${url}, 2025.old:${A}` }).encryption, {
    keys: [
      { id: '2026', secret: B },
      { id: '2025.old', secret: A },
    ],
    encryptNew: true,
  })
  const off = load({ ENCRYPTION_KEYS: `a:${A}`, ENCRYPT_NEW_UPLOADS: 'false' })
  assert.equal(off.encryption.encryptNew, false)
  assert.match(off.warnings.join(), /ENCRYPT_NEW_UPLOADS is false/)
})

test('what is wrong with the keys is said at once, and no key is shown', () => {
  const fault = faultOf({ ENCRYPTION_KEYS: `a:${A},a:${B},no name:${B},c:short,d` })
  assert.match(fault, /^ENCRYPTION_KEYS is \(value hidden\)/)
  for (const part of [
    'entry 3 has a name',
    'the key of entry 4 is no base64 of 32 bytes',
    'entry 5 has no form name:key',
    'a name comes twice',
    'a key comes twice',
    'openssl rand',
  ]) {
    assert.ok(fault.includes(part), `${part}: ${fault}`)
  }
  for (const secret of [A, B, 'short']) assert.ok(!fault.includes(secret))
  for (const wrong of ['a', 'a:', `:${A}`, `a:${A}:b`, `a:${A}x`, `a:${A},`, `${'x'.repeat(65)}:${A}`]) {
    assert.match(faultOf({ ENCRYPTION_KEYS: wrong }), /^ENCRYPTION_KEYS is/)
  }
})

test('links to the store, and encryption without a key, are refused', () => {
  const redirect = { ENCRYPTION_KEYS: `a:${A}`, DOWNLOADS: 'redirect' }
  assert.match(faultOf(redirect), /^DOWNLOADS is redirect, but with ENCRYPTION_KEYS/)
  assert.match(faultOf({ ENCRYPT_NEW_UPLOADS: 'true' }), /^ENCRYPT_NEW_UPLOADS is true, but ENCRYPTION_KEYS is not set/)
})
