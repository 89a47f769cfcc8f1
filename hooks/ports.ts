/**
 * What this room needs of others, as small as it is used, so that tests can stand in for the rest. Types only.
 */
import type { Outbox as WholeOutbox } from '../db/outbox.ts'
import type { Processing } from '../db/processing.ts'
import type { ByteStore } from '../server/uploads/ports/byte-store.ts'

export type { EventPayload, EventType } from '../db/events.ts'
export type { OutboxEvent } from '../db/outbox.ts'

/** The outbox: the truth about what has to be told and what was. Throws `records_unavailable`. */
export type Outbox = Pick<WholeOutbox, 'claim' | 'markPublished' | 'markDone' | 'undone' | 'prune'>

/** The rows, as post-processing changes them. Throws `records_unavailable`. */
export type ProcessingRecords = Processing

/** The part of the byte store that steps use. */
export type ObjectReader = Pick<ByteStore, 'read'>

/** The part of pino that this room uses. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
