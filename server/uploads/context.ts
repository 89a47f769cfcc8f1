import type { Appender } from './appender.ts'
import { isPartial } from './concat.ts'
import type { Deps } from './deps.ts'
import { UploadError } from './errors.ts'
import type { Finishes } from './finishes.ts'
import type { KnownRows, SeenRow } from './known-rows.ts'
import type { OpenUpload } from './open-upload.ts'
import type { PagePool } from './page-pool.ts'
import { type Action, requireAccess } from './policy.ts'
import type { HistoryEntry } from './ports/records.ts'
import { isGone, isUnfinished } from './states.ts'
import type { Principal, Upload, UploadId } from './words.ts'

/** What the engine's calls share beside {@link Deps}: what runs in this process right now. */
export interface Context extends Deps {
  readonly finishes: Finishes
  readonly pool: PagePool
  readonly known: KnownRows
  readonly appenders: Set<Appender>
  /** True from the stop on: nothing new begins. */
  readonly stopping: () => boolean
}

export function refuseWhenStopping(context: Context): void {
  if (context.stopping()) {
    throw new UploadError('shutting_down', 'This instance is shutting down. Try again; another instance takes over.')
  }
}

/** The row of an upload that the caller may do this to (policy.ts). Throws not_found, forbidden. */
export async function allowedRow(
  context: Context,
  principal: Principal,
  id: UploadId,
  action: Action,
): Promise<Upload> {
  const row = await context.records.find(id)
  if (!row) throw new UploadError('not_found', `There is no upload ${id}.`)
  requireAccess(principal, action, row)
  return row
}

/**
 * The same as it was seen moments ago (known-rows.ts). null: it was not, or it would be refused, which the database
 * alone says. Throws forbidden.
 */
export function knownRow(context: Context, principal: Principal, id: UploadId, action: Action): SeenRow | null {
  const seen = context.known.get(id)
  if (!seen || isOver(seen.row)) return null
  requireAccess(principal, action, seen.row)
  return seen
}

/** Throws upload_gone for an upload of which nothing but the row is left, or whose time is over. */
export function refuseGone(row: Upload): void {
  if (isGone(row.state)) throw new UploadError('upload_gone', `Upload ${row.id} is ${row.state}.`)
  if (isOver(row)) throw new UploadError('upload_gone', `Upload ${row.id} has expired.`)
}

/** Is its time over? */
function isOver(row: Upload): boolean {
  return isUnfinished(row.state) && row.expiresAt !== null && row.expiresAt <= Date.now()
}

/** When an upload that got a byte just now expires; ms, null: never. */
export function expiryFromNow(context: Pick<Deps, 'settings'>): number | null {
  const { expiresAfterMs } = context.settings
  // Upload-Expires has whole seconds: the row says what the header says.
  return expiresAfterMs === null ? null : Math.ceil((Date.now() + expiresAfterMs) / 1000) * 1000
}

/** The same for one that has all its bytes: only a partial upload waits for something that may never come. */
export function expiryOnceUploaded(deps: Pick<Deps, 'settings'>, row: Pick<Upload, 'concatRaw'>): number | null {
  return isPartial(row) ? expiryFromNow(deps) : null
}

/** A line for the upload's history ("why did this upload stop"); nobody waits for it. */
export function note(deps: Deps, open: OpenUpload, kind: HistoryEntry['kind'], detail?: string): void {
  const { row, offset } = open
  const entry = { upload: row.id, kind, generation: row.generation, instance: deps.coordination.instance, offset }
  deps.background.keep(deps.records.note(detail === undefined ? entry : { ...entry, detail }))
}
