import type { CreateRequest, Standing } from './api.ts'
import { newIntake, refuseTooLarge, releasing, takeBody } from './appending.ts'
import { crc32Of, NO_BYTES } from './bytes.ts'
import { isPartial } from './concat.ts'
import type { Context } from './context.ts'
import { expiryOnceUploaded, refuseWhenStopping } from './context.ts'
import { UploadError } from './errors.ts'
import type { Intake } from './intake.ts'
import { newObjectKey } from './keys.ts'
import { countedTwice } from './memory.ts'
import { parseMetadata } from './metadata.ts'
import { newRow, rowToBe } from './new-row.ts'
import { openUpload } from './opening.ts'
import { requireRole } from './policy.ts'
import type { NewUpload } from './ports/records.ts'
import { isUnfinished } from './states.ts'
import { endUnfinished } from './terminating.ts'
import type { Bytes, Principal } from './words.ts'

/** {@link Engine.create} */
export async function create(context: Context, principal: Principal, request: CreateRequest): Promise<Standing> {
  refuseWhenStopping(context)
  requireRole(principal, 'create')
  if (request.length !== null) refuseTooLarge(context, request.length)
  if (request.bodyLength !== null && request.bodyLength > (request.length ?? context.settings.maxBytes)) {
    throw new UploadError(
      request.length === null ? 'upload_too_large' : 'body_exceeds_length',
      `The body has ${request.bodyLength} bytes, more than the upload may have.`,
    )
  }
  const metadata = parseMetadata(request.metadataRaw, context.settings.maxMetadataBytes)
  const draft = newRow(context, principal, request, metadata)
  await context.gatekeeper.preCreate(principal, {
    id: draft.id,
    length: draft.length,
    metadata: metadata.values,
    contentType: draft.contentType ?? null,
    filename: draft.filename ?? null,
    ...(request.partial ? { partial: true } : {}),
  })
  if (request.length === 0) return createWhole(context, draft, NO_BYTES)
  if (!request.body || request.bodyLength === 0) return createEmpty(context, draft)
  return createWithBody(context, draft, request)
}

async function createEmpty(context: Context, draft: NewUpload): Promise<Standing> {
  const upload = await context.records.insert(draft, ['created'])
  context.events.created(upload)
  context.events.outbox()
  return { upload, offset: 0 }
}

/**
 * A whole file in one request: one object under a key with a token of its own, then one statement. A crash between
 * the two leaves an object that no row names. No hold: nobody else knows the id yet.
 */
async function createWhole(context: Context, draft: NewUpload, bytes: Bytes): Promise<Standing> {
  const { stores, settings, records, gate, events, gatekeeper } = context
  const store = stores.of(draft)
  const key = newObjectKey(settings.keys, draft, 1)
  const crc32 = crc32Of(bytes)
  const type = draft.contentType ? { contentType: draft.contentType } : {}
  const put = () => store.putObject(key, { body: bytes, crc32 }, type)
  await gate.run(() => countedTwice(context.memory, store, bytes, put), true)
  const row: NewUpload = {
    ...draft,
    length: bytes.length,
    objectKey: key,
    bucket: store.bucket,
    crc32,
    storedLength: store.sealing?.storedBytes(bytes.length, null) ?? bytes.length,
    offsetSeen: bytes.length,
    expiresAt: expiryOnceUploaded(context, rowToBe(draft)),
  }
  try {
    if (!isPartial(rowToBe(row))) await gatekeeper.preFinish(rowToBe(row))
  } catch (error) {
    await store.remove([key]).catch(() => {})
    throw error
  }
  const upload = await records.insert(row, ['created', 'uploaded'])
  events.created(upload)
  events.finished(upload, bytes.length)
  events.outbox()
  return { upload, offset: bytes.length }
}

/** Bytes come along. As long as they may turn out to be the whole file, nothing is written before they are all here. */
async function createWithBody(context: Context, draft: NewUpload, request: CreateRequest): Promise<Standing> {
  const { length, partBytes } = draft
  const atEnd = request.completesAtEnd === true && length === null
  const intake = newIntake(context, request, length ?? context.settings.maxBytes)
  request.beforeBody?.()
  intake.start()
  try {
    // A body to be verified that fits is gathered, too: when it fails there is nothing to remove.
    const fits = intake.unverified && request.bodyLength !== null && request.bodyLength <= partBytes
    const mayBeWhole = atEnd || fits || (length !== null && length <= partBytes)
    if (mayBeWhole && (await gatherAll(context, intake, atEnd ? partBytes : Number.POSITIVE_INFINITY))) {
      if (atEnd) refuseBroken(intake.end)
      if (intake.end === 'overrun') throw new UploadError('body_exceeds_length', 'The body goes past Upload-Length.')
      if (intake.end === 'ended') intake.verify()
      if ((atEnd || intake.bytes === length) && !intake.unverified) {
        const whole = intake.take(intake.bytes)
        return await releasing(whole, createWhole(context, draft, whole.bytes))
      }
    }
  } catch (error) {
    intake.stop()
    throw error
  }
  return atEnd ? createUntilEnd(context, draft, request, intake) : createThenAppend(context, draft, request, intake)
}

/** True once the body has ended; false when it is longer than `most`, too old, or memory too short, to keep waiting. */
async function gatherAll(context: Context, intake: Intake, most: number): Promise<boolean> {
  const { flushAfterMs } = context.settings
  const timer = setTimeout(() => intake.requestFlush(), flushAfterMs)
  try {
    intake.resume(most)
    while (intake.end === 'open' && intake.bytes < most && !intake.flushAsked && !context.stopping()) {
      await intake.wait()
    }
    return intake.end !== 'open'
  } finally {
    clearTimeout(timer)
  }
}

/** A body whose end is the end of the file has to end as it should. */
function refuseBroken(end: Intake['end']): void {
  if (end === 'cut')
    throw new UploadError('body_cut', 'The connection broke in the middle of the file; nothing of it is kept.')
  if (end === 'stalled')
    throw new UploadError('body_stalled', 'No byte came within the idle timeout; nothing of the file is kept.')
  if (end === 'overrun') throw new UploadError('upload_too_large', 'The file is longer than one upload may be.')
}

/** A file of unknown length that is too long to wait for: like any append, and what fails is removed again. */
async function createUntilEnd(
  context: Context,
  draft: NewUpload,
  request: CreateRequest,
  intake: Intake,
): Promise<Standing> {
  try {
    return await createThenAppend(context, draft, request, intake)
  } catch (error) {
    // The finish goes on by itself: the file will be there, and the error says where.
    if (!(error instanceof UploadError) || error.code === 'finish_pending') throw error
    await discarded(context, draft)
    const { location_id: _gone, offset: _nothing, ...facts } = error.facts
    const code = error.code === 'body_exceeds_length' ? 'upload_too_large' : error.code
    throw new UploadError(code, error.message, { cause: error, facts })
  }
}

/** Removes the upload of a creation that failed as a whole; never throws. */
async function discarded(context: Context, draft: NewUpload): Promise<void> {
  const removing = discard(context, draft)
  context.background.keep(removing)
  await removing.catch(() => {})
}

/** What cannot be removed now (something is away) expires with its upload. */
async function discard(context: Context, draft: NewUpload): Promise<void> {
  const row = await context.records.find(draft.id)
  if (!row || !isUnfinished(row.state)) return
  const ended = await endUnfinished(context, row, Date.now(), 'terminated', context.settings.holdWaitMs)
  if (ended) context.events.terminated(ended)
}

/** The row first, then the body like any append. What fails from here on leaves an upload that the client can resume. */
async function createThenAppend(
  context: Context,
  draft: NewUpload,
  request: CreateRequest,
  intake: Intake,
): Promise<Standing> {
  let created: Standing
  try {
    created = await createEmpty(context, draft)
  } catch (error) {
    intake.stop()
    throw error
  }
  const { upload } = created
  try {
    const open = await openUpload(context, upload, Date.now(), context.settings.holdWaitMs)
    if (!open) throw new UploadError('upload_busy', `Upload ${upload.id} is contended.`)
    return await takeBody(context, open, request, { intake, completesAtEnd: request.completesAtEnd === true })
  } catch (error) {
    if (!(error instanceof UploadError)) throw error
    const refused = error.code === 'checksum_mismatch' || error.code === 'checksum_invalid'
    if (refused) await discarded(context, draft)
    if (refused) throw error
    throw new UploadError(error.code, error.message, {
      cause: error,
      facts: { ...error.facts, location_id: upload.id },
    })
  } finally {
    intake.stop()
  }
}
