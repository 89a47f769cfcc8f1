import type { ConnectionOptions } from 'node:tls'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { giveUpSilentHandshake } from './silent.ts'
import { parseRedisUrl, type RedisTarget } from './url.ts'

/** One client: a connection to a single Redis or to a sentinel's primary, or the connections to a cluster's nodes. */
export type RedisClient = Redis | Cluster

export interface RedisClientOptions {
  /** What CLIENT LIST shows. */
  readonly name: string
  /**
   * `commands` and `subscriber` fail at once while the connection is away (nothing queues up, nothing is sent twice;
   * only a cluster's client repeats what a node's lost connection or a failover refused, which the scripts allow);
   * `queue` waits for it for ever, as BullMQ asks of its connections.
   */
  readonly use: 'commands' | 'subscriber' | 'queue'
  /** How long one attempt to connect may take, and as long again until Redis says that it is ready. Default 2000. */
  readonly connectTimeoutMs?: number
  /** PEM of the authorities that a `rediss` URL trusts. Default: Node's own. */
  readonly ca?: string | undefined
}

type Common = Pick<
  RedisOptions,
  | 'connectionName'
  | 'disableClientInfo'
  | 'connectTimeout'
  | 'maxRetriesPerRequest'
  | 'autoResubscribe'
  | 'reconnectOnError'
  | 'socketTimeout'
  | 'username'
  | 'password'
> & { tls?: ConnectionOptions }

const LONGEST_PAUSE_MS = 1000
const CONNECT_TIMEOUT_MS = 2000
/** Longer than BullMQ's longest blocking command (10 s); a frozen primary is given up after it. */
const QUEUE_SILENCE_MS = 15_000

/**
 * Opens a client that connects and, whenever the connection is lost, reconnects in the background for ever (pauses
 * grow to a second). The caller owns it: it must listen to `error` and end it with `disconnect()`.
 */
export function createRedisClient(target: RedisTarget | string, options: RedisClientOptions): RedisClient {
  const where = typeof target === 'string' ? parseRedisUrl(target) : target
  const waits = options.use === 'queue'
  const connectTimeout = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
  const tls: ConnectionOptions = options.ca === undefined ? {} : { ca: options.ca }
  const common: Common = {
    connectionName: options.name,
    disableClientInfo: true,
    connectTimeout,
    // 0: what was in flight when the connection broke is rejected then and there, not sent a second time.
    maxRetriesPerRequest: waits ? null : 0,
    autoResubscribe: waits,
    ...(waits ? { socketTimeout: QUEUE_SILENCE_MS } : {}),
    // A primary that a failover made a replica answers READONLY for as long as we keep talking to it.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    ...(where.username === null ? {} : { username: where.username }),
    ...(where.password === null ? {} : { password: where.password }),
    ...(where.tls ? { tls } : {}),
  }
  if (where.kind === 'cluster') return openCluster(where, common, options.use)
  const single = { ...common, db: where.db, enableOfflineQueue: waits, retryStrategy: pause }
  const client =
    where.kind === 'single'
      ? new Redis({ ...single, ...where.address })
      : new Redis({
          ...single,
          name: where.master,
          sentinels: [...where.sentinels],
          sentinelRetryStrategy: pause,
          // A frozen sentinel: the next one is asked.
          sentinelCommandTimeout: connectTimeout,
          enableTLSForSentinelMode: where.tls,
          ...(where.tls ? { sentinelTLS: tls } : {}),
          ...(where.sentinelPassword === null ? {} : { sentinelPassword: where.sentinelPassword }),
        })
  giveUpSilentHandshake(client, connectTimeout)
  return client
}

function openCluster(
  target: Extract<RedisTarget, { kind: 'cluster' }>,
  common: Common,
  use: RedisClientOptions['use'],
): Cluster {
  const cluster = new Cluster([...target.nodes], {
    redisOptions: common,
    enableOfflineQueue: use === 'queue',
    clusterRetryStrategy: pause,
    shardedSubscribers: use === 'subscriber',
    // Names stay names until a socket is opened: the certificate is checked against them.
    dnsLookup: (name, done) => done(null, name),
  })
  cluster.on('+node', (node: Redis) => giveUpSilentHandshake(node, common.connectTimeout ?? CONNECT_TIMEOUT_MS))
  return cluster
}

function pause(attempt: number): number {
  return Math.min(25 * 2 ** Math.min(attempt, 6), LONGEST_PAUSE_MS)
}
