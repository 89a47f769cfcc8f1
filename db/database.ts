import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode, UploadError } from '../server/uploads/errors.ts'
import type { Housekeeping } from '../server/uploads/ports/housekeeping.ts'
import type { Records } from '../server/uploads/ports/records.ts'
import type { UploadId } from '../server/uploads/words.ts'
import { createDataKeys, type DataKeys } from './data-keys.ts'
import type { Driver, PoolStats } from './driver.ts'
import { guarded } from './failures.ts'
import { type HistoryLine, readHistory } from './history.ts'
import { createHousekeeping } from './housekeeping.ts'
import { migrateToLatest, readSchemaState, requireLatest } from './migrator.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { openPglite, type PgliteOptions } from './pglite.ts'
import { openPostgres, type PostgresOptions } from './postgres.ts'
import { createProcessing, type Processing } from './processing.ts'
import { type RecordedOptions, withRecordFiles } from './record-files/recorded.ts'
import { createRecords } from './uploads.ts'

export type DatabaseOptions =
  | ({ readonly driver: 'postgres' } & PostgresOptions)
  | ({
      readonly driver: 'pglite'
      /** A file for each row, from which lost rows are rebuilt; absent: none. */
      readonly recordFiles?: RecordedOptions
    } & PgliteOptions)

/** `auto`: bring the schema up to date. `check`: refuse when it is behind. `off`: believe it. */
export type MigrateMode = 'auto' | 'check' | 'off'

export interface DatabaseStatus {
  readonly driver: DatabaseOptions['driver']
  /** One round trip. */
  readonly latencyMs: number
  /** Migrations of this version that are not in the database: empty when it can serve. */
  readonly missingMigrations: readonly string[]
  readonly pool: PoolStats
}

export interface PoolRestart {
  readonly driver: DatabaseOptions['driver']
  /** False with PGlite, which has no connections. */
  readonly restarted: boolean
  readonly before: PoolStats
  readonly after: PoolStats
  readonly durationMs: number
}

/** Everything that the service does with its database. */
export interface Database {
  readonly records: Records
  readonly outbox: Outbox
  readonly processing: Processing
  readonly housekeeping: Housekeeping
  readonly dataKeys: DataKeys
  /** The lines of an upload, newest first (at most 200). */
  history(id: UploadId): Promise<readonly HistoryLine[]>
  /**
   * Waits for a database that is away, for as long as it takes (or until `close`: `shutting_down`); returns the names of
   * the migrations that were applied now. Throws `internal` when `check` finds the schema behind or a migration fails.
   */
  migrate(mode: MigrateMode): Promise<readonly string[]>
  /** Throws `records_unavailable`. */
  status(): Promise<DatabaseStatus>
  stats(): PoolStats
  /**
   * New connections for the old ones, while calls go on; resolves when the last old one is closed. Throws
   * `records_unavailable`, with the old ones still in use, when no new one is to be had.
   */
  restartPool(): Promise<PoolRestart>
  /** Ends the pool; calls under way end first. A second call waits for the first. */
  close(): Promise<void>
}

/** Opens without waiting for Postgres (PGlite is open when this resolves). */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  if (options.driver === 'postgres') return createDatabase('postgres', openPostgres(options))
  const driver = await openPglite(options)
  const database = createDatabase('pglite', driver)
  if (options.recordFiles === undefined) return database
  try {
    return await withRecordFiles(database, driver, options.recordFiles)
  } catch (error) {
    await database.close()
    throw error
  }
}

/** The same on a driver that is open already. */
export function createDatabase(name: DatabaseOptions['driver'], driver: Driver): Database {
  const { db } = driver
  const closing = new AbortController()
  let closed: Promise<void> | null = null
  return {
    records: createRecords(db, driver.rows),
    outbox: createOutbox(db),
    processing: createProcessing(driver.rows),
    housekeeping: createHousekeeping(db),
    dataKeys: createDataKeys(db),
    history: (id) => guarded(() => readHistory(db, id)),
    async migrate(mode) {
      if (mode === 'off') return []
      return untilItAnswers(closing.signal, async () => {
        if (mode === 'auto') return driver.forMigrations(migrateToLatest)
        await requireLatest(db)
        return []
      })
    },
    async status() {
      const started = performance.now()
      const { missing } = await readSchemaState(db)
      return { driver: name, latencyMs: performance.now() - started, missingMigrations: missing, pool: driver.stats() }
    },
    stats: () => driver.stats(),
    async restartPool() {
      const started = performance.now()
      const before = driver.stats()
      const { restart } = driver
      if (restart) await guarded(restart)
      const durationMs = Math.round(performance.now() - started)
      return { driver: name, restarted: restart !== null, before, after: driver.stats(), durationMs }
    },
    close() {
      closing.abort()
      closed ??= driver.close()
      return closed
    },
  }
}

const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 2_000

async function untilItAnswers<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    if (signal.aborted) throw new UploadError('shutting_down', 'the database was closed before it was migrated')
    try {
      return await attempt()
    } catch (error) {
      if (!hasCode(error, 'records_unavailable')) throw error
    }
    // An abort ends the pause early and is seen at the top.
    await sleep(pause, undefined, { signal }).catch(() => {})
  }
}
