import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import { UploadError } from '../../../../server/uploads/errors.ts'
import type {
  ByteRange,
  ByteStore,
  ObjectOptions,
  Piece,
  StoredObject,
  WriteOptions,
} from '../../../../server/uploads/ports/byte-store.ts'
import type { Part } from '../../../../server/uploads/words.ts'

interface Kept {
  readonly bytes: Buffer
  readonly etag: string
  readonly crc32: number
}

interface Multipart {
  readonly key: string
  readonly partBytes: number
  readonly parts: Map<number, Kept>
}

export interface MemoryStoreOptions {
  /** Every part but the last must have the size that was named. */
  readonly equalParts?: boolean
  /** Every write has an ETag of its own, as under SSE-KMS; else equal bytes have equal ETags. */
  readonly uniqueEtags?: boolean
}

/** Objects in this process, as strict as the strictest store: tests can look inside. */
export class MemoryByteStore implements ByteStore {
  readonly minPartBytes = 1
  readonly maxParts = 10_000
  readonly maxObjectBytes = Number.MAX_SAFE_INTEGER
  readonly equalParts: boolean
  readonly bucket = null
  readonly #uniqueEtags: boolean
  readonly objects = new Map<string, Kept>()
  readonly multiparts = new Map<string, Multipart>()
  /** Keys that were written twice with other bytes: no key of the engine may ever be. */
  readonly overwritten: string[] = []
  #count = 0

  constructor({ equalParts = false, uniqueEtags = false }: MemoryStoreOptions = {}) {
    this.equalParts = equalParts
    this.#uniqueEtags = uniqueEtags
  }

  /** Keys of objects, and of open multipart uploads, that contain `text`. */
  keysWith(text: string): string[] {
    const open = [...this.multiparts.values()].map(({ key }) => `${key} (open)`)
    return [...this.objects.keys(), ...open].filter((key) => key.includes(text))
  }

  async putObject(key: string, piece: Piece, { signal }: ObjectOptions = {}): Promise<StoredObject> {
    signal?.throwIfAborted()
    return this.#put(key, this.#take(piece))
  }

  async createMultipart(key: string, partBytes: number, { signal }: ObjectOptions = {}): Promise<string> {
    signal?.throwIfAborted()
    const id = `m${++this.#count}`
    this.multiparts.set(id, { key, partBytes, parts: new Map() })
    return id
  }

  async uploadPart(key: string, id: string, number: number, piece: Piece, options: WriteOptions = {}) {
    options.signal?.throwIfAborted()
    const multipart = this.#open(key, id)
    if (!multipart) return null
    const kept = this.#take(piece)
    multipart.parts.set(number, kept)
    return asPart(number, kept)
  }

  async copyPart(
    key: string,
    id: string,
    number: number,
    source: { readonly key: string; readonly range: ByteRange },
    { signal }: WriteOptions = {},
  ): Promise<Part | null> {
    signal?.throwIfAborted()
    const multipart = this.#open(key, id)
    if (!multipart) return null
    const from = this.objects.get(source.key)
    if (!from || source.range.last >= from.bytes.length) throw broken(`no such range of ${source.key}`)
    const kept = this.#keep(from.bytes.subarray(source.range.first, source.range.last + 1))
    multipart.parts.set(number, kept)
    return asPart(number, kept)
  }

  async listParts(key: string, id: string): Promise<Part[] | null> {
    const multipart = this.#open(key, id)
    if (!multipart) return null
    return [...multipart.parts].sort(([a], [b]) => a - b).map(([number, kept]) => asPart(number, kept))
  }

  async completeMultipart(
    key: string,
    id: string,
    parts: readonly Part[],
    whole: { readonly bytes: number; readonly crc32: number | null },
  ): Promise<'done' | 'no-such-upload' | 'invalid-part'> {
    const multipart = this.#open(key, id)
    if (!multipart) return 'no-such-upload'
    const all: Buffer[] = []
    for (const [index, part] of parts.entries()) {
      const kept = multipart.parts.get(part.number)
      if (part.number !== index + 1 || kept?.etag !== part.etag) return 'invalid-part'
      const last = index === parts.length - 1
      if (this.equalParts && !last && kept.bytes.length !== multipart.partBytes) return 'invalid-part'
      all.push(kept.bytes)
    }
    const kept = this.#keep(Buffer.concat(all))
    const right = kept.bytes.length === whole.bytes && (whole.crc32 ?? kept.crc32) === kept.crc32
    if (parts.length === 0 || !right) return 'invalid-part'
    this.multiparts.delete(id)
    this.#put(key, kept)
    return 'done'
  }

  async abortMultipart(key: string, id: string): Promise<void> {
    if (this.#open(key, id)) this.multiparts.delete(id)
  }

  async head(key: string): Promise<StoredObject | null> {
    const kept = this.objects.get(key)
    return kept ? asObject(key, kept) : null
  }

  async read(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Readable | null> {
    signal?.throwIfAborted()
    const kept = this.objects.get(key)
    if (!kept) return null
    const bytes = range ? kept.bytes.subarray(range.first, range.last + 1) : kept.bytes
    return streamOf(bytes, signal)
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    for (const [key, kept] of [...this.objects]) if (key.startsWith(prefix)) yield asObject(key, kept)
  }

  async remove(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.objects.delete(key)
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {}

  #open(key: string, id: string): Multipart | undefined {
    const multipart = this.multiparts.get(id)
    return multipart?.key === key ? multipart : undefined
  }

  /** A copy at this moment: whoever uses a buffer again before the answer is found out by the CRC. */
  #take(piece: Piece): Kept {
    const kept = this.#keep(Buffer.concat(piece.body.chunks))
    if (kept.bytes.length !== piece.body.length || kept.crc32 !== piece.crc32) {
      throw broken('the bytes are not what their CRC-32 says')
    }
    return kept
  }

  #keep(bytes: Buffer): Kept {
    const crc = crc32(bytes) >>> 0
    const etag = this.#uniqueEtags ? randomBytes(8).toString('hex') : `${crc.toString(16)}-${bytes.length}`
    return { bytes: Buffer.from(bytes), etag: `"${etag}"`, crc32: crc }
  }

  #put(key: string, kept: Kept): StoredObject {
    const before = this.objects.get(key)
    if (before && !before.bytes.equals(kept.bytes)) this.overwritten.push(key)
    this.objects.set(key, kept)
    return asObject(key, kept)
  }
}

/** In pieces, as a socket delivers them. */
function streamOf(bytes: Buffer, signal?: AbortSignal): Readable {
  const step = Math.max(7, Math.ceil(bytes.length / 50))
  const pieces = Array.from({ length: Math.ceil(bytes.length / step) }, (_, n) =>
    bytes.subarray(n * step, (n + 1) * step),
  )
  return Readable.from(pieces, { objectMode: false, ...(signal ? { signal } : {}) })
}

function asPart(number: number, kept: Kept): Part {
  return { number, bytes: kept.bytes.length, etag: kept.etag, crc32: kept.crc32 }
}

function asObject(key: string, kept: Kept): StoredObject {
  return { key, bytes: kept.bytes.length, etag: kept.etag }
}

function broken(message: string): UploadError {
  return new UploadError('internal', message)
}
