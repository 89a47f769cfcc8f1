import { crc32OfChunks } from './crc32.ts'
import type { Bytes } from './words.ts'

export const NO_BYTES: Bytes = { chunks: [], length: 0 }

/** CRC-32 (IEEE) of bytes that lie in several chunks, as an unsigned 32-bit integer. */
export function crc32Of(bytes: Bytes): number {
  return crc32OfChunks(bytes.chunks)
}

/** One after the other, nothing copied. */
export function concatBytes(...all: readonly Bytes[]): Bytes {
  return { chunks: all.flatMap((bytes) => bytes.chunks), length: all.reduce((sum, bytes) => sum + bytes.length, 0) }
}

/** The first `count` bytes and the rest; a chunk that crosses the border is shared, not copied. */
export function splitBytes(bytes: Bytes, count: number): [Bytes, Bytes] {
  if (count >= bytes.length) return [bytes, NO_BYTES]
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

/** The same bytes in a buffer of their own size. */
export function compacted(bytes: Bytes): Bytes {
  return { chunks: [Buffer.concat(bytes.chunks, bytes.length)], length: bytes.length }
}
