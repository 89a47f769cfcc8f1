import type { CompiledQuery, Kysely } from 'kysely'
import type { Tables } from './schema.ts'

/** Connections of this process; `waiting` are calls that wait for one. */
export interface PoolStats {
  readonly total: number
  readonly idle: number
  readonly waiting: number
}

/** Runs one statement; answers its rows. */
export type RunRows = (statement: CompiledQuery) => Promise<readonly unknown[]>

/** An open database, before anything is known of uploads. */
export interface Driver {
  readonly db: Kysely<Tables>
  /** The same for a statement that is spelt out and run at each request: what it answers, with nothing of Kysely's between. */
  readonly rows: RunRows
  stats(): PoolStats
  /** Runs `run` on a connection that no time limit ends. */
  forMigrations<T>(run: (db: Kysely<Tables>) => Promise<T>): Promise<T>
  /** New connections for the old ones, while calls go on; null where there are no connections. */
  readonly restart: (() => Promise<void>) | null
  /** Ends every connection; called once. */
  close(): Promise<void>
}
