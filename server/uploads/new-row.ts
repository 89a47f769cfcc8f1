import type { CreateRequest } from './api.ts'
import { PARTIAL } from './concat.ts'
import type { Context } from './context.ts'
import { expiryFromNow } from './context.ts'
import { newUploadId } from './id.ts'
import type { Metadata } from './metadata.ts'
import type { NewUpload } from './ports/records.ts'
import type { Principal, Upload } from './words.ts'

/** The row of a creation, not inserted yet. */
export function newRow(context: Context, principal: Principal, request: CreateRequest, metadata: Metadata) {
  const id = newUploadId()
  return {
    id,
    tenant: principal.tenant,
    owner: principal.subject,
    length: request.length,
    lengthDeferred: request.length === null && request.completesAtEnd !== true,
    partBytes: context.settings.partBytes,
    generation: 1,
    metadataRaw: request.metadataRaw === '' ? null : request.metadataRaw,
    metadata: metadata.values,
    filename: request.filename ?? metadata.filename,
    contentType: request.contentType ?? metadata.contentType,
    expiresAt: expiryFromNow(context),
    // From the start: a later S3_BUCKET is for later uploads.
    bucket: context.stores.of({ id, tenant: principal.tenant }).bucket,
    ...context.secretsOf(id, []),
    ...(request.partial ? { concatRaw: PARTIAL } : {}),
  } satisfies NewUpload
}

/** The same as a hook sees it before it is inserted: what the database fills in has its default. */
export function rowToBe(row: NewUpload): Upload {
  const now = Date.now()
  return {
    state: 'created',
    generation: 1,
    storedLength: null,
    offsetSeen: 0,
    segments: [],
    multipartId: null,
    multipartKey: null,
    segmentStart: 0,
    tailGeneration: 1,
    unverifiedFrom: null,
    partialOf: null,
    concatRaw: null,
    metadataRaw: null,
    metadata: {},
    limits: {},
    contentType: null,
    filename: null,
    crc32: null,
    sha256: null,
    encoding: null,
    keyId: null,
    dataKeys: {},
    layout: null,
    bucket: null,
    objectKey: null,
    expiresAt: null,
    legalHold: false,
    nextSeq: 1,
    createdAt: now,
    updatedAt: now,
    enteredAt: {},
    ...row,
  }
}
