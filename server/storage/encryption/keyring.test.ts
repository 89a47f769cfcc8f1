import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { newUploadId } from '../../uploads/id.ts'
import { Keyring, newDataKey } from './keyring.ts'

const old = { id: '2025', key: randomBytes(32) }
const now = { id: '2026', key: randomBytes(32) }
const away = { code: 'store_unavailable' }

test('a data key opens with the key that wrapped it, also when another one is current by now', () => {
  const upload = newUploadId()
  const dataKey = newDataKey()
  const wrapped = new Keyring([old]).wrap(upload, dataKey)
  assert.notEqual(new Keyring([old]).wrap(upload, dataKey), wrapped, 'a new salt each time')
  const both = new Keyring([now, old])
  assert.ok(both.unwrap('2025', upload, wrapped).equals(dataKey))
  const again = both.rewrap('2025', upload, wrapped)
  assert.ok(new Keyring([now]).unwrap('2026', upload, again).equals(dataKey))
  assert.equal(wrapped.length, 86, '64 bytes: salt, key and tag')
})

test('it does not open with a key that is not listed, nor with another one of that name, nor for another upload', () => {
  const upload = newUploadId()
  const ring = new Keyring([now])
  const wrapped = ring.wrap(upload, newDataKey())
  assert.throws(() => new Keyring([old]).unwrap('2026', upload, wrapped), {
    ...away,
    message: /"2026".*ENCRYPTION_KEYS/,
  })
  assert.throws(() => new Keyring([]).unwrap('2026', upload, wrapped), away)
  assert.throws(() => new Keyring([{ ...old, id: '2026' }]).unwrap('2026', upload, wrapped), away)
  assert.throws(() => ring.unwrap('2026', newUploadId(), wrapped), away)
})

test('whichever byte of it is flipped, it does not open', () => {
  const upload = newUploadId()
  const ring = new Keyring([now])
  const wrapped = Buffer.from(ring.wrap(upload, newDataKey()), 'base64url')
  for (let n = 0; n < wrapped.length; n++) {
    const flipped = Buffer.from(wrapped)
    flipped[n] = (flipped[n] ?? 0) ^ 1
    assert.throws(() => ring.unwrap('2026', upload, flipped.toString('base64url')), away)
  }
  assert.throws(() => ring.unwrap('2026', upload, wrapped.subarray(1).toString('base64url')), away)
  assert.throws(() => ring.unwrap('2026', upload, ''), away)
})
