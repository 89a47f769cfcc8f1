import type { AppendRequest, Incoming, Standing } from './api.ts'
import { type AppendEnd, Appender } from './appender.ts'
import { isFinal } from './concat.ts'
import type { Context } from './context.ts'
import { allowedRow, expiryFromNow, knownRow, note, refuseGone, refuseWhenStopping } from './context.ts'
import { UploadError } from './errors.ts'
import { finishUpload } from './finish.ts'
import type { Kept } from './gathering.ts'
import { Intake } from './intake.ts'
import type { SeenRow } from './known-rows.ts'
import type { OpenUpload } from './open-upload.ts'
import { openUpload } from './opening.ts'
import { isFinished } from './states.ts'
import type { Principal, Upload, UploadId } from './words.ts'

/** The row follows a sliding expiry at most this often. */
const EXPIRY_STEP_MS = 60_000

/** {@link Engine.append} */
export async function append(
  context: Context,
  principal: Principal,
  id: UploadId,
  request: AppendRequest,
): Promise<Standing> {
  refuseWhenStopping(context)
  const known = knownRow(context, principal, id, 'append')
  const seenAt = known?.seenAt ?? Date.now()
  const row = known?.row ?? (await allowedRow(context, principal, id, 'append'))
  refuseGone(row)
  if (isFinal(row)) throw new UploadError('concat_final', `Upload ${id} is made of partial uploads; it takes no bytes.`)
  checkDeclared(context, row, request)
  if (isFinished(row.state)) return appendToFinished(row, request)
  const finishing = context.finishes.join(id)
  if (finishing) return appendToFinished(await finishing, request)
  // An upload without bytes has nothing that a hold could tell us.
  if (row.state === 'created') checkAgainst(context, row, 0, request)
  const open = await openAgain(context, principal, { row, seenAt }, known !== null)
  try {
    checkDeclared(context, open.row, request)
    checkAgainst(context, open.row, open.offset, request)
    await declareLength(open, request.declaredLength)
  } catch (error) {
    await open.close()
    throw error
  }
  return takeBody(context, open, request)
}

/** Opens the upload; when its row changed under us, reads it again. */
async function openAgain(
  context: Context,
  principal: Principal,
  first: SeenRow,
  wasKnown: boolean,
): Promise<OpenUpload> {
  let { row, seenAt } = first
  let known = wasKnown
  for (let attempt = 0; attempt < 5; attempt++) {
    const open = await openUpload(context, row, seenAt, context.settings.holdWaitMs, known)
    if (open) return open
    known = false
    seenAt = Date.now()
    row = await allowedRow(context, principal, row.id, 'append')
    refuseGone(row)
    if (isFinished(row.state)) {
      throw new UploadError('offset_mismatch', `Upload ${row.id} was finished by another request.`, {
        facts: { offset: row.length ?? 0 },
      })
    }
  }
  throw new UploadError('upload_busy', `Upload ${row.id} is contended. Try again shortly.`)
}

/**
 * Reads the body into an upload that is open, and finishes it when it is complete. Lets the hold go in every case.
 * `gathered`: an intake that has bytes of this body already, and whether the end of the body is the end of the file.
 */
export async function takeBody(
  context: Context,
  open: OpenUpload,
  request: Incoming,
  gathered: { readonly intake: Intake; readonly completesAtEnd: boolean } | null = null,
): Promise<Standing> {
  const before = open.offset
  let intake = gathered?.intake ?? null
  let handedOver = false
  try {
    if (!intake && request.body && request.bodyLength !== 0) {
      intake = newIntake(context, request, (open.row.length ?? context.settings.maxBytes) - open.offset)
      request.beforeBody?.()
      intake.start()
    }
    const { end, whole } = intake ? await drink(context, open, intake) : { end: 'ended' as const, whole: null }
    if (gathered?.completesAtEnd && end === 'ended') await declareLength(open, open.offset)
    if (whole || (open.row.length !== null && open.offset === open.row.length)) {
      handedOver = true
      context.known.forget(open.row.id)
      const finish = releasing(whole, finishUpload(context, open, whole?.bytes ?? null))
      const row = await context.finishes.start(open.row.id, finish)
      refuseEnd(open.row.id, end === 'overrun' ? end : 'ended')
      return { upload: row, offset: row.length ?? 0 }
    }
    await slideExpiry(context, open, before)
    await open.end()
    context.known.put(open.row, open.hold.rowSeenAt)
    if (end !== 'ended') note(context, open, 'break', end)
    refuseEnd(open.row.id, end)
    return { upload: open.row, offset: open.offset }
  } finally {
    intake?.stop()
    if (!handedOver) await open.close()
  }
}

/** Gives the bytes back when `stored` settles; their pages are for reuse only when nothing failed. */
export async function releasing<T>(bytes: Kept | null, stored: Promise<T>): Promise<T> {
  try {
    const result = await stored
    bytes?.release(true)
    return result
  } finally {
    bytes?.release(false)
  }
}

export function newIntake(context: Context, request: Incoming, limit: number): Intake {
  if (!request.body) throw new Error('an intake needs a body')
  const { settings, memory, pool, events } = context
  return new Intake({
    body: request.body,
    bodyLength: request.bodyLength,
    limit,
    idleMs: settings.idleMs,
    memory,
    pool,
    received: (bytes) => events.received(bytes),
    ...(request.connection ? { connection: request.connection } : {}),
    ...(request.verification ? { verification: request.verification } : {}),
  })
}

async function drink(context: Context, open: OpenUpload, intake: Intake) {
  const appender = new Appender(context, open, intake)
  context.appenders.add(appender)
  if (context.stopping()) appender.stop()
  try {
    return await appender.run()
  } finally {
    context.appenders.delete(appender)
  }
}

/** An end that is no success, after its bytes were kept. */
function refuseEnd(id: UploadId, end: AppendEnd): void {
  switch (end) {
    case 'ended':
      return
    case 'cut':
      throw new UploadError(
        'body_cut',
        `The connection broke before the body of upload ${id} was complete; what came is kept.`,
      )
    case 'stalled':
      throw new UploadError('body_stalled', `No byte came for upload ${id} within the idle timeout; what came is kept.`)
    case 'overrun':
      throw new UploadError('body_exceeds_length', `The body goes past the length of upload ${id}.`)
    case 'wanted':
      throw new UploadError('upload_busy', `Another request took over upload ${id}; what came is kept.`, {
        facts: { cut: 1 },
      })
    case 'stopped':
      throw new UploadError('shutting_down', 'This instance is shutting down; what came is kept.')
    default:
      throw new Error(`unknown end ${end satisfies never}`)
  }
}

function appendToFinished(row: Upload, request: AppendRequest): Standing {
  const length = row.length ?? 0
  if (request.offset !== length) throw mismatch(row, request.offset, length)
  if (request.body && request.bodyLength !== 0) {
    throw new UploadError('upload_finished', `Upload ${row.id} is finished; nothing can be added.`)
  }
  return { upload: row, offset: length }
}

function mismatch(row: Upload, given: number, offset: number): UploadError {
  return new UploadError('offset_mismatch', `Upload-Offset is ${given}, but upload ${row.id} ends at ${offset}.`, {
    facts: { offset },
  })
}

function checkDeclared(context: Context, row: Upload, { declaredLength }: AppendRequest): void {
  if (declaredLength === undefined || declaredLength === row.length) return
  if (row.length !== null) {
    throw new UploadError(
      'length_already_known',
      `Upload-Length ${declaredLength}: upload ${row.id} has the length ${row.length}.`,
    )
  }
  refuseTooLarge(context, declaredLength)
}

function checkAgainst(context: Context, row: Upload, offset: number, request: AppendRequest): void {
  if (request.offset !== offset) throw mismatch(row, request.offset, offset)
  const { declaredLength } = request
  if (declaredLength !== undefined && declaredLength < offset) {
    throw new UploadError(
      'length_conflict',
      `Upload-Length ${declaredLength} is below the ${offset} bytes that are stored.`,
    )
  }
  const length = declaredLength ?? row.length
  const body = request.bodyLength ?? 0
  if (length === null) refuseTooLarge(context, offset + body)
  else if (offset + body > length) {
    throw new UploadError(
      'body_exceeds_length',
      `The body has ${body} bytes, but upload ${row.id} misses only ${length - offset}.`,
    )
  }
}

/** Throws upload_too_large over the configured maximum. */
export function refuseTooLarge(context: Context, bytes: number): void {
  const { maxBytes } = context.settings
  if (bytes > maxBytes) {
    throw new UploadError(
      'upload_too_large',
      `${bytes} bytes are more than the ${maxBytes} that one upload may have.`,
      {
        facts: { maxBytes },
      },
    )
  }
}

/** A deferred length becomes known. The generation is raised, so that nobody goes on with a row that lacks it. */
async function declareLength(open: OpenUpload, declaredLength: number | undefined): Promise<void> {
  if (declaredLength === undefined || open.row.length !== null) return
  await open.change({ length: declaredLength }, { raise: true })
  if (open.saved) await open.save({})
}

/** Bytes were stored: the upload lives on. Written at most once a minute (or a tenth of a short period). */
async function slideExpiry(context: Context, open: OpenUpload, before: number): Promise<void> {
  const expiresAt = expiryFromNow(context)
  if (expiresAt === null || open.offset === before) return
  const step = Math.min(EXPIRY_STEP_MS, (context.settings.expiresAfterMs ?? 0) / 10)
  if (expiresAt - (open.row.expiresAt ?? 0) >= step) await open.change({ expiresAt, offsetSeen: open.offset })
}
