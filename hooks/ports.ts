/**
 * What this room needs of others, as small interfaces: db's repositories, the byte store and the logger fit them by
 * shape. Types only.
 */
import type { ByteStore } from '../server/uploads/ports/byte-store.ts'
import type { Upload, UploadId } from '../server/uploads/words.ts'

/** One row of the outbox: an event that was committed together with the change it tells of. */
export interface OutboxEvent {
  /** A UUID. A repeated delivery has the same one. */
  readonly id: string
  readonly uploadId: UploadId
  /** 1, 2, ... within the upload. */
  readonly seq: number
  /** `upload.<state>`; see events.ts. */
  readonly type: string
  readonly payload: unknown
  /** When it was committed, milliseconds since 1970. */
  readonly createdAt: number
}

/** The outbox: the truth about what has to be told and what was. Throws `records_unavailable`. */
export interface Outbox {
  /** Up to `limit` events that were not published yet, oldest first. Two callers may get the same ones: publishing is deduplicated. */
  claim(limit: number): Promise<readonly OutboxEvent[]>
  /** Sets the time of publication to now, also where there was one. */
  markPublished(ids: readonly string[]): Promise<void>
  /** Everything that had to happen because of the event has happened. */
  markDone(id: string): Promise<void>
  /**
   * Up to `limit` events published at least `olderThanMs` ago and not done, longest ago first: what a queue that
   * lost its memory has to be given again.
   */
  unfinished(olderThanMs: number, limit: number): Promise<readonly OutboxEvent[]>
}

/** The rows, as post-processing changes them. Throws `records_unavailable`. */
export interface ProcessingRecords {
  /**
   * uploaded -> processing. The row as it is now, also when it was processing already (another worker died, or a
   * step is retried); null when there is nothing to process (available, rejected, gone, a partial upload, unknown).
   */
  begin(id: UploadId): Promise<Upload | null>
  /** processing -> available with what the steps found. False: it was not processing any more; nothing changed, no event. */
  finish(id: UploadId, facts: { readonly sha256: string }): Promise<boolean>
}

/** The part of the byte store that steps use. */
export type ObjectReader = Pick<ByteStore, 'read'>

/** The part of pino that this room uses. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
