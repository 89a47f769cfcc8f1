import type { Upload, UploadId } from '../words.ts'
import type { ByteStore } from './byte-store.ts'

/** An object as an inventory lists it. Times are milliseconds since 1970, by the store's clock. */
export interface ListedObject {
  readonly key: string
  readonly bytes: number
  readonly modifiedAt: number
}

/** An open multipart upload as an inventory lists it. */
export interface ListedMultipart {
  readonly key: string
  readonly multipartId: string
  readonly startedAt: number
}

/** What is in the store, for the sweeper. Failure: `store_unavailable`. */
export interface Inventory {
  /** Objects whose key begins with `prefix` and comes after `after` ('' : all), in the order of their keys. */
  objects(prefix: string, after: string): AsyncIterable<ListedObject>
  /** Open multipart uploads whose key begins with `prefix`. */
  multiparts(prefix: string): AsyncIterable<ListedMultipart>
}

/** A bucket that the sweeper looks through. */
export interface Place {
  readonly inventory: Inventory
  readonly store: Pick<ByteStore, 'bucket' | 'remove' | 'abortMultipart'>
}

/** What the sweeper asks the database. Failure: `records_unavailable`. */
export interface Housekeeping {
  /**
   * True: `holder` has the lease of that name for `forMs` from now (it was free, run out, or its own). One row a name,
   * one statement, so that it works through a pooler.
   */
  lease(name: string, holder: string, forMs: number): Promise<boolean>
  /** The buckets that rows of uploads name which were created since then (milliseconds since 1970; null: all of them). */
  bucketsSince(time: number | null): Promise<string[]>
  /** The rows of these ids; unknown ones are left out. */
  rowsOf(ids: readonly UploadId[]): Promise<Map<UploadId, Upload>>
}
