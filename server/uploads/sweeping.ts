import { refuseSource } from './concat.ts'
import type { Context } from './context.ts'
import { driveFinish } from './driving.ts'
import { hasCode } from './errors.ts'
import { endRow, endUnfinished } from './terminating.ts'
import type { Upload } from './words.ts'

/** A finish that did not move for this long stands still. */
const STANDSTILL_MS = 20_000
const BATCH = 100

/** {@link Engine.sweep} */
export async function sweep(context: Context): Promise<{ finished: number; expired: number }> {
  const now = Date.now()
  const due = await context.records.due(now, now - STANDSTILL_MS, BATCH)
  let finished = 0
  let expired = 0
  for (const row of due.finishing) {
    if (context.stopping()) break
    // One that fails now is tried again in the next round; it must not keep the others waiting.
    const driven = await orReported(context, `finishing upload ${row.id}`, driveFinish(context, row, now, 0))
    if (driven === null) finished++
  }
  for (const row of due.expired) {
    if (context.stopping()) break
    // Never from under a request that writes it: such an upload lives on.
    const ended = await orReported(context, `expiring upload ${row.id}`, endUnfinished(context, row, now, 'expired', 0))
    if (!ended) continue
    expired++
    context.events.expired(ended)
  }
  for (const row of await context.records.duePartials(now, BATCH)) {
    if (context.stopping()) break
    const ended = await orReported(context, `erasing the partial upload ${row.id}`, erasePartial(context, row))
    if (!ended) continue
    expired++
    context.events.expired(ended)
  }
  return { finished, expired }
}

/** A final upload that begins to be made of it meanwhile raises its generation first: then nothing ends here. */
async function erasePartial(context: Context, row: Upload): Promise<Upload | null> {
  await refuseSource(context, row)
  return endRow(context, row, 'erased')
}

/** undefined: it failed. Somebody who writes the upload just now is no failure. */
async function orReported<T>(context: Context, name: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (!hasCode(error, 'upload_busy')) context.background.report(name, error)
    return undefined
  }
}
