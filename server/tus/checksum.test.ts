import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from './crc32c.ts'

test('CRC-32C of known vectors (RFC 3720, B.4), whole and in pieces', () => {
  const counting = Uint8Array.from({ length: 32 }, (_, index) => index)
  for (const [bytes, expected] of [
    [new Uint8Array(0), 0],
    [Buffer.from('123456789'), 0xe3069283],
    [new Uint8Array(32), 0x8a9136aa],
    [new Uint8Array(32).fill(0xff), 0x62a8ab43],
    [counting, 0x46dd794e],
    [counting.toReversed(), 0x113fdb5c],
  ] as const) {
    assert.equal(crc32c(bytes), expected)
    for (let cut = 0; cut <= bytes.length; cut++) {
      assert.equal(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut))), expected)
    }
  }
})
