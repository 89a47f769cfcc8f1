import { refuseSource } from './concat.ts'
import type { Context } from './context.ts'
import { allowedRow, refuseGone, refuseWhenStopping } from './context.ts'
import { hasCode, UploadError } from './errors.ts'
import { removeBytes, withoutKeys } from './finish.ts'
import { isFinished, statesBefore } from './states.ts'
import type { Principal, Upload, UploadId } from './words.ts'

/** {@link Engine.terminate} */
export async function terminate(context: Context, principal: Principal, id: UploadId): Promise<void> {
  refuseWhenStopping(context)
  const rowSeenAt = Date.now()
  const row = await allowedRow(context, principal, id, 'terminate')
  refuseGone(row)
  await refuseSource(context, row)
  await context.gatekeeper.preTerminate(principal, row)
  const ended = isFinished(row.state)
    ? await endRow(context, row, 'terminated')
    : await endUnfinished(context, row, rowSeenAt, 'terminated', context.settings.holdWaitMs)
  if (!ended) throw new UploadError('upload_busy', `Upload ${id} changed meanwhile. Try again shortly.`)
  context.events.terminated(ended)
}

/**
 * Ends an unfinished upload: its hold is taken first (the request that writes it is cut), so that nothing is written
 * behind its back. null: it changed meanwhile.
 */
export async function endUnfinished(
  context: Context,
  row: Upload,
  rowSeenAt: number,
  state: 'terminated' | 'expired',
  waitMs: number,
): Promise<Upload | null> {
  const { hold } = await context.holds.acquire(row.id, { waitMs, rowSeenAt })
  try {
    // Its last holder may have raised the generation since the row was read.
    const now = (await context.records.find(row.id)) ?? row
    return await endRow(context, now, state)
  } finally {
    await context.holds.release(hold, 'drop')
  }
}

/** Ends the row as it was read, then removes the bytes. null: it changed meanwhile. */
export async function endRow(
  context: Context,
  row: Upload,
  state: 'terminated' | 'expired' | 'erased',
): Promise<Upload | null> {
  const options = { generation: row.generation, enter: [state], from: statesBefore(state) } as const
  const ended = await context.records.change(row.id, withoutKeys(row), { ...options, raise: true })
  if (!ended) return null
  context.events.outbox()
  // The row is the truth: what a failure leaves behind here is an orphan that the sweeper removes.
  await removeBytes(context, row).catch((error) => {
    if (!hasCode(error, 'store_unavailable')) throw error
  })
  return ended
}
