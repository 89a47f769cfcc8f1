import { CompiledQuery, type Kysely, sql } from 'kysely'
import { UploadError } from '../server/uploads/errors.ts'
import type { ChangeOptions, NewUpload, Records, UploadChange } from '../server/uploads/ports/records.ts'
import type { Upload, UploadId, UploadState } from '../server/uploads/words.ts'
import type { RunRows } from './driver.ts'
import { guarded } from './failures.ts'
import { findDuePartials, isSource, releasePartials } from './finals.ts'
import { noteHistory } from './history.ts'
import { AS_JSON, fromJson } from './json-rows.ts'
import { listUploads } from './list.ts'
import { toUpload } from './rows.ts'
import type { Tables } from './schema.ts'
import { type ChangeGuard, changeStatement, insertStatement } from './statements.ts'

/** The rows, behind the engine's port. Each write is one statement; failures are `records_unavailable` or `internal`. */
export function createRecords(db: Kysely<Tables>, rows: RunRows): Records {
  return {
    insert: (upload, entered) => guarded(() => insertUpload(rows, upload, entered)),
    insertFinal: (upload, partials) => guarded(() => insertFinal(rows, upload, partials)),
    isSource: (key) => guarded(() => isSource(db, key)),
    duePartials: (now, limit) => guarded(() => findDuePartials(db, now, limit)),
    releasePartials: (final, expiresAt) => guarded(() => releasePartials(db, final, expiresAt)),
    find: (id) => guarded(() => findUpload(rows, id)),
    change: (id, change, options) => guarded(() => changeUpload(rows, id, change, guardOf(options))),
    generations: (ids) => guarded(() => findGenerations(db, ids)),
    list: (query) => guarded(() => listUploads(db, query)),
    due: (now, finishingBefore, limit) => guarded(() => findDue(db, now, finishingBefore, limit)),
    note: (entry) => guarded(() => noteHistory(db, entry)),
    ping: (signal) => guarded(() => ping(db, signal)),
  }
}

async function insertUpload(rows: RunRows, upload: NewUpload, entered: readonly UploadState[]): Promise<Upload> {
  const row = await oneRow(rows, insertStatement(upload, entered))
  if (!row) throw new UploadError('internal', `the insert of upload ${upload.id} returned no row`)
  return row
}

async function insertFinal(rows: RunRows, upload: NewUpload, partials: readonly UploadId[]): Promise<Upload | null> {
  const statement = insertStatement(upload, ['created', 'finishing'], partials)
  return oneRow(rows, statement)
}

/** The row, or null. */
export async function findUpload(rows: RunRows, id: UploadId): Promise<Upload | null> {
  return oneRow(rows, CompiledQuery.raw(FIND, [id]))
}

/** Asked at each request for an upload: spelled out, because building it costs more than running it. */
const FIND = `select ${AS_JSON('u')} from uploads u where id = $1`

function guardOf(options: ChangeOptions): ChangeGuard {
  return {
    generation: options.generation,
    enter: options.enter ?? [],
    from: options.from ?? null,
    raise: options.raise ?? false,
  }
}

/** One guarded change; null when the guard did not hold. */
export async function changeUpload(
  rows: RunRows,
  id: UploadId,
  change: UploadChange,
  guard: ChangeGuard,
): Promise<Upload | null> {
  return oneRow(rows, changeStatement(id, change, guard))
}

/** The row that a statement answers, spelt by {@link AS_JSON}. */
async function oneRow(rows: RunRows, statement: CompiledQuery): Promise<Upload | null> {
  const [answer] = await rows(statement)
  return answer === undefined ? null : toUpload(fromJson(answer))
}

async function findGenerations(db: Kysely<Tables>, ids: readonly UploadId[]): Promise<Map<UploadId, number>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .selectFrom('uploads')
    .select(['id', 'generation'])
    // One array parameter: the text is the same for any number of ids.
    .where(sql<boolean>`id = any(${[...ids]}::uuid[])`)
    .execute()
  return new Map(rows.map((row) => [row.id, row.generation]))
}

async function findDue(
  db: Kysely<Tables>,
  now: number,
  finishingBefore: number,
  limit: number,
): Promise<{ finishing: Upload[]; expired: Upload[] }> {
  const finishing = db
    .selectFrom('uploads')
    .selectAll()
    .where('state', '=', sql<UploadState>`'finishing'`)
    .where('updated_at', '<', new Date(finishingBefore))
    .orderBy('updated_at')
    .limit(limit)
  const expired = db
    .selectFrom('uploads')
    .selectAll()
    // Literals, so that the planner sees that the partial index fits.
    .where('state', 'in', [sql<UploadState>`'created'`, sql<UploadState>`'receiving'`])
    .where('expires_at', '<=', new Date(now))
    .where('legal_hold', '=', false)
    .orderBy('expires_at')
    .limit(limit)
  const [finishingRows, expiredRows] = await Promise.all([finishing.execute(), expired.execute()])
  return { finishing: finishingRows.map(toUpload), expired: expiredRows.map(toUpload) }
}

async function ping(db: Kysely<Tables>, signal?: AbortSignal): Promise<void> {
  await db.executeQuery(CompiledQuery.raw('select 1'), signal ? { signal } : {})
}
