import type { Layout, Segment, Upload, UploadId, UploadState } from '../words.ts'

/** A row to be inserted; what is left out has its column's default. */
export type NewUpload = Pick<Upload, 'id' | 'tenant' | 'owner' | 'length' | 'lengthDeferred' | 'partBytes'> &
  Partial<Omit<Upload, 'id' | 'state' | 'nextSeq' | 'createdAt' | 'updatedAt' | 'enteredAt'>>

/** Columns a change may set. */
export interface UploadChange {
  readonly length?: number
  readonly storedLength?: number
  readonly layout?: Layout | null
  readonly dataKeys?: Readonly<Record<string, string>>
  readonly offsetSeen?: number
  readonly segments?: readonly Segment[]
  readonly multipartId?: string | null
  readonly multipartKey?: string | null
  readonly segmentStart?: number
  readonly tailGeneration?: number
  readonly unverifiedFrom?: number | null
  readonly contentType?: string | null
  readonly crc32?: number | null
  readonly sha256?: string
  readonly bucket?: string | null
  readonly objectKey?: string | null
  readonly expiresAt?: number | null
}

export interface ChangeOptions {
  /** The row changes only while its generation is this one. */
  readonly generation: number
  /** States to enter, in order: the last becomes the row's, each gets its event and its time. */
  readonly enter?: readonly UploadState[]
  /** The row changes only while its state is one of these (default: the states that may lead to `enter[0]`, else any). */
  readonly from?: readonly UploadState[]
  /** generation + 1. */
  readonly raise?: boolean
}

export interface ListQuery {
  readonly tenant: string
  /** Absent: every owner of the tenant. */
  readonly owner?: string
  /** 1..100 */
  readonly limit: number
  /** From a page before; opaque. */
  readonly cursor?: string
  readonly state?: UploadState
  readonly contentType?: string
  readonly createdAfter?: number
  readonly createdBefore?: number
}

export interface Page {
  readonly items: readonly Upload[]
  readonly nextCursor: string | null
}

/** One line of an upload's history of holds (bounded; for "why did this upload stop"). */
export interface HistoryEntry {
  readonly upload: UploadId
  readonly kind: 'hold' | 'takeover' | 'rebuild' | 'break' | 'flush' | 'finish'
  readonly generation: number
  readonly instance: string
  readonly offset: number
  readonly detail?: string
}

/**
 * The rows. Each write is one statement: the change, and with it one outbox event for each state entered
 * (`upload.created`, ...; seq from the row's next_seq). Failure: `records_unavailable`.
 */
export interface Records {
  /** Inserts the row in the last of `entered` (['created'], or ['created', 'uploaded'] for a whole file in one request). */
  insert(upload: NewUpload, entered: readonly UploadState[]): Promise<Upload>
  /**
   * Inserts a final upload in the state finishing; names it in each of its partial uploads and raises their
   * generations. null: not all of them are `uploaded` any more; nothing was written.
   */
  insertFinal(upload: NewUpload, partials: readonly UploadId[]): Promise<Upload | null>
  /** Is a final upload being made of the object of that key? */
  isSource(key: string): Promise<boolean>
  /** Finished partial uploads whose time is over, oldest first. */
  duePartials(now: number, limit: number): Promise<Upload[]>
  /** The final upload is made: its partial ones expire at `expiresAt`, or earlier where they would. */
  releasePartials(final: UploadId, expiresAt: number): Promise<void>
  /** null: no such upload (of any tenant: the engine checks whose it is). */
  find(id: UploadId): Promise<Upload | null>
  /** The row as it is after the change; null: generation or state was not as demanded, nothing changed. */
  change(id: UploadId, change: UploadChange, options: ChangeOptions): Promise<Upload | null>
  /** The generations of several rows in one query; unknown ids are left out. */
  generations(ids: readonly UploadId[]): Promise<Map<UploadId, number>>
  /** Newest first. Throws `query_invalid` on a cursor that is none. */
  list(query: ListQuery): Promise<Page>
  /** Ids for the sweeper, oldest first: finishes that stand still since `finishingBefore`, unfinished ones expired at `now`. */
  due(now: number, finishingBefore: number, limit: number): Promise<{ finishing: Upload[]; expired: Upload[] }>
  note(entry: HistoryEntry): Promise<void>
  ping(signal?: AbortSignal): Promise<void>
}
