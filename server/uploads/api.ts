/**
 * What the engine offers: the dozen calls that both wire dialects and the REST API make. A rule is written behind
 * these and nowhere else; who may call what stands in policy.ts: `not_found` for an upload that the caller may not know
 * of, `forbidden` for what the caller's roles do not allow. Every failure is an UploadError whose code
 * server/errors/table.ts turns into an answer.
 */
import type { Readable } from 'node:stream'
import type { ByteRange, LinkOptions } from './ports/byte-store.ts'
import type { ListQuery, Page } from './ports/records.ts'
import type { Body, Principal, Upload, UploadId } from './words.ts'

/** What the body has to be, as its sender says. It is told every byte in order. */
export interface Verification {
  update(chunk: Buffer): void
  /** Once, after the end of the body. Throws checksum_mismatch, checksum_invalid. */
  verify(): void
}

/** Bytes that come with a creation or an append. */
export interface Incoming {
  /** Node's own request stream; the engine reads it, pauses it and never joins it. null: no body. */
  readonly body: Body | null
  /** Content-Length, where one was sent; null for chunked. */
  readonly bodyLength: number | null
  /** Called once, right before the first byte is asked for: the moment for `100 Continue`. Not called when refused before. */
  readonly beforeBody?: () => void
  /** Stops reading the connection that the body comes by, and goes on: a paused stream would still take in some. */
  readonly connection?: { rest(): void; readOn(): void }
  /** No byte of the body counts before it was verified; a body that breaks or fails leaves nothing behind. */
  readonly verification?: Verification
}

export interface CreateRequest extends Incoming {
  /** null: deferred. */
  readonly length: number | null
  /**
   * With `length: null` and a body: the length is what the body turns out to have (one file of a form). The upload is
   * finished when this resolves; a body that breaks, stalls or is too long leaves nothing behind.
   */
  readonly completesAtEnd?: boolean
  /** `Upload-Metadata` as sent (latin1 string of its bytes); null or '' : none. */
  readonly metadataRaw: string | null
  /** `Upload-Concat: partial`: one piece of a file that {@link Engine.concatenate} puts together. */
  readonly partial?: boolean
  /** The media type and file name the client gave by other means than metadata (REST, IETF), if any. */
  readonly contentType?: string
  readonly filename?: string
}

export interface ConcatenateRequest {
  /** `Upload-Concat` as sent, byte for byte (latin1). */
  readonly raw: string
  /** In the order of the file; one may come more than once. */
  readonly partials: readonly UploadId[]
  /** As in {@link CreateRequest}. That of the partial uploads is not taken over. */
  readonly metadataRaw: string | null
}

export interface AppendRequest extends Incoming {
  /** `Upload-Offset`: where the client believes the upload to end. */
  readonly offset: number
  /** `Upload-Length` on an append: the deferred length becomes known. */
  readonly declaredLength?: number
}

/** An upload and the offset that may be told about it. */
export interface Standing {
  readonly upload: Upload
  /** Durable bytes. Equal to upload.length only when the object is whole. */
  readonly offset: number
}

export interface Download {
  readonly upload: Upload
  /** Size of the whole representation, bytes. */
  readonly bytes: number
  /** Strong ETag, quoted. */
  readonly etag: string
  /** Begin streaming; call once, after Range and conditions were settled. Destroying the stream stops it. */
  open(range?: ByteRange): Promise<Readable>
  /** A URL of the store for whoever knows it, instead of {@link open}. null: this file can only be streamed. */
  link(options: LinkOptions): Promise<string | null>
}

export interface Engine {
  /** Longest allowed upload, bytes. */
  readonly maxBytes: number
  /**
   * A new upload, with its first bytes if they come along. A whole file in one call is one object and one row.
   * Throws: length_invalid, upload_too_large, metadata_invalid, metadata_too_large, body_exceeds_length, refused_by_hook,
   * forbidden, store_unavailable, records_unavailable, shutting_down, body_cut. When the upload exists although the
   * body failed, the error's facts have `location_id` and `offset`.
   */
  create(principal: Principal, request: CreateRequest): Promise<Standing>
  /**
   * A final upload: one file of finished partial uploads of the same owner, put together inside the store. The very same
   * request again answers the upload that it made before. Throws: not_found, upload_gone, concat_invalid,
   * upload_too_large, metadata_invalid, metadata_too_large, refused_by_hook, forbidden, *_unavailable, shutting_down, and
   * finish_pending with facts.location_id when it takes longer than a request may wait.
   */
  concatenate(principal: Principal, request: ConcatenateRequest): Promise<Standing>
  /**
   * Bytes at the end of an upload; finishes it when they complete it. Throws: not_found, upload_gone, offset_mismatch
   * (facts.offset), length_conflict, length_already_known, upload_too_large, body_exceeds_length, upload_busy,
   * hold_lost, finish_pending, body_cut, body_stalled, shutting_down, *_unavailable.
   */
  append(principal: Principal, id: UploadId, request: AppendRequest): Promise<Standing>
  /**
   * The durable offset now. A live holder is made to flush; a stalled one is cut; a dead one is replaced and the session
   * rebuilt; a pending finish is driven on. Throws: not_found, upload_gone, and `upload_busy` or `finish_pending`
   * (both 423) when no answer can be had in time, whatever is away.
   */
  inspect(principal: Principal, id: UploadId): Promise<Standing>
  /** Ends an upload in any state and removes its bytes. Throws: not_found, upload_gone, upload_busy, refused_by_hook, *_unavailable. */
  terminate(principal: Principal, id: UploadId): Promise<void>
  /** The record alone, no hold taken. Throws: not_found, forbidden, records_unavailable. */
  record(principal: Principal, id: UploadId): Promise<Upload>
  /** The caller's uploads; those of the whole tenant, or of one `owner`, for operators and admins. Throws: forbidden, query_invalid. */
  list(principal: Principal, query: Omit<ListQuery, 'tenant'>): Promise<Page>
  /** A finished upload's bytes. Throws: not_found, upload_gone, upload_not_finished. */
  download(principal: Principal, id: UploadId): Promise<Download>
  /** One round of housekeeping: drives standing finishes on, expires what is due. Returns how many of each. */
  sweep(): Promise<{ finished: number; expired: number }>
  /** Stop: running appends flush what they received and end with shutting_down; holds are released. */
  close(): Promise<void>
}

/** What a lifecycle hook may see of an upload that does not exist yet. */
export interface UploadDraft {
  readonly id: UploadId
  readonly length: number | null
  readonly metadata: Readonly<Record<string, string>>
  readonly contentType: string | null
  readonly filename: string | null
  /** One piece of a file (tus 1.0, Concatenation): it has its own rules for metadata, mostly none at all. */
  readonly partial?: boolean
}

/** The blocking lifecycle hooks as the engine calls them. Each may throw UploadError('refused_by_hook') with facts.status (4xx). */
export interface Gatekeeper {
  preCreate(principal: Principal, draft: UploadDraft): Promise<void>
  /** All bytes are durable; the object is not made yet. A refusal ends the upload as terminated. */
  preFinish(upload: Upload): Promise<void>
  preTerminate(principal: Principal, upload: Upload): Promise<void>
}

/** Counters that the engine moves; server/observability maps them to metrics. */
export interface EngineEvents {
  created(upload: Upload): void
  finished(upload: Upload, bytes: number): void
  terminated(upload: Upload): void
  expired(upload: Upload): void
  received(bytes: number): void
  /** How a hold was come by, and how long it took. */
  held(kind: 'clean' | 'rebuild' | 'unclean', waitedMs: number): void
  flushed(reason: 'end' | 'cut' | 'wanted' | 'inspect' | 'age' | 'memory', bytes: number): void
  /** Committed: the outbox has something to relay. */
  outbox(): void
}
