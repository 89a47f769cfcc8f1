import { crc32 } from 'node:zlib'

/** The CRC-32 (IEEE) of the chunks in order, as an unsigned 32-bit integer; `before` is the CRC of what came before them. */
export function crc32OfChunks(chunks: readonly Buffer[], before = 0): number {
  let crc = before
  for (const chunk of chunks) crc = crc32(chunk, crc)
  return crc >>> 0
}

/** An unsigned CRC-32 as S3's checksum headers spell it: base64 of its four bytes, big-endian. */
export function crc32Base64(crc: number): string {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(crc >>> 0)
  return bytes.toString('base64')
}

const FOUR_BYTES = /^[A-Za-z0-9+/]{6}==$/

/** The CRC-32 that an S3 checksum field spells; null where there is none or a composite one (`...-3`). */
export function parseCrc32Base64(text: string | undefined): number | null {
  if (text === undefined || !FOUR_BYTES.test(text)) return null
  return Buffer.from(text, 'base64').readUInt32BE()
}

/** The reflected IEEE polynomial. */
const POLYNOMIAL = 0xedb88320

/** a * b modulo the CRC polynomial; polynomials over GF(2), the highest bit is the coefficient of x^0. */
function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= b
    b = (b & 1) !== 0 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1
  }
  return product >>> 0
}

/** SQUARES[k] is x^(2^k): bit k - 3 of a length in bytes, up to the largest safe integer. */
const SQUARES: readonly number[] = (() => {
  const squares = [0x40000000]
  for (let k = 1; k < 56; k++) {
    const last = squares[k - 1] ?? 0
    squares.push(multiply(last, last))
  }
  return squares
})()

/** x^(8 * bytes): what `bytes` bytes of anything do to the CRC before them. */
function shift(bytes: number): number {
  let power = 0x80000000
  for (let rest = bytes, k = 3; rest > 0; rest = Math.floor(rest / 2), k++) {
    if (rest % 2 === 1) power = multiply(power, SQUARES[k] ?? 0)
  }
  return power
}

/** The CRC-32 of A followed by B, from crc(A), crc(B) and the length of B in bytes (any safe integer below 2^53). */
export function combineCrc32(first: number, second: number, secondBytes: number): number {
  return (multiply(shift(secondBytes), first) ^ second) >>> 0
}

/**
 * The CRC-32 of pieces in order; null as soon as one is not known. Pieces are mostly of one length, so its shift is
 * worked out once.
 */
export function combineCrc32s(
  pieces: Iterable<{ readonly bytes: number; readonly crc32: number | null }>,
): number | null {
  let whole = 0
  let shiftFor = 0
  let power = 0x80000000
  for (const piece of pieces) {
    if (piece.crc32 === null) return null
    if (piece.bytes !== shiftFor) {
      shiftFor = piece.bytes
      power = shift(piece.bytes)
    }
    whole = (multiply(power, whole) ^ piece.crc32) >>> 0
  }
  return whole
}
