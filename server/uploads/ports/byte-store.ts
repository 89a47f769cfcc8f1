import type { Readable } from 'node:stream'
import type { Bytes, Part, Upload } from '../words.ts'

/** What the store keeps of one object. */
export interface StoredObject {
  readonly key: string
  readonly bytes: number
  readonly etag: string
}

/** A part or an object on its way. `crc32` is an unsigned 32-bit integer that the store checks where it can. */
export interface Piece {
  readonly body: Bytes
  readonly crc32: number
}

export interface WriteOptions {
  /** Aborts the request; the write may still be applied later. */
  readonly signal?: AbortSignal
  /**
   * Called once when a request of this write stays without an answer (timeout, reset, abort after it was sent):
   * the store may apply it later, also when a retry succeeded. The hold is then not clean.
   */
  readonly onUnanswered?: () => void
}

export interface ObjectOptions extends WriteOptions {
  readonly contentType?: string
}

/** The inclusive range of an HTTP Range request, already resolved against the object's size. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

/**
 * Where the bytes are. Keys are opaque, `/`-separated, from a closed alphabet. Every write that returned is
 * durable. Failures: `store_unavailable` (away, throttled or timed out after the store's own few retries), or
 * `internal` for an answer that should not be (a bug or a broken store). Nothing here knows holds, rows or HTTP.
 */
export interface ByteStore {
  /** Parts below this size are refused, but for the last one. */
  readonly minPartBytes: number
  readonly maxParts: number
  readonly maxObjectBytes: number
  /** Every part of a multipart upload but the last must have the size that was named at its creation. */
  readonly equalParts: boolean
  /** The bucket for the row; null for files. */
  readonly bucket: string | null

  putObject(key: string, piece: Piece, options?: ObjectOptions): Promise<StoredObject>
  /** `partBytes`: the size of every part but the last. Returns the multipart id. */
  createMultipart(key: string, partBytes: number, options?: ObjectOptions): Promise<string>
  /** Sending a number again replaces that part. null: no such multipart upload (completed or aborted). */
  uploadPart(
    key: string,
    multipartId: string,
    number: number,
    piece: Piece,
    options?: WriteOptions,
  ): Promise<Part | null>
  /** A part made of a range of another object of this store, without its bytes passing through us. null as above. */
  copyPart(
    key: string,
    multipartId: string,
    number: number,
    source: { readonly key: string; readonly range: ByteRange },
    options?: WriteOptions,
  ): Promise<Part | null>
  /** The parts as the store has them, by number, each number once; null: no such multipart upload. */
  listParts(key: string, multipartId: string): Promise<Part[] | null>
  /**
   * Makes the object of exactly these parts, 1..n. `crc32` of the whole object, where known, is checked by stores
   * that can. `no-such-upload`: somebody completed or aborted before; look at the object. `invalid-part`: a part is
   * not what the caller recorded.
   */
  completeMultipart(
    key: string,
    multipartId: string,
    parts: readonly Part[],
    whole: { readonly bytes: number; readonly crc32: number | null },
    options?: WriteOptions,
  ): Promise<'done' | 'no-such-upload' | 'invalid-part'>
  /** An unknown one is no failure. */
  abortMultipart(key: string, multipartId: string): Promise<void>
  /** null: no such object. */
  head(key: string): Promise<StoredObject | null>
  /** A stream of the object or of one range of it; null: no such object. Destroying the stream frees the connection. */
  read(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Readable | null>
  /** All objects whose key begins with `prefix`, in no order. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Unknown keys are no failure. */
  remove(keys: readonly string[]): Promise<void>
  /** Throws when the store does not answer or the bucket is not there. */
  ping(signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** What of an upload's row says where its bytes are, and how. */
export type StoreChoice = Pick<Upload, 'id' | 'tenant'> & Partial<Pick<Upload, 'bucket' | 'encoding' | 'keyId'>>

/** The store of each upload. Asked at every request: what it answers is cheap, and the same for the same row. */
export interface Stores {
  of(upload: StoreChoice): ByteStore
}
