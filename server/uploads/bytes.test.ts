import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { concatBytes, crc32Of, NO_BYTES, sameSum, splitBytes } from './bytes.ts'
import type { Bytes } from './words.ts'

const inOne = (length: number): Bytes => ({ chunks: [Buffer.from(randomBytes(length))], length })
const plain = ({ chunks }: Bytes): Buffer => Buffer.concat(chunks)

test('the CRC of what was put together is that of all bytes, however it was put together', () => {
  const lengths = [1_000_000, 300_000, 1, 524_288, 0, 70_000]
  const pieces = lengths.map(inOne)
  const whole = concatBytes(...pieces)
  assert.equal(crc32Of(whole), crc32(plain(whole)))
  assert.equal(crc32Of(whole), crc32(plain(whole)), 'a second time too')
  const nested = concatBytes(concatBytes(...pieces.slice(0, 3)), inOne(200_000), concatBytes(...pieces.slice(3)))
  assert.equal(crc32Of(nested), crc32(plain(nested)))
  const tiny = concatBytes(...Array.from({ length: 50 }, () => inOne(10)))
  assert.equal(crc32Of(tiny), crc32(plain(tiny)))
  assert.equal(crc32Of(NO_BYTES), 0)
  assert.equal(crc32Of(concatBytes()), 0)
})

test('a CRC that is known already is not worked out from the bytes again', () => {
  const [first, second] = [inOne(400_000), inOne(400_000)]
  const whole = concatBytes(first, second)
  const expected = crc32(plain(whole))
  crc32Of(first)
  // Whoever spoils the memory afterwards is caught by the store, which is told the sum of what came.
  first.chunks[0]?.fill(0)
  assert.equal(crc32Of(whole), expected)
})

test('splitting at the ends and in between loses and copies nothing', () => {
  const bytes = concatBytes(inOne(1000), inOne(500))
  for (const at of [-1, 0, 1, 999, 1000, 1001, 1499, 1500, 2000]) {
    const [head, rest] = splitBytes(bytes, at)
    assert.equal(head.length, Math.min(1500, Math.max(0, at)))
    assert.equal(head.length + rest.length, 1500)
    assert.ok(Buffer.concat([plain(head), plain(rest)]).equals(plain(bytes)))
    for (const chunk of [...head.chunks, ...rest.chunks]) {
      assert.ok(bytes.chunks.some(({ buffer }) => buffer === chunk.buffer))
    }
  }
})

test('the CRC of a copy is that of its original', () => {
  const bytes = inOne(1000)
  const expected = crc32(plain(bytes))
  assert.equal(crc32Of(sameSum(bytes, inOne(1000))) === expected, false, 'it was not known')
  crc32Of(bytes)
  assert.equal(crc32Of(sameSum(bytes, inOne(1000))), expected)
})
