import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { combineCrc32, combineCrc32s, crc32Base64, crc32OfChunks, parseCrc32Base64 } from './crc32.ts'

test('the check value of CRC-32 over any split into chunks', () => {
  assert.equal(crc32OfChunks([Buffer.from('12345'), Buffer.from('6789')]), 0xcbf43926)
  assert.equal(crc32OfChunks([]), 0)
  assert.equal(crc32OfChunks([Buffer.from('6789')], crc32('12345')), 0xcbf43926)
})

test('combining two CRCs is the CRC of the bytes joined', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.uint8Array({ maxLength: 3000 }), (a, b) => {
      const joined = Buffer.concat([a, b])
      assert.equal(combineCrc32(crc32(a), crc32(b), b.length), crc32(joined))
    }),
  )
})

test('combining many pieces, equal ones and a short last one', () => {
  const pieces = [65536, 65536, 65536, 1, 0, 777].map((bytes) => randomBytes(bytes))
  const parts = pieces.map((piece) => ({ bytes: piece.length, crc32: crc32(piece) }))
  assert.equal(combineCrc32s(parts), crc32(Buffer.concat(pieces)))
  assert.equal(combineCrc32s([]), 0)
  assert.equal(combineCrc32s([...parts, { bytes: 1, crc32: null }]), null)
})

test('lengths above 2^32: appending zeros in two steps is appending them in one', () => {
  const zeros = (bytes: number): number => {
    const mib = crc32(Buffer.alloc(2 ** 20))
    let crc = 0
    for (let rest = bytes; rest > 0; rest -= 2 ** 20) crc = combineCrc32(crc, mib, 2 ** 20)
    return crc
  }
  const gib = zeros(2 ** 30)
  const first = crc32(Buffer.from('before'))
  let stepwise = first
  for (let i = 0; i < 6; i++) stepwise = combineCrc32(stepwise, gib, 2 ** 30)
  let sixGib = 0
  for (let i = 0; i < 6; i++) sixGib = combineCrc32(sixGib, gib, 2 ** 30)
  assert.equal(combineCrc32(first, sixGib, 6 * 2 ** 30), stepwise)
})

test('base64 as S3 spells it', () => {
  assert.equal(crc32Base64(0xcbf43926), 'y/Q5Jg==')
  assert.equal(parseCrc32Base64('y/Q5Jg=='), 0xcbf43926)
  assert.equal(parseCrc32Base64(undefined), null)
  assert.equal(parseCrc32Base64('y/Q5Jg==-3'), null)
  assert.equal(parseCrc32Base64('AAAAAAAAAAA='), null)
})
