import type { ConcatenateRequest, Standing } from './api.ts'
import { refuseTooLarge } from './appending.ts'
import { isPartial } from './concat.ts'
import type { Context } from './context.ts'
import { refuseWhenStopping } from './context.ts'
import { hasCode, UploadError } from './errors.ts'
import { finishUpload } from './finish.ts'
import { inspect } from './inspecting.ts'
import { parseMetadata } from './metadata.ts'
import { newRow } from './new-row.ts'
import { OpenUpload } from './open-upload.ts'
import { requireRole } from './policy.ts'
import type { NewUpload } from './ports/records.ts'
import { emptySession } from './recovery.ts'
import { isFinished, isGone } from './states.ts'
import type { Principal, Segment, Upload, UploadId } from './words.ts'

/** One final upload is made of at most this many. */
export const MOST_PARTIALS = 1000

/**
 * {@link Engine.concatenate}. The row of the final upload is the whole plan: state finishing, the partials' objects as
 * its segments. So whoever comes by (a HEAD, the sweeper, the same request again) drives it on like any finish.
 */
export async function concatenate(
  context: Context,
  principal: Principal,
  request: ConcatenateRequest,
): Promise<Standing> {
  refuseWhenStopping(context)
  requireRole(principal, 'create')
  const metadata = parseMetadata(request.metadataRaw, context.settings.maxMetadataBytes)
  const partials = await partialsOf(context, principal, request.partials)
  const before = await madeBefore(context, partials, request)
  if (before) return located(before.id, inspect(context, principal, before.id))
  const segments = segmentsOf(partials)
  const length = partials.reduce((sum, partial) => sum + (partial.length ?? 0), 0)
  refuseTooLarge(context, length)
  const row = { length, metadataRaw: request.metadataRaw, body: null, bodyLength: 0 }
  const bare = newRow(context, principal, row, metadata)
  const draft: NewUpload = {
    ...bare,
    ...context.secretsOf(bare.id, partials),
    bucket: bucketOf(partials),
    concatRaw: request.raw,
    segments,
    segmentStart: length,
    // It is complete from the start, and what is finishing does not expire.
    expiresAt: null,
  }
  await context.gatekeeper.preCreate(principal, {
    id: draft.id,
    length,
    metadata: metadata.values,
    contentType: draft.contentType ?? null,
    filename: draft.filename ?? null,
  })
  return located(draft.id, begin(context, draft, request.partials))
}

/** The hold comes before the row: nobody knows the id yet, so nobody drives it on beside us. */
async function begin(context: Context, draft: NewUpload, partials: readonly UploadId[]): Promise<Standing> {
  const { holds, records, events } = context
  const seenAt = Date.now()
  const { hold } = await holds.acquire(draft.id, { waitMs: 0, rowSeenAt: seenAt })
  let row: Upload | null = null
  try {
    row = await records.insertFinal(draft, partials)
    if (!row) {
      throw new UploadError('not_found', 'A partial upload of Upload-Concat ended meanwhile.')
    }
  } catch (error) {
    await holds.release(hold, 'drop')
    throw error
  }
  hold.generation = row.generation
  hold.rowSeenAt = seenAt
  events.created(row)
  events.outbox()
  const open = new OpenUpload(context, hold, row, emptySession(row), false)
  const made = await context.finishes.start(row.id, finishUpload(context, open, null))
  return { upload: made, offset: made.length ?? 0 }
}

/** In the order of the request. Throws not_found for what the caller does not own, concat_invalid, upload_gone. */
async function partialsOf(context: Context, principal: Principal, ids: readonly UploadId[]): Promise<Upload[]> {
  if (ids.length === 0 || ids.length > MOST_PARTIALS) {
    throw new UploadError('concat_invalid', `Upload-Concat names ${ids.length} uploads; give 1 to ${MOST_PARTIALS}.`)
  }
  const rows = new Map<UploadId, Upload>()
  for (const id of new Set(ids)) {
    const row = await context.records.find(id)
    if (!row || row.tenant !== principal.tenant || row.owner !== principal.subject) {
      throw new UploadError('not_found', `There is no upload ${id} to concatenate.`)
    }
    rows.set(id, row)
  }
  return ids.map((id) => usable(rows.get(id), id))
}

/** Copies stay in one bucket. Throws concat_invalid when S3_BUCKET was changed between the partial uploads. */
function bucketOf(partials: readonly Upload[]): string | null {
  const [bucket = null, ...others] = new Set(partials.map((partial) => partial.bucket))
  if (others.length === 0) return bucket
  throw new UploadError(
    'concat_invalid',
    'The partial uploads lie in several buckets. Upload those of the older one again.',
  )
}

function usable(row: Upload | undefined, id: UploadId): Upload {
  if (!row || !isPartial(row)) {
    throw new UploadError('concat_invalid', `Upload ${id} is none of Upload-Concat: partial.`)
  }
  if (isGone(row.state)) throw new UploadError('upload_gone', `The partial upload ${id} is ${row.state}.`)
  if (!isFinished(row.state) || row.objectKey === null) {
    throw new UploadError('concat_invalid', `The partial upload ${id} is ${row.state}; finish it first.`)
  }
  return row
}

/**
 * The final upload that the very same request made before. Its answer may have been lost, or been 423 because the
 * composition took long: tus-js-client then asks for the partial uploads and sends the request again.
 */
async function madeBefore(
  context: Context,
  partials: readonly Upload[],
  { raw, metadataRaw }: ConcatenateRequest,
): Promise<Upload | null> {
  const named = partials[0]?.partialOf ?? null
  const row = named === null ? null : await context.records.find(named)
  if (!row || isGone(row.state) || row.concatRaw !== raw) return null
  return (row.metadataRaw ?? '') === (metadataRaw ?? '') ? row : null
}

/** The objects of the partial uploads, one behind the other; empty ones leave nothing to copy. */
function segmentsOf(partials: readonly Upload[]): Segment[] {
  const segments: Segment[] = []
  let start = 0
  for (const { objectKey, length, crc32 } of partials) {
    const end = start + (length ?? 0)
    if (objectKey !== null && end > start) segments.push({ key: objectKey, start, end, crc32 })
    start = end
  }
  return segments
}

/** A failure after the upload exists says where it is: it goes on without the request. */
async function located(id: UploadId, work: Promise<Standing>): Promise<Standing> {
  try {
    return await work
  } catch (error) {
    if (!hasCode(error, 'finish_pending', 'upload_busy', 'store_unavailable', 'hold_lost')) throw error
    // None of them is the upload's end.
    throw new UploadError('finish_pending', `Upload ${id} is being put together. Send the same request again.`, {
      cause: error,
      facts: { location_id: id },
    })
  }
}
