import type { Readable } from 'node:stream'
import { combineCrc32s, crc32OfChunks } from '../../uploads/crc32.ts'
import { hasCode, UploadError } from '../../uploads/errors.ts'
import type {
  ByteRange,
  ByteStore,
  ComposedPart,
  ObjectOptions,
  Piece,
  Sealing,
  StoreChoice,
  StoredObject,
  WriteOptions,
} from '../../uploads/ports/byte-store.ts'
import type { Layout, Part } from '../../uploads/words.ts'
import { cutAt, isCut, joinLayouts, layoutBytes, sliceLayout, storedLayoutBytes, storedRange } from './layout.ts'
import { HEADER_BYTES, openedBytes, sealedBytes } from './lengths.ts'
import { openedStream } from './opened-stream.ts'
import { cutBytes, saltOf, sealPiece } from './piece.ts'
import { ownRun, pieceOf } from './secrets.ts'
import { type DataKeyOf, openEndedSpans, readingOf } from './spans.ts'
import { type Span, Unsealer } from './unsealer.ts'

/** What one upload's store needs beside the row. */
export interface EncryptingOptions {
  readonly inner: ByteStore
  /** The upload, as its row has it. */
  readonly row: StoreChoice
  /** Throws `store_unavailable` when its key is not listed. */
  readonly dataKeyOf: DataKeyOf
  /** A stored object is not what was written. */
  readonly damaged: (key: string, error: UploadError) => void
}

/** Largest share that headers and tags add, for the smallest piece (8 KiB); rounded up. */
const LARGEST_OVERHEAD = 1.01

/**
 * A byte store bound to one upload, which encrypts what it writes with the upload's data key (docs/decisions/013). All
 * lengths, offsets and CRC-32s of its callers are those of the file; the store below checks CRC-32s of what it stores.
 */
export class EncryptingStore implements ByteStore {
  readonly minPartBytes: number
  readonly maxParts: number
  readonly maxObjectBytes: number
  readonly equalParts: boolean
  readonly bucket: string | null
  readonly sealing: Sealing
  readonly #inner: ByteStore
  readonly #options: EncryptingOptions
  readonly #piece: number
  /** Objects that were composed through this store. */
  readonly #composed = new Map<string, Layout>()

  constructor(options: EncryptingOptions) {
    const { inner, row } = options
    this.#inner = inner
    this.#options = options
    this.#piece = pieceOf(row)
    this.minPartBytes = inner.minPartBytes
    this.maxParts = inner.maxParts
    this.maxObjectBytes = Math.floor(inner.maxObjectBytes / LARGEST_OVERHEAD)
    this.equalParts = inner.equalParts
    this.bucket = inner.bucket
    this.sealing = {
      cut: (key, offset, side) => cutAt(this.#required(key), offset, side),
      mayCopy: (key, range) => this.#mayCopy(this.#required(key), range),
      layoutOf: (key, parts) => this.#layoutOf(key, parts),
      storedBytes: (length, layout) => (layout ? storedLayoutBytes(layout) : sealedBytes(length, this.#piece)),
    }
  }

  async putObject(key: string, piece: Piece, options: ObjectOptions = {}): Promise<StoredObject> {
    options.signal?.throwIfAborted()
    const sealed = this.#seal(key, 0, piece)
    const object = await this.#inner.putObject(key, sealed, options)
    return { ...object, bytes: piece.body.length }
  }

  createMultipart(key: string, partBytes: number, options?: ObjectOptions): Promise<string> {
    return this.#inner.createMultipart(key, sealedBytes(partBytes, this.#piece), options)
  }

  async uploadPart(
    key: string,
    multipartId: string,
    number: number,
    piece: Piece,
    options: WriteOptions = {},
  ): Promise<Part | null> {
    options.signal?.throwIfAborted()
    const sealed = this.#seal(key, options.at ?? (number - 1) * this.#piece, piece)
    const part = await this.#inner.uploadPart(key, multipartId, number, sealed, options)
    if (!part) return null
    return { ...part, bytes: piece.body.length, crc32: piece.crc32, stored: { bytes: part.bytes, crc32: part.crc32 } }
  }

  async copyPart(
    key: string,
    multipartId: string,
    number: number,
    source: { readonly key: string; readonly range: ByteRange },
    options?: WriteOptions,
  ): Promise<Part | null> {
    const layout = (await this.#layout(source.key)) ?? [ownRun(this.#options.row, source.key, source.range.last + 1)]
    if (!isCut(layout, source.range)) {
      throw new UploadError('internal', `A copy of ${source.key} would cut an encrypted piece.`)
    }
    const range = storedRange(layout, source.range)
    const part = await this.#inner.copyPart(key, multipartId, number, { key: source.key, range }, options)
    if (!part) return null
    const bytes = source.range.last - source.range.first + 1
    return { ...part, bytes, crc32: null, stored: { bytes: part.bytes, crc32: part.crc32 } }
  }

  /** A part of a size that no piece has counts as none: 0 bytes. */
  async listParts(key: string, multipartId: string): Promise<Part[] | null> {
    const parts = await this.#inner.listParts(key, multipartId)
    if (!parts) return null
    return parts.map((part) => ({
      ...part,
      bytes: openedBytes(part.bytes, this.#piece) ?? 0,
      crc32: null,
      stored: { bytes: part.bytes, crc32: part.crc32 },
    }))
  }

  completeMultipart(
    key: string,
    multipartId: string,
    parts: readonly Part[],
    whole: { readonly bytes: number; readonly crc32: number | null },
    options?: WriteOptions,
  ): Promise<'done' | 'no-such-upload' | 'invalid-part'> {
    const given = { bytes: parts.reduce((sum, part) => sum + part.bytes, 0), crc32: combineCrc32s(parts) }
    const other = whole.crc32 !== null && given.crc32 !== null && given.crc32 !== whole.crc32
    // The store below knows neither.
    if (given.bytes !== whole.bytes || other) return Promise.resolve('invalid-part')
    const stored = parts.map(({ number, etag, bytes, stored: known }) => ({
      ...{ number, etag },
      ...(known ?? { bytes: sealedBytes(bytes, this.#piece), crc32: null }),
    }))
    const bytes = stored.reduce((sum, part) => sum + part.bytes, 0)
    // Where the caller does not trust the parts' CRC-32s, neither are those of their stored bytes.
    const crc32 = whole.crc32 === null ? null : combineCrc32s(stored)
    return this.#inner.completeMultipart(key, multipartId, stored, { bytes, crc32 }, options)
  }

  abortMultipart(key: string, multipartId: string): Promise<void> {
    return this.#inner.abortMultipart(key, multipartId)
  }

  /** An object of a size that it cannot have has 0 bytes. */
  async head(key: string): Promise<StoredObject | null> {
    const object = await this.#inner.head(key)
    if (!object) return null
    const layout = this.#known(key)
    if (!layout) return { ...object, bytes: openedBytes(object.bytes, this.#piece) ?? 0 }
    return { ...object, bytes: object.bytes === storedLayoutBytes(layout) ? layoutBytes(layout) : 0 }
  }

  async read(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Readable | null> {
    const layout = range ? await this.#layout(key) : this.#known(key)
    if (!layout) return range ? null : this.#readOpenEnded(key, signal)
    const reading = readingOf(layout, range ?? null, this.#options.dataKeyOf)
    const header = reading.header === null ? null : await this.#header(key, reading.header, signal)
    if (reading.header !== null && header === null) return null
    return this.#open(key, reading.stored ?? undefined, reading.spans(header), signal)
  }

  /** An object of a size that it cannot have has 0 bytes. */
  async *list(prefix: string): AsyncGenerator<StoredObject> {
    for await (const object of this.#inner.list(prefix)) {
      yield { ...object, bytes: openedBytes(object.bytes, this.#piece) ?? 0 }
    }
  }

  remove(keys: readonly string[]): Promise<void> {
    return this.#inner.remove(keys)
  }

  ping(signal?: AbortSignal): Promise<void> {
    return this.#inner.ping(signal)
  }

  /** Nothing to close: the store below is shared. */
  async close(): Promise<void> {}

  /**
   * Once for all tries of a write: a retried one sends the same stored bytes. The caller took the CRC-32 of the file's bytes
   * a moment ago; what the store checks is the one of these.
   */
  #seal(key: string, at: number, { body }: Piece): Piece {
    const { row, dataKeyOf } = this.#options
    const dataKey = dataKeyOf(row.id)
    const chunks: Buffer[] = []
    let start = at
    for (const piece of cutBytes(body, this.#piece)) {
      for (const chunk of sealPiece(dataKey, { key, at: start }, piece)) chunks.push(chunk)
      start += piece.length
    }
    const length = sealedBytes(body.length, this.#piece)
    return { body: { chunks, length }, crc32: crc32OfChunks(chunks) }
  }

  /** What row and compositions say of an object; null: it was written whole by this upload, its length is not known. */
  #known(key: string): Layout | null {
    const { row } = this.#options
    const { layout, segments, objectKey, length } = row
    const composed = this.#composed.get(key)
    if (composed) return composed
    if (key === objectKey && layout) return layout
    if (key === objectKey && typeof length === 'number') return [ownRun(row, key, length)]
    const segment = segments?.find((one) => one.key === key)
    if (!segment) return null
    if (layout) return sliceLayout(layout, segment.start, segment.end)
    return [ownRun(row, key, segment.end - segment.start)]
  }

  #required(key: string): Layout {
    const layout = this.#known(key)
    if (!layout) throw new UploadError('internal', `The row of upload ${this.#options.row.id} does not name ${key}.`)
    return layout
  }

  /** The same, and for other objects by their size; null: no such object. */
  async #layout(key: string): Promise<Layout | null> {
    const known = this.#known(key)
    if (known) return known
    const object = await this.#inner.head(key)
    if (!object) return null
    const bytes = openedBytes(object.bytes, this.#piece)
    if (bytes === null) throw this.#damaged(key, `has ${object.bytes} bytes, which nothing that was written has`)
    return [ownRun(this.#options.row, key, bytes)]
  }

  #mayCopy(layout: Layout, range: ByteRange): boolean {
    if (!isCut(layout, range)) return false
    if (!this.equalParts) return true
    const { first, last } = storedRange(layout, range)
    return last - first + 1 === sealedBytes(range.last - range.first + 1, this.#piece)
  }

  #layoutOf(key: string, parts: readonly ComposedPart[]): Layout {
    const { row } = this.#options
    const layout = joinLayouts(
      parts.map((part) =>
        'range' in part
          ? sliceLayout(this.#required(part.key), part.range.first, part.range.last + 1)
          : [{ ...ownRun(row, key, part.bytes), at: part.at }],
      ),
    )
    this.#composed.set(key, layout)
    return layout
  }

  /** The salt of the piece whose header is there; null: no such object. */
  async #header(key: string, first: number, signal: AbortSignal | undefined): Promise<Buffer | null> {
    const stream = await this.#inner.read(key, { first, last: first + HEADER_BYTES - 1 }, signal)
    if (!stream) return null
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk)
    const salt = saltOf(Buffer.concat(chunks))
    if (!salt) throw this.#damaged(key, 'has no header where a piece begins')
    return salt
  }

  #readOpenEnded(key: string, signal: AbortSignal | undefined): Promise<Readable | null> {
    const { row, dataKeyOf } = this.#options
    return this.#open(key, undefined, openEndedSpans({ ...ownRun(row, key, 0) }, dataKeyOf(row.id)), signal)
  }

  async #open(
    key: string,
    range: ByteRange | undefined,
    spans: Iterable<Span>,
    signal: AbortSignal | undefined,
  ): Promise<Readable | null> {
    // First, because it asks for the key: without it nothing is to be read.
    const unsealer = new Unsealer(key, spans)
    const source = await this.#inner.read(key, range, signal)
    if (!source) return null
    const stream = openedStream(source, unsealer, key)
    stream.once('error', (error) => {
      if (hasCode(error, 'content_damaged')) this.#options.damaged(key, error)
    })
    return stream
  }

  #damaged(key: string, how: string): UploadError {
    const error = new UploadError('content_damaged', `The stored object ${key} ${how}.`)
    this.#options.damaged(key, error)
    return error
  }
}
