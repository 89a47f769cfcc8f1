import type { ColumnType, Generated } from 'kysely'
import type { Layout, Segment, UploadId, UploadState } from '../server/uploads/words.ts'

/**
 * The tables as Kysely sees them; db/migrations makes them, db/schema.sql shows them. `bigint` comes back as a number
 * on both drivers (db/int8.ts), `timestamptz` as a Date, `bytea` as a Uint8Array.
 */
export interface Tables {
  readonly uploads: UploadsTable
  readonly upload_history: UploadHistoryTable
  readonly outbox: OutboxTable
  readonly leases: LeasesTable
}

/** Written as JSON text, read back parsed. */
type Json<T> = ColumnType<T, string, string>
type Bytes = ColumnType<Uint8Array | null, Uint8Array | null, Uint8Array | null>

/** `receiving_at`, ...: when the state was entered last. */
type StateTimes = { readonly [S in Exclude<UploadState, 'created'> as `${S}_at`]: Date | null }

export interface UploadsTable extends StateTimes {
  id: UploadId
  tenant: string
  owner: string
  state: UploadState
  generation: number
  length: number | null
  length_deferred: boolean
  stored_length: number | null
  offset_seen: number
  part_bytes: number
  segments: Json<Segment[]>
  multipart_id: string | null
  multipart_key: string | null
  segment_start: number
  tail_generation: number
  unverified_from: number | null
  partial_of: UploadId | null
  concat_raw: Bytes
  metadata_raw: Bytes
  metadata: Json<Record<string, string>>
  limits: Json<Record<string, number>>
  content_type: string | null
  filename: string | null
  crc32: number | null
  sha256: string | null
  encoding: string | null
  key_id: string | null
  data_keys: Json<Record<string, string>>
  layout: ColumnType<Layout | null, string | null, string | null>
  bucket: string | null
  object_key: string | null
  expires_at: Date | null
  legal_hold: boolean
  next_seq: number
  created_at: Date
  updated_at: Date
}

export interface UploadHistoryTable {
  id: Generated<number>
  upload_id: UploadId
  at: Generated<Date>
  kind: string
  generation: number
  instance: string
  offset: number
  detail: string | null
}

export interface LeasesTable {
  name: string
  holder: string
  expires_at: Date
}

export interface OutboxTable {
  event_id: string
  /** The order of insertion; within one upload the order of `seq`. */
  position: Generated<number>
  upload_id: UploadId
  seq: number
  type: string
  payload: Json<unknown>
  created_at: Date
  claimed_until: Date | null
  published_at: Date | null
  done_at: Date | null
}
