import { setTimeout as sleep } from 'node:timers/promises'
import type { Standing } from './api.ts'
import type { Context } from './context.ts'
import { allowedRow, knownRow, refuseGone } from './context.ts'
import { driveFinish } from './driving.ts'
import { hasCode, UploadError } from './errors.ts'
import type { SeenRow } from './known-rows.ts'
import { openUpload } from './opening.ts'
import type { Session } from './ports/coordination.ts'
import { isFinished } from './states.ts'
import type { Principal, Upload, UploadId } from './words.ts'

/** A holder is asked again this often, because a message may be lost. */
const ASK_AGAIN_MS = 1000

/** {@link Engine.inspect} */
export async function inspect(context: Context, principal: Principal, id: UploadId): Promise<Standing> {
  const startedAt = Date.now()
  const { finishWaitMs, holdWaitMs } = context.settings
  let known = knownRow(context, principal, id, 'inspect')
  for (;;) {
    const rowSeenAt = known?.seenAt ?? Date.now()
    const row = known?.row ?? (await patiently(context, startedAt, () => allowedRow(context, principal, id, 'inspect')))
    refuseGone(row)
    if (isFinished(row.state)) return { upload: row, offset: row.length ?? 0 }
    const waited = Date.now() - startedAt
    if (waited > (row.state === 'finishing' ? finishWaitMs : holdWaitMs)) throw busy(row)
    const left = Math.max(0, finishWaitMs - waited)
    const offset = known
      ? await offsetOfKnown(context, known)
      : await patiently(context, startedAt, () => offsetOf(context, row, rowSeenAt, left))
    known = null
    if (offset !== null && offset !== row.length) {
      context.known.put(row, rowSeenAt)
      return { upload: row, offset }
    }
  }
}

/**
 * What a session that was left cleanly says of an upload whose row was seen moments ago (known-rows.ts). null: it takes
 * the row to tell.
 */
async function offsetOfKnown(context: Context, { row, seenAt }: SeenRow): Promise<number | null> {
  const seen = await context.coordination.peek(row.id)
  const holds = seen.kind === 'free' && agrees(seen.session, row) && context.known.fresh(seenAt)
  return holds ? seen.session.offset : null
}

/** The durable offset of an unfinished upload; null: it changed, or was finished: look at the row again. */
async function offsetOf(context: Context, row: Upload, rowSeenAt: number, left: number): Promise<number | null> {
  if (await context.finishes.join(row.id)) return null
  if (row.state === 'finishing')
    return driveFinish(context, row, rowSeenAt, Math.min(left, context.settings.holdWaitMs))
  const seen = await context.coordination.peek(row.id)
  switch (seen.kind) {
    case 'free':
      return agrees(seen.session, row) && seen.session.offset !== row.length
        ? seen.session.offset
        : reopen(context, row, rowSeenAt)
    case 'held':
      return ask(context, row, seen.holder)
    case 'missing':
      // Nothing was ever stored, and nobody is about to.
      return row.state === 'created' ? 0 : reopen(context, row, rowSeenAt)
    case 'dead':
      return reopen(context, row, rowSeenAt)
    default:
      throw new Error(`unknown peek ${seen satisfies never}`)
  }
}

function agrees(session: Session, row: Upload): boolean {
  return session.generation === row.generation
}

/** Makes the holder flush and tell. */
async function ask(context: Context, row: Upload, holder: string): Promise<number | null> {
  const { holds, coordination } = context
  const heard = holds.hear(row.id, ASK_AGAIN_MS, (message) => message.type === 'offset' || message.type === 'free')
  const askedAt = Date.now()
  await holds.tell(holder, { type: 'flush', upload: row.id, from: coordination.instance })
  const message = await heard
  if (message?.type === 'offset') return savedOffset(context, row)
  // It let go, or lost the hold before its lease is over: never a busy loop.
  if (Date.now() - askedAt < 20) await sleep(20)
  return null
}

/**
 * What the session says by now. A holder's message only says when to look: it may be the late answer to an earlier
 * question, or come from a holder that was replaced and does not know it.
 */
async function savedOffset(context: Context, row: Upload): Promise<number | null> {
  const seen = await context.coordination.peek(row.id)
  const session = seen.kind === 'held' || seen.kind === 'free' ? seen.session : null
  return session && agrees(session, row) ? session.offset : null
}

/** Takes the hold, which brings the session back to what is stored, and lets go. */
async function reopen(context: Context, row: Upload, rowSeenAt: number): Promise<number | null> {
  const open = await openUpload(context, row, rowSeenAt, 0).catch((error) => {
    if (hasCode(error, 'upload_busy')) return null
    throw error
  })
  if (!open) return null
  const { offset } = open
  const complete = offset === open.row.length
  await open.close()
  return complete ? driveFinish(context, open.row, Date.now(), context.settings.holdWaitMs) : offset
}

/** What is away may come back: a HEAD waits for it a little, then says 423, never 5xx. */
async function patiently<T>(context: Context, startedAt: number, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      const away = hasCode(error, 'records_unavailable', 'store_unavailable')
      if (!away || Date.now() - startedAt > context.settings.inspectPatienceMs || context.stopping()) throw error
      await sleep(250)
    }
  }
}

function busy(row: Upload): UploadError {
  return row.state === 'finishing'
    ? new UploadError('finish_pending', `Upload ${row.id} has all its bytes and is being finished. Ask again shortly.`)
    : new UploadError('upload_busy', `Upload ${row.id} is being written. Ask again shortly.`)
}
