import type { Insertable, Selectable } from 'kysely'
import { UploadError } from '../server/uploads/errors.ts'
import type { NewUpload } from '../server/uploads/ports/records.ts'
import { UPLOAD_STATES } from '../server/uploads/states.ts'
import type { Upload, UploadState } from '../server/uploads/words.ts'
import type { UploadsTable } from './schema.ts'

export type UploadRow = Selectable<UploadsTable>

/** What a caller may put into a row; the rest is set by the statements themselves. */
export type WritableFields = Partial<Omit<NewUpload, 'id'>>

/** Column name to parameter, for those that are given. */
export type ColumnValues = Partial<Omit<Insertable<UploadsTable>, 'id' | 'state' | 'next_seq' | `${string}_at`>> & {
  expires_at?: Date | null
}

/** The fields that are given (null counts, undefined does not) as columns and their parameters. */
export function toColumns(fields: WritableFields): ColumnValues {
  const all: { [C in keyof ColumnValues]: ColumnValues[C] | undefined } = {
    tenant: fields.tenant,
    owner: fields.owner,
    generation: fields.generation,
    length: fields.length,
    length_deferred: fields.lengthDeferred,
    stored_length: fields.storedLength,
    offset_seen: fields.offsetSeen,
    part_bytes: fields.partBytes,
    segments: json(fields.segments),
    multipart_id: fields.multipartId,
    multipart_key: fields.multipartKey,
    segment_start: fields.segmentStart,
    tail_generation: fields.tailGeneration,
    unverified_from: fields.unverifiedFrom,
    partial_of: fields.partialOf,
    concat_raw: latin1Bytes(fields.concatRaw),
    metadata_raw: latin1Bytes(fields.metadataRaw),
    metadata: fields.metadata && JSON.stringify(storableMetadata(fields.metadata)),
    limits: json(fields.limits),
    content_type: storableText(fields.contentType),
    filename: storableText(fields.filename),
    crc32: fields.crc32,
    sha256: fields.sha256,
    encoding: fields.encoding,
    key_id: fields.keyId,
    data_keys: json(fields.dataKeys),
    layout: fields.layout === null ? null : json(fields.layout),
    bucket: fields.bucket,
    object_key: fields.objectKey,
    expires_at: date(fields.expiresAt),
    legal_hold: fields.legalHold,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

/** The row as the engine knows it. */
export function toUpload(row: UploadRow): Upload {
  return {
    id: row.id,
    tenant: row.tenant,
    owner: row.owner,
    state: row.state,
    generation: row.generation,
    length: row.length,
    lengthDeferred: row.length_deferred,
    storedLength: row.stored_length,
    offsetSeen: row.offset_seen,
    partBytes: row.part_bytes,
    segments: row.segments,
    multipartId: row.multipart_id,
    multipartKey: row.multipart_key,
    segmentStart: row.segment_start,
    tailGeneration: row.tail_generation,
    unverifiedFrom: row.unverified_from,
    partialOf: row.partial_of,
    concatRaw: latin1Text(row.concat_raw),
    metadataRaw: latin1Text(row.metadata_raw),
    metadata: row.metadata,
    limits: row.limits,
    contentType: row.content_type,
    filename: row.filename,
    crc32: row.crc32,
    sha256: row.sha256,
    encoding: row.encoding,
    keyId: row.key_id,
    dataKeys: row.data_keys,
    layout: row.layout,
    bucket: row.bucket,
    objectKey: row.object_key,
    expiresAt: row.expires_at?.getTime() ?? null,
    legalHold: row.legal_hold,
    nextSeq: row.next_seq,
    createdAt: row.created_at.getTime(),
    updatedAt: row.updated_at.getTime(),
    enteredAt: enteredAt(row),
  }
}

function enteredAt(row: UploadRow): Partial<Record<UploadState, number>> {
  const times: Partial<Record<UploadState, number>> = {}
  for (const state of UPLOAD_STATES) {
    const at = row[`${state}_at`]
    if (at) times[state] = at.getTime()
  }
  return times
}

function json(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value)
}

function date(ms: number | null | undefined): Date | null | undefined {
  return typeof ms === 'number' ? new Date(ms) : ms
}

function latin1Bytes(text: string | null | undefined): Buffer | null | undefined {
  if (typeof text !== 'string') return text
  const bytes = Buffer.from(text, 'latin1')
  // Node keeps the low byte of what latin1 does not have: the row would not be what was sent.
  if (bytes.toString('latin1') !== text)
    throw new UploadError('metadata_invalid', 'a raw header has characters beyond latin1')
  return bytes
}

function latin1Text(bytes: Uint8Array | null): string | null {
  if (!bytes) return null
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** jsonb holds neither NUL nor half of a surrogate pair: such a value is written as its bytes, as other binary is. */
function storableMetadata(metadata: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(metadata).map(([key, value]) => {
    if (!value.includes('\0')) return [key.toWellFormed(), value.toWellFormed()]
    return [key.toWellFormed(), `base64:${Buffer.from(value, 'utf8').toString('base64')}`]
  })
  return Object.fromEntries(entries)
}

/** A text column does not hold NUL. */
function storableText(text: string | null | undefined): string | null | undefined {
  return typeof text === 'string' ? text.replaceAll('\0', '\ufffd').toWellFormed() : text
}
