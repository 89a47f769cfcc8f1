import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unframe } from './aws-chunked.ts'

test('chunks are joined, extensions and trailers left out, and line ends inside a chunk are bytes', () => {
  const framed = '5;chunk-signature=ab\r\na\r\nbc\r\nA\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n'
  assert.equal(unframe(Buffer.from(framed)).toString(), 'a\r\nbc0123456789')
})

for (const [what, framed] of [
  ['without a last chunk', '1\r\na\r\n'],
  ['cut short', '5\r\nabc'],
  ['without a length', 'x\r\na\r\n0\r\n'],
] as const) {
  test(`a body ${what} is refused`, () => assert.throws(() => unframe(Buffer.from(framed)), /aws-chunked/))
}
