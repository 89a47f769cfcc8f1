/**
 * A sentinel trio and a cluster, real ones, of one test file alone. Nothing is persisted; a node counts as dead after a
 * second until told otherwise, so failing over takes about two and a half.
 */
import type { RedisNode } from './redis-node.ts'

export { startCluster } from './redis-cluster.ts'
export { startSentinel } from './redis-sentinel.ts'

/** What the two have in common. */
export interface RedisTopology {
  readonly kind: 'sentinel' | 'cluster'
  /** For REDIS_URL. */
  readonly url: string
  /** All that keep data, whatever they are just now. */
  readonly nodes: readonly RedisNode[]
  /** The master that keeps `key` (of a cluster), or the one there is. */
  masterOf(key: string): Promise<RedisNode>
  masters(): Promise<RedisNode[]>
  /** Resolves when another node than `dead` serves `key` for writing. */
  failedOver(key: string, dead: RedisNode): Promise<RedisNode>
  /** From now on a node counts as dead after so long. */
  deadAfter(ms: number): Promise<void>
  stop(): Promise<void>
}

export interface TopologyOptions {
  /** Further arguments of every redis-server; of sentinels not. */
  readonly settings?: readonly string[]
  /** A cluster that speaks TLS, to clients and among its nodes. */
  readonly tls?: { readonly keyFile: string; readonly certFile: string; readonly caFile: string }
}
