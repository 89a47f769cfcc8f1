import type { Kysely } from 'kysely'
import type { Tables } from './schema.ts'

/** Connections of this process; `waiting` are calls that wait for one. */
export interface PoolStats {
  readonly total: number
  readonly idle: number
  readonly waiting: number
}

/** An open database, before anything is known of uploads. */
export interface Driver {
  readonly db: Kysely<Tables>
  stats(): PoolStats
  /** Runs `run` on a connection that no time limit ends. */
  forMigrations<T>(run: (db: Kysely<Tables>) => Promise<T>): Promise<T>
  /** New connections for the old ones, while calls go on; null where there are no connections. */
  readonly restart: (() => Promise<void>) | null
  /** Ends every connection; called once. */
  close(): Promise<void>
}
