import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { Kysely, PostgresAdapter, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Driver } from './driver.ts'
import { INT8_OID, parseInt8 } from './int8.ts'
import { keepMinimum } from './pool-minimum.ts'
import type { Tables } from './schema.ts'
import { SwappablePool } from './swappable-pool.ts'

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string
  /** Connections opened at the start and kept. */
  readonly poolMin: number
  readonly poolMax: number
  /** `require` encrypts without a check of the certificate; `verify` checks it (against `caFile` where given). */
  readonly ssl?: { readonly mode: 'off' | 'require' | 'verify'; readonly caFile: string | null }
  /** A statement that runs longer is cancelled (default 10,000). */
  readonly statementTimeoutMs?: number
  /** How long a call waits for a connection, new or of the pool (default 3,000). */
  readonly connectTimeoutMs?: number
}

/** The server cancels a statement first; after this much more the connection itself is given up. */
const SERVER_GRACE_MS = 2_000
const IDLE_TIMEOUT_MS = 30_000

/**
 * A pool on Postgres or PgBouncer (transaction mode: nothing here keeps state in a session but the statement timeout,
 * which is the same for every connection of ours and is set by a statement, as PgBouncer refuses it at the startup).
 * Opens without waiting: the database may be away.
 */
export function openPostgres(options: PostgresOptions): Driver {
  const statementTimeoutMs = options.statementTimeoutMs ?? 10_000
  const connectTimeoutMs = options.connectTimeoutMs ?? 3_000
  const common: pg.PoolConfig = {
    connectionString: options.url,
    application_name: 'upload-service',
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types: { getTypeParser },
    ...(options.ssl && options.ssl.mode !== 'off' ? { ssl: tlsOptions(options.ssl) } : {}),
  }
  const swappable = new SwappablePool(() => {
    const pool = createPool({
      ...common,
      min: options.poolMin,
      max: options.poolMax,
      idleTimeoutMillis: IDLE_TIMEOUT_MS,
      onConnect: (client) => setStatementTimeout(client, statementTimeoutMs, connectTimeoutMs),
    })
    giveUpStuck(pool, statementTimeoutMs + SERVER_GRACE_MS)
    return { pool, quiet: keepMinimum(pool, options.poolMin) }
  })
  const db = kyselyOn(swappable)
  return {
    db,
    async rows({ sql, parameters }) {
      const client = await swappable.connect()
      try {
        return (await client.query(sql, [...parameters])).rows
      } finally {
        client.release()
      }
    },
    stats: () => swappable.stats(),
    restart: () => swappable.swap(),
    async forMigrations(run) {
      // A migration may wait for another's lock and take its time: a connection of its own, with no limits.
      const own = createPool({ ...common, max: 1 })
      try {
        return await run(kyselyOn(own))
      } finally {
        await own.end()
      }
    },
    close: () => swappable.end(),
  }
}

function createPool(config: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool(config)
  // A connection that breaks leaves the pool by itself, idle or in use (its query rejects as well); without a listener
  // either would end the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

function kyselyOn(pool: pg.Pool | SwappablePool): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new TransactionLockedDialect({ pool }) })
}

/** The pool waits for the promise, and drops the connection when it rejects (@types/pg does not know it). */
async function setStatementTimeout(client: pg.ClientBase, statementTimeoutMs: number, withinMs: number): Promise<void> {
  const timer = setTimeout(() => abandon(client), withinMs)
  try {
    await client.query(`set statement_timeout = ${Math.trunc(statementTimeoutMs)}`)
  } finally {
    clearTimeout(timer)
  }
}

/**
 * A connection that is out of the pool for longer than any statement may take hangs: a partition leaves its query
 * waiting for as long as TCP does. pg's own `query_timeout` would hand it back with the query still running, and the
 * next one would queue behind it.
 */
function giveUpStuck(pool: pg.Pool, afterMs: number): void {
  const timers = new WeakMap<pg.PoolClient, NodeJS.Timeout>()
  pool.on('acquire', (client) => {
    timers.set(
      client,
      setTimeout(() => abandon(client), afterMs),
    )
  })
  pool.on('release', (_error, client) => clearTimeout(timers.get(client)))
}

/** `end()` on a busy connection destroys its socket: the query rejects and the pool forgets the connection. */
function abandon(client: pg.ClientBase): void {
  if (client instanceof pg.Client) client.end().catch(() => {})
}

function getTypeParser(oid: number, format?: 'text' | 'binary'): (text: string) => unknown {
  return oid === INT8_OID && format !== 'binary' ? parseInt8 : pg.types.getTypeParser(oid, format)
}

function tlsOptions(ssl: {
  readonly mode: 'require' | 'verify' | 'off'
  readonly caFile: string | null
}): ConnectionOptions {
  return {
    rejectUnauthorized: ssl.mode === 'verify',
    ...(ssl.caFile === null ? {} : { ca: readFileSync(ssl.caFile, 'utf8') }),
  }
}

/** Kysely's Migrator with the lock that db/migrator.ts took already: a session's lock does not live in PgBouncer. */
class TransactionLockedDialect extends PostgresDialect {
  override createAdapter(): PostgresAdapter {
    return new TransactionLockedAdapter()
  }
}

class TransactionLockedAdapter extends PostgresAdapter {
  override async acquireMigrationLock(): Promise<void> {}
  override async releaseMigrationLock(): Promise<void> {}
}
