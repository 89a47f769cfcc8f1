import type { Readable } from 'node:stream'
import type { Bytes, Layout, Part, Upload, UploadId } from '../words.ts'
import type { NewUpload } from './records.ts'

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
  /**
   * Of a part: where it begins in the object, in bytes of the file. Default: behind as many full parts as its number says;
   * parts of a composition have several sizes.
   */
  readonly at?: number
}

export interface ObjectOptions extends WriteOptions {
  readonly contentType?: string
  /** A tail: what is asked of the store for objects that stay (class, tags) is not for it. */
  readonly shortLived?: boolean
}

/** What the answer behind a link says of the object. */
export interface LinkOptions {
  /** From now on. */
  readonly expiresMs: number
  readonly contentType: string
  readonly contentDisposition: string
}

/** The inclusive range of an HTTP Range request, already resolved against the object's size. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

/** One part of a composed object: copied from another object, or `bytes` that were written at `at`. */
export type ComposedPart =
  | { readonly key: string; readonly range: ByteRange }
  | { readonly at: number; readonly bytes: number }

/**
 * What a store that encrypts adds. All its other lengths, offsets and CRC-32s are those of the file: nothing else of it
 * shows that it stores other bytes.
 */
export interface Sealing {
  /** The nearest place, at or before (or after) `offset`, at which a segment of the row may be cut for a copy. */
  cut(key: string, offset: number, side: 'before' | 'after'): number
  /** May the range of a segment be copied, as a part of a composed object? Else it is read and written anew. */
  mayCopy(key: string, range: ByteRange): boolean
  /** What the row must keep of an object at `key` that is composed of these, in order. From then on `head` knows it. */
  layoutOf(key: string, parts: readonly ComposedPart[]): Layout
  /** Stored bytes of an object with so many bytes of the file; `layout` as the row has it. */
  storedBytes(length: number, layout: Layout | null): number
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
  /** The store encrypts: a write holds its bytes twice in memory until it is answered. */
  readonly sealing?: Sealing

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
  /** A URL by which whoever knows it reads the object for a while. Absent: the store has no such thing. */
  link?(key: string, options: LinkOptions): Promise<string>
  /** All objects whose key begins with `prefix`, in no order. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Unknown keys are no failure. */
  remove(keys: readonly string[]): Promise<void>
  /** Throws when the store does not answer or the bucket is not there. */
  ping(signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** What of an upload's row says where its bytes are, and how. */
export type StoreChoice = Pick<Upload, 'id' | 'tenant'> &
  Partial<
    Pick<
      Upload,
      | 'bucket'
      | 'encoding'
      | 'keyId'
      | 'dataKeys'
      | 'layout'
      | 'segments'
      | 'partBytes'
      | 'objectKey'
      | 'length'
      | 'state'
    >
  >

/** Columns of a new row that say how its bytes are encrypted; none when they are not. */
export type NewSecrets = Pick<NewUpload, 'encoding' | 'keyId' | 'dataKeys' | 'layout'>

/** Those of a new upload; `partials`: what a final one is made of, in order. Throws `store_unavailable` without their keys. */
export type SecretsOf = (id: UploadId, partials: readonly Upload[]) => NewSecrets

/** The store of each upload. Asked at every request: what it answers is cheap, and the same for the same row. */
export interface Stores {
  of(upload: StoreChoice): ByteStore
}
