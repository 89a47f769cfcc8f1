import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, openDatabase } from '../db/database.ts'
import type { RebuildReport } from '../db/record-files/rebuild.ts'
import type { Log } from '../hooks/ports.ts'
import { createBullQueue } from '../hooks/queue/bullmq.ts'
import { createMemoryQueue } from '../hooks/queue/memory.ts'
import type { Queue } from '../hooks/queue/port.ts'
import type { Config, RedisConfig } from './config/config.ts'
import { createMemoryCoordination } from './coordination/memory/index.ts'
import { createRedisClient, createRedisCoordination, type RedisCoordination } from './coordination/redis/index.ts'
import { openEmbedded } from './embedded-database.ts'
import type { Log as ServiceLog } from './observability/log.ts'
import { openS3 } from './s3-driver.ts'
import { StartFault } from './start-fault.ts'
import { FileByteStore } from './storage/file/index.ts'
import { oneStore } from './uploads/one-store.ts'
import type { ByteStore, Stores } from './uploads/ports/byte-store.ts'
import type { Coordination } from './uploads/ports/coordination.ts'
import type { Place } from './uploads/ports/housekeeping.ts'

/**
 * Opens the database that the configuration chose; Postgres may be away. `onRebuilt`: what an embedded one had lost, once
 * it is migrated.
 */
export async function openRecords({ database }: Config, onRebuilt: (report: RebuildReport) => void): Promise<Database> {
  if (database.driver === 'pglite') return openEmbedded(database.directory, onRebuilt)
  const { url, pool, ssl } = database.postgres
  if (ssl.caFile !== null) readable('DB_SSL_CA', ssl.caFile)
  return openDatabase({ driver: 'postgres', url, ssl, poolMin: pool.min, poolMax: pool.max })
}

/** A store, and what has to be true of it before anything is served. */
export interface OpenStore {
  readonly store: ByteStore
  /** The store of each upload; they are closed with `store`. */
  readonly stores: Stores
  /** What the sweeper looks through: where new uploads go, and these buckets, which rows name. */
  places(buckets: readonly string[]): readonly Place[]
  /** What links to files begin with, for a Content-Security-Policy; null: there are none. */
  readonly linkSource: string | null
  /** Throws when the bucket does not exist or would lose uploads; `store_unavailable` while the store is away: to be asked again. */
  ready(): Promise<void>
}

/** Opens the byte store that the configuration chose; S3 may be away. */
export async function openStore(config: Config, log: Pick<ServiceLog, 'bucket'>): Promise<OpenStore> {
  const { storage, uploads } = config
  if (storage.driver === 'file') {
    const store = await FileByteStore.open({ root: storage.directory, readHighWaterMark: uploads.streamBufferBytes })
    return {
      store,
      stores: oneStore(store),
      places: () => [{ store, inventory: store }],
      linkSource: null,
      ready: async () => {},
    }
  }
  return openS3(storage.s3, config, log)
}

/** Holds and sessions, and what has to be true of Redis before anything is served. */
export interface OpenCoordination {
  readonly coordination: Coordination
  /** Throws when Redis may evict holds; `coordination_unavailable` while it is away: to be asked again. */
  ready(): Promise<void>
  connections(): { open: number; busy: number } | null
}

/** Opens the coordination that the configuration chose; Redis may be away. */
export async function openCoordination(config: Config, log: Log): Promise<OpenCoordination> {
  const onError = (err: unknown) => log.error({ err }, 'coordination: a message handler threw')
  if (config.coordination.driver === 'memory') {
    return { coordination: createMemoryCoordination({ onError }), ready: async () => {}, connections: () => null }
  }
  const { redis } = config.coordination
  const { url, prefix, pool } = redis
  const coordination: RedisCoordination = await createRedisCoordination({
    url,
    ca: trusted(redis),
    prefix,
    poolMin: pool.min,
    poolMax: pool.max,
    // A session outlives the longest rest of its upload.
    sessionTtlMs: config.uploads.expiresAfterMs + 86_400_000,
    onError,
    onState: (state, cause) =>
      state === 'up' ? log.info({}, 'redis: reachable') : log.warn({ err: cause }, 'redis: not reachable'),
  })
  return {
    coordination,
    ready: async () => void (await coordination.checkPolicy()),
    connections: () => coordination.connections(),
  }
}

/** Opens the queue that the configuration chose; Redis may be away. */
export function openQueue({ queue }: Config, log: Log): Queue {
  if (queue.driver === 'memory') return createMemoryQueue()
  const { url, prefix } = queue.redis
  const ca = trusted(queue.redis)
  return createBullQueue({
    prefix,
    log,
    connection: ({ connectionName }) => createRedisClient(url, { name: connectionName, use: 'queue', ca }),
  })
}

/** The authorities of REDIS_TLS_CA. A file that cannot be read ends the start. */
function trusted({ caFile }: RedisConfig): string | undefined {
  return caFile === null ? undefined : readable('REDIS_TLS_CA', caFile)
}

/** The text of a PEM file that a setting names. */
function readable(key: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StartFault(`${key} cannot be used: ${reason}. Give a PEM file that this user may read.`, error)
  }
}

/** Where the lock of embedded data lies; null when nothing embedded is used. */
export function lockedDir(config: Config): string | null {
  const embedded = config.database.driver === 'pglite' || config.coordination.driver === 'memory'
  return embedded && config.dataDir !== null ? join(config.dataDir) : null
}
