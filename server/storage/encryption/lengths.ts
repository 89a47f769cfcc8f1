/**
 * How long encrypted bytes are. A piece is a header and frames; a frame is up to 64 KiB of the file and a tag. A stretch
 * of a file is cut into pieces of one size, of which only the last may be shorter.
 */

/** Bytes of the file in a frame; only the last frame of a piece may have fewer. */
export const FRAME_BYTES = 64 * 1024
/** Authentication tag of AES-256-GCM. */
export const TAG_BYTES = 16
/** "SEALED", a zero, the version of this format. */
export const MAGIC = Buffer.from('SEALED\0\x01', 'latin1')
export const SALT_BYTES = 32
export const HEADER_BYTES = MAGIC.length + SALT_BYTES
/** A full frame as it is stored. */
export const SEALED_FRAME_BYTES = FRAME_BYTES + TAG_BYTES

/** Frames of a piece with so many bytes; one of no bytes has one, so that its emptiness is authenticated too. */
export function framesOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / FRAME_BYTES))
}

/** Stored bytes of one piece. */
export function sealedPieceBytes(bytes: number): number {
  return HEADER_BYTES + bytes + TAG_BYTES * framesOf(bytes)
}

/** Stored bytes of `bytes` cut into pieces of `piece`. */
export function sealedBytes(bytes: number, piece: number): number {
  const rest = bytes % piece
  const full = (bytes - rest) / piece
  return full * sealedPieceBytes(piece) + (rest > 0 || full === 0 ? sealedPieceBytes(rest) : 0)
}

/** The inverse of {@link sealedBytes}; null: nothing has this stored length. */
export function openedBytes(stored: number, piece: number): number | null {
  const unit = sealedPieceBytes(piece)
  const rest = stored % unit
  const full = (stored - rest) / unit
  if (rest === 0) return full > 0 ? full * piece : null
  const sealed = rest - HEADER_BYTES
  const bytes = sealed - TAG_BYTES * Math.ceil(sealed / SEALED_FRAME_BYTES)
  if (sealed <= 0 || bytes < 0 || bytes >= piece || sealedPieceBytes(bytes) !== rest) return null
  return bytes > 0 || full === 0 ? full * piece + bytes : null
}

/** Where the frame with this byte of a piece begins, among the piece's stored bytes. */
function frameStart(offset: number): number {
  return HEADER_BYTES + Math.floor(offset / FRAME_BYTES) * SEALED_FRAME_BYTES
}

/**
 * What has to be read, [from, to) of the stored bytes, for bytes [first, end) of a piece of `bytes`: whole frames, with
 * the header when the first frame is among them.
 */
export function sealedRange(bytes: number, first: number, end: number): { readonly from: number; readonly to: number } {
  const from = first < FRAME_BYTES ? 0 : frameStart(first)
  return { from, to: Math.min(frameStart(Math.max(0, end - 1)) + SEALED_FRAME_BYTES, sealedPieceBytes(bytes)) }
}
