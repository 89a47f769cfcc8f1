import type { ConnectionOptions } from 'node:tls'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { parseRedisUrl, type RedisTarget } from './url.ts'

/** One client: a connection to a single Redis or to a sentinel's primary, or the connections to a cluster's nodes. */
export type RedisClient = Redis | Cluster

export interface RedisClientOptions {
  /** What CLIENT LIST shows. */
  readonly name: string
  /**
   * `commands` and `subscriber` fail at once while the connection is away (nothing queues up, nothing is sent twice);
   * `queue` waits for it for ever, as BullMQ asks of its connections.
   */
  readonly use: 'commands' | 'subscriber' | 'queue'
  /** How long one attempt to connect may take. */
  readonly connectTimeoutMs?: number
}

type Common = Pick<
  RedisOptions,
  | 'connectionName'
  | 'disableClientInfo'
  | 'connectTimeout'
  | 'maxRetriesPerRequest'
  | 'autoResubscribe'
  | 'reconnectOnError'
  | 'username'
  | 'password'
> & { tls?: ConnectionOptions }

const LONGEST_PAUSE_MS = 1000

/**
 * Opens a client that connects and, whenever the connection is lost, reconnects in the background for ever (pauses
 * grow to a second). The caller owns it: it must listen to `error` and end it with `disconnect()`.
 */
export function createRedisClient(target: RedisTarget | string, options: RedisClientOptions): RedisClient {
  const where = typeof target === 'string' ? parseRedisUrl(target) : target
  const waits = options.use === 'queue'
  const common: Common = {
    connectionName: options.name,
    disableClientInfo: true,
    connectTimeout: options.connectTimeoutMs ?? 2000,
    // 0: what was in flight when the connection broke is rejected then and there, not sent a second time.
    maxRetriesPerRequest: waits ? null : 0,
    autoResubscribe: waits,
    // A primary that a failover made a replica answers READONLY for as long as we keep talking to it.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    ...(where.username === null ? {} : { username: where.username }),
    ...(where.password === null ? {} : { password: where.password }),
    ...(where.tls ? { tls: {} } : {}),
  }
  if (where.kind === 'cluster') return openCluster(where, common, options.use)
  const single = { ...common, db: where.db, enableOfflineQueue: waits, retryStrategy: pause }
  if (where.kind === 'single') return new Redis({ ...single, ...where.address })
  return new Redis({
    ...single,
    name: where.master,
    sentinels: [...where.sentinels],
    sentinelRetryStrategy: pause,
    enableTLSForSentinelMode: where.tls,
    ...(where.tls ? { sentinelTLS: {} } : {}),
    ...(where.sentinelPassword === null ? {} : { sentinelPassword: where.sentinelPassword }),
  })
}

function openCluster(
  target: Extract<RedisTarget, { kind: 'cluster' }>,
  common: Common,
  use: RedisClientOptions['use'],
): Cluster {
  return new Cluster([...target.nodes], {
    redisOptions: common,
    enableOfflineQueue: use === 'queue',
    clusterRetryStrategy: pause,
    shardedSubscribers: use === 'subscriber',
  })
}

function pause(attempt: number): number {
  return Math.min(25 * 2 ** Math.min(attempt, 6), LONGEST_PAUSE_MS)
}
