import type { Deps } from './deps.ts'
import type { Acquired } from './hold-keeper.ts'
import { OpenUpload } from './open-upload.ts'
import { agrees, emptySession, recover } from './recovery.ts'
import { isUnfinished } from './states.ts'
import type { Upload } from './words.ts'

/**
 * Takes the hold of an unfinished upload and brings its session to where bytes may be added. `row` was read at
 * `rowSeenAt`, before the hold was asked for: that order is what lets a takeover that was overtaken notice it
 * (data-path.md, section 3, "Order of an unclean takeover").
 * Throws upload_busy, hold_lost, upload_gone (its bytes are lost), *_unavailable.
 * null: the upload changed under us; the caller reads the row again.
 * `known`: the row was not read for this request (known-rows.ts); it opens nothing but what was left cleanly.
 */
export async function openUpload(
  deps: Deps,
  row: Upload,
  rowSeenAt: number,
  waitMs: number,
  known = false,
): Promise<OpenUpload | null> {
  const acquired = await deps.holds.acquire(row.id, { waitMs, rowSeenAt })
  try {
    const doubtful = known && acquired.taken.kind !== 'clean'
    const open = doubtful ? null : await enter(deps, row, acquired, known)
    // Where there was no session there is nothing that the next holder could need.
    const nothing = doubtful && acquired.taken.kind === 'rebuild'
    if (!open) await deps.holds.release(acquired.hold, nothing ? 'drop' : 'unclean')
    return open
  } catch (error) {
    await deps.holds.release(acquired.hold, 'unclean')
    throw error
  }
}

async function enter(deps: Deps, row: Upload, { hold, taken }: Acquired, known: boolean): Promise<OpenUpload | null> {
  if (taken.kind === 'clean') {
    // A recovery raises the generation first and commits where its tails count from last: a row that was read between
    // the two agrees with the session and still is not the one to go on with.
    // A finish that was interrupted shows in the state alone.
    const finishing = known && taken.session.offset === row.length
    const settled = row.tailGeneration === row.generation && !finishing
    if (settled && agrees(taken.session, row)) return new OpenUpload(deps, hold, row, taken.session, true)
    // The holder before may have changed the row after we read it.
    const seenAt = Date.now()
    const now = await deps.records.find(row.id)
    if (!now || !isUnfinished(now.state)) return null
    if (!agrees(taken.session, now)) {
      // Only a generation that was read before our token was in place may be raised: this look may have come so late that
      // another holder is there, and acknowledges.
      return now.generation === row.generation ? recover(deps, row, hold, null) : null
    }
    hold.rowSeenAt = seenAt
    return new OpenUpload(deps, hold, now, taken.session, true)
  }
  // A session that is there was saved by somebody who wrote: then the row moved on after we read it.
  if (row.state === 'created' && taken.kind === 'rebuild') {
    // Nothing was ever stored: the first write raises the generation. Until then there is nothing to keep.
    hold.generation = row.generation
    return new OpenUpload(deps, hold, row, emptySession(row), false)
  }
  return recover(deps, row, hold, taken.kind === 'unclean' ? taken.session : null)
}
