import type { Upload, UploadId } from '../words.ts'

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

/** What the sweeper asks the database. Failure: `records_unavailable`. */
export interface Housekeeping {
  /**
   * True: `holder` has the lease of that name for `forMs` from now (it was free, run out, or its own). One row a name,
   * one statement, so that it works through a pooler.
   */
  lease(name: string, holder: string, forMs: number): Promise<boolean>
  /** The rows of these ids; unknown ones are left out. */
  rowsOf(ids: readonly UploadId[]): Promise<Map<UploadId, Upload>>
}
