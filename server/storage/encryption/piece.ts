/**
 * One piece of encrypted bytes: AES-256-GCM frames under a key of the piece's own.
 *
 * The key is derived (HKDF-SHA-256) from the upload's data key, a random salt in the piece's header, and the place of the
 * piece: the object it was written for and the offset there. So the same bytes sent again have another key, and a piece
 * that was moved to another place opens with none. A nonce is the number of the frame and whether it is the last one:
 * frames that were exchanged, repeated or cut off at the end do not open either.
 */
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto'
import type { Bytes } from '../../uploads/words.ts'
import { FRAME_BYTES, framesOf, HEADER_BYTES, MAGIC, SALT_BYTES, TAG_BYTES } from './lengths.ts'

/** Where a piece was written: bound into its key. */
export interface Place {
  readonly key: string
  /** Offset in that object, in bytes of the file. */
  readonly at: number
}

const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12

/** `salt` must be new for each piece that is written. Key objects: with bytes each call costs ten times as much. */
export function pieceKey(dataKey: KeyObject, salt: Buffer, { key, at }: Place): KeyObject {
  const derived = hkdfSync('sha256', dataKey, salt, `upload-service piece 1\0${at}\0${key}`, 32)
  return createSecretKey(Buffer.from(derived))
}

function nonceOf(frame: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeUInt32BE(frame, NONCE_BYTES - 5)
  nonce[NONCE_BYTES - 1] = last ? 1 : 0
  return nonce
}

/** Encrypts one piece. The result is new memory; nothing is joined or copied before. */
export function sealPiece(dataKey: KeyObject, place: Place, { chunks, length }: Bytes): Buffer[] {
  const salt = randomBytes(SALT_BYTES)
  const key = pieceKey(dataKey, salt, place)
  const sealed: Buffer[] = [Buffer.concat([MAGIC, salt])]
  const frames = framesOf(length)
  const reader = new ChunkReader(chunks)
  for (let frame = 0; frame < frames; frame++) {
    const cipher = createCipheriv(ALGORITHM, key, nonceOf(frame, frame === frames - 1))
    const bytes = Math.min(FRAME_BYTES, length - frame * FRAME_BYTES)
    for (const some of reader.take(bytes)) sealed.push(cipher.update(some))
    cipher.final()
    sealed.push(cipher.getAuthTag())
  }
  return sealed
}

/** Cuts bytes into pieces of `piece`, nothing copied; no bytes are one empty piece. */
export function* cutBytes({ chunks, length }: Bytes, piece: number): Generator<Bytes> {
  const reader = new ChunkReader(chunks)
  for (let start = 0; start < length || start === 0; start += piece) {
    const bytes = Math.min(piece, length - start)
    yield { chunks: [...reader.take(bytes)], length: bytes }
  }
}

/** Slices of chunks, in order. */
class ChunkReader {
  readonly #chunks: readonly Buffer[]
  #index = 0
  #from = 0

  constructor(chunks: readonly Buffer[]) {
    this.#chunks = chunks
  }

  *take(count: number): Generator<Buffer> {
    for (let left = count; left > 0; ) {
      const chunk = this.#chunks[this.#index]
      if (!chunk) throw new Error(`bytes end ${left} bytes before their length`)
      const some = chunk.subarray(this.#from, this.#from + left)
      if (some.length > 0) yield some
      left -= some.length
      this.#from += some.length
      if (this.#from < chunk.length) continue
      this.#index++
      this.#from = 0
    }
  }
}

/** The salt in a header; null: this is no header of ours. */
export function saltOf(header: Buffer): Buffer | null {
  const known = header.length === HEADER_BYTES && header.subarray(0, MAGIC.length).equals(MAGIC)
  return known ? header.subarray(MAGIC.length) : null
}

/**
 * Decrypts one frame, its tag at the end; null: it is not what was written there. Nothing of such a frame is given out.
 */
export function openFrame(key: KeyObject, frame: number, last: boolean, sealed: readonly Buffer[]): Buffer[] | null {
  const length = sealed.reduce((sum, chunk) => sum + chunk.length, 0)
  if (length < TAG_BYTES) return null
  const decipher = createDecipheriv(ALGORITHM, key, nonceOf(frame, last), { authTagLength: TAG_BYTES })
  const opened: Buffer[] = []
  const tag: Buffer[] = []
  let left = length - TAG_BYTES
  for (const chunk of sealed) {
    if (left > 0) opened.push(decipher.update(chunk.subarray(0, left)))
    if (left < chunk.length) tag.push(chunk.subarray(left))
    left = Math.max(0, left - chunk.length)
  }
  decipher.setAuthTag(Buffer.concat(tag, TAG_BYTES))
  try {
    decipher.final()
  } catch {
    return null
  }
  return opened
}
