import { combineCrc32, crc32OfChunks } from './crc32.ts'
import type { Bytes } from './words.ts'

export const NO_BYTES: Bytes = { chunks: [], length: 0 }

/** Bytes a piece on average, from which on CRCs are combined. */
const WORTH_COMBINING = 64 * 1024

/** CRCs that were worked out, and what bytes were put together from: a part's CRC comes from those of its tails. */
const sums = new WeakMap<Bytes, number>()
const sources = new WeakMap<Bytes, readonly Bytes[]>()

/** CRC-32 (IEEE) of bytes that lie in several chunks, as an unsigned 32-bit integer. Worked out once. */
export function crc32Of(bytes: Bytes): number {
  const known = sums.get(bytes)
  if (known !== undefined) return known
  const pieces = sources.get(bytes)
  const sum = pieces
    ? pieces.reduce((before, piece) => combineCrc32(before, crc32Of(piece), piece.length), 0)
    : crc32OfChunks(bytes.chunks)
  sums.set(bytes, sum)
  return sum
}

/** One after the other, nothing copied. */
export function concatBytes(...all: readonly Bytes[]): Bytes {
  const some = all.filter(({ length }) => length > 0)
  const [only] = some
  if (only && some.length === 1) return only
  const length = some.reduce((sum, bytes) => sum + bytes.length, 0)
  const whole = { chunks: some.flatMap(({ chunks }) => chunks), length }
  // Where combining would take longer than reading once more.
  if (length >= some.length * WORTH_COMBINING) sources.set(whole, some)
  return whole
}

/** The first `count` bytes and the rest; a chunk that crosses the border is shared, not copied. */
export function splitBytes(bytes: Bytes, count: number): [Bytes, Bytes] {
  if (count >= bytes.length) return [bytes, NO_BYTES]
  if (count <= 0) return [NO_BYTES, bytes]
  const head: Buffer[] = []
  let left = count
  for (const [index, chunk] of bytes.chunks.entries()) {
    if (chunk.length <= left) {
      head.push(chunk)
      left -= chunk.length
      continue
    }
    const rest = left > 0 ? [chunk.subarray(left)] : [chunk]
    if (left > 0) head.push(chunk.subarray(0, left))
    return [
      { chunks: head, length: count },
      { chunks: [...rest, ...bytes.chunks.slice(index + 1)], length: bytes.length - count },
    ]
  }
  return [bytes, NO_BYTES]
}

/** `copy` has the same bytes: their CRC need not be worked out again. */
export function sameSum(bytes: Bytes, copy: Bytes): Bytes {
  const sum = sums.get(bytes)
  if (sum !== undefined) sums.set(copy, sum)
  return copy
}
