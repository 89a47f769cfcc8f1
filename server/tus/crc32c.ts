/** The reflected Castagnoli polynomial (RFC 3720). */
const POLYNOMIAL = 0x82f63b78
const SLICES = 8

/** Entry k * 256 + b: what the byte b does to the CRC k bytes later. */
const TABLE = new Uint32Array(SLICES * 256)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
  TABLE[byte] = crc
}
for (let at = 256; at < TABLE.length; at++) {
  const last = TABLE[at - 256] ?? 0
  TABLE[at] = (last >>> 8) ^ (TABLE[last & 0xff] ?? 0)
}

/** What the lowest byte of `bits` does `later` bytes later. */
function effect(bits: number, later: number): number {
  return TABLE[later * 256 + (bits & 0xff)] ?? 0
}

/** CRC-32C of bytes as an unsigned 32-bit integer; `before` is that of what came before them. Node has none of its own. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let crc = ~before
  let at = 0
  for (; at + SLICES <= bytes.length; at += SLICES) {
    const low = crc ^ view.getInt32(at, true)
    const high = view.getInt32(at + 4, true)
    crc = effect(low, 7) ^ effect(low >>> 8, 6) ^ effect(low >>> 16, 5) ^ effect(low >>> 24, 4)
    crc ^= effect(high, 3) ^ effect(high >>> 8, 2) ^ effect(high >>> 16, 1) ^ effect(high >>> 24, 0)
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ effect(crc ^ (bytes[at] ?? 0), 0)
  return ~crc >>> 0
}
