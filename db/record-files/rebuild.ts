import { isDeepStrictEqual } from 'node:util'
import type { Kysely } from 'kysely'
import { hasCode } from '../../server/uploads/errors.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import { guarded } from '../failures.ts'
import type { Tables } from '../schema.ts'
import type { RecordFile, RecordFolder } from './folder.ts'
import { parseRecord, type UploadRecord } from './format.ts'
import type { RecordKeeper } from './keeper.ts'
import { putRow, type RowAsJson, readColumnNames, readIds, readRows } from './rows.ts'

/** A file that says nothing of an upload, and why. */
export interface UnreadableRecord {
  readonly path: string
  readonly reason: string
}

/** What a start found when it compared rows and records. All zero after an ordinary stop. */
export interface RebuildReport {
  /** Rows that the database had lost. */
  readonly rebuilt: number
  /** Rows that the database had in an older state. */
  readonly broughtForward: number
  /** Records that were missing, broken or older than their row, and were written. */
  readonly recorded: number
  readonly unreadable: readonly UnreadableRecord[]
  /** Uploads of which neither row nor record is left: their bytes may be in the store, and no row says whose they are. */
  readonly unknown: number
}

const IDS_AT_ONCE = 1000

/**
 * Makes rows and records agree, before anybody may use either. A record is written after its row's commit and before
 * anybody is told of the change, so of two that differ:
 *
 * - a row that the database does not have, it lost;
 * - a row with a lower generation or fewer events is older: it lost its last transactions;
 * - a row with a higher generation or more events was committed, and the crash came before the record: nobody was told of
 *   it, but its events may have been seen, so it stays;
 * - with the same generation and as many events, the row may be either. No event is in the difference, so the record is
 *   right in both cases: it has all that anybody was told.
 *
 * Throws `records_unavailable` or `internal` when the database cannot be read or written.
 */
export async function rebuildRows(
  db: Kysely<Tables>,
  folder: RecordFolder,
  keeper: RecordKeeper,
): Promise<RebuildReport> {
  const tally = { rebuilt: 0, broughtForward: 0, recorded: 0, unknown: 0 }
  const unreadable: UnreadableRecord[] = []
  const columns = await guarded(() => readColumnNames(db))
  const seen = new Set<UploadId>()
  for await (const { files, foreign } of folder.read()) {
    for (const path of foreign) unreadable.push({ path, reason: 'it is not called as a record is' })
    const rows = await guarded(() => rowsOf(db, files))
    for (const file of files) {
      const row = rows.get(file.id)
      const record = recordIn(file, unreadable)
      if (record === null) {
        if (row === undefined) tally.unknown += 1
        continue
      }
      seen.add(file.id)
      const newer = row === undefined ? 'record' : newerOf(row, record)
      if (newer === 'record') {
        const done = await restored(db, record, columns, row, file, unreadable)
        if (done) tally[row === undefined ? 'rebuilt' : 'broughtForward'] += 1
        else if (row === undefined) tally.unknown += 1
        // What the database has is better then, and is recorded below.
        else seen.delete(file.id)
      } else if (newer === 'row' && row !== undefined) {
        await keeper.write(row)
        tally.recorded += 1
      }
    }
  }
  tally.recorded += await recordTheRest(db, keeper, seen)
  return { ...tally, unreadable }
}

async function rowsOf(db: Kysely<Tables>, files: readonly RecordFile[]): Promise<Map<UploadId, RowAsJson>> {
  const rows = new Map<UploadId, RowAsJson>()
  for (let at = 0; at < files.length; at += IDS_AT_ONCE) {
    const ids = files.slice(at, at + IDS_AT_ONCE).map(({ id }) => id)
    for (const row of await readRows(db, ids)) rows.set(row.id, row)
  }
  return rows
}

function recordIn({ path, id, text }: RecordFile, unreadable: UnreadableRecord[]): UploadRecord | null {
  try {
    const record = parseRecord(text)
    if (record.id === id) return record
    unreadable.push({ path, reason: `it is the record of upload ${record.id}` })
  } catch (error) {
    unreadable.push({ path, reason: error instanceof Error ? error.message : String(error) })
  }
  return null
}

function newerOf({ row }: RowAsJson, record: UploadRecord): 'row' | 'record' | 'same' {
  const generation = Number(row.generation) - record.generation
  const events = Number(row.next_seq) - record.nextSeq
  if (generation >= 0 && events >= 0 && generation + events > 0) return 'row'
  // A column that a migration added or took away since is no difference.
  const same = Object.keys(row).every((name) => !(name in record.row) || isDeepStrictEqual(row[name], record.row[name]))
  return same ? 'same' : 'record'
}

/** False: the record's values are none that a row may have; it is named as unreadable. */
async function restored(
  db: Kysely<Tables>,
  record: UploadRecord,
  columns: ReadonlySet<string>,
  row: RowAsJson | undefined,
  { path }: RecordFile,
  unreadable: UnreadableRecord[],
): Promise<boolean> {
  // Events that the database knew and no longer has were done long ago, and pruned.
  const fromSeq = row === undefined ? 1 : Number(row.row.next_seq)
  try {
    await guarded(() => putRow(db, record, columns, fromSeq))
    return true
  } catch (error) {
    if (!isOfTheData(error)) throw error
    unreadable.push({ path, reason: error instanceof Error ? error.message : String(error) })
    return false
  }
}

/** SQLSTATE classes 22 and 23: a value that is none, a constraint. Anything else is the database's own trouble. */
function isOfTheData(error: unknown): boolean {
  if (!hasCode(error, 'internal')) return false
  const { cause } = error
  if (typeof cause !== 'object' || cause === null || !('code' in cause)) return false
  return typeof cause.code === 'string' && /^2[23]/.test(cause.code)
}

/** Rows without a record: older than this folder, or committed right before a crash. */
async function recordTheRest(db: Kysely<Tables>, keeper: RecordKeeper, seen: ReadonlySet<UploadId>): Promise<number> {
  let recorded = 0
  let last: UploadId | null = null
  for (;;) {
    const after: UploadId | null = last
    const ids: UploadId[] = await guarded(() => readIds(db, after, IDS_AT_ONCE))
    const missing = ids.filter((id) => !seen.has(id))
    await keeper.keepAll(missing)
    recorded += missing.length
    last = ids.at(-1) ?? null
    if (ids.length < IDS_AT_ONCE) return recorded
  }
}
