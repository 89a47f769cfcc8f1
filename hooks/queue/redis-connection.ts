import { type Cluster, Redis } from 'ioredis'
import type { Log } from '../ports.ts'

/** What the queue demands of a connection, on top of host, TLS, sentinel or cluster. */
export interface ConnectionSettings {
  readonly maxRetriesPerRequest: null
  readonly retryStrategy: (times: number) => number
  readonly connectionName: string
}

/** Opens a connection of its own for the queue, which also closes it. */
export type Connect = (settings: ConnectionSettings) => Redis | Cluster

export interface ConnectionOptions {
  /** A `redis://` or `rediss://` URL, or a factory (sentinel, cluster, options of one's own). */
  readonly connection: string | Connect
  /** REDIS_PREFIX. Keys begin with `{<prefix>:queue}`: the braces keep a queue in one cluster slot. */
  readonly prefix: string
  readonly log: Log
}

/** A connection that retries for ever and tells once when it is lost and once when it is back. */
export function openConnection(options: ConnectionOptions, role: string): Redis | Cluster {
  const settings: ConnectionSettings = {
    // BullMQ's workers demand null; the bound on waiting is ours (see #ask).
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 10), 2_000),
    connectionName: `${options.prefix}:${role}`,
  }
  const client = connect(options.connection, settings)
  let away = false
  client.on('error', (error) => {
    if (!away) options.log.warn({ err: error, role }, 'queue: Redis is away; trying again until it is back')
    away = true
  })
  client.on('ready', () => {
    if (away) options.log.info({ role }, 'queue: Redis is back')
    away = false
  })
  return client
}

function connect(connection: ConnectionOptions['connection'], settings: ConnectionSettings): Redis | Cluster {
  if (typeof connection === 'function') return connection(settings)
  return new Redis(connection, settings)
}

/**
 * Keeps track of the connections that are duplicated from `client`: BullMQ makes one for its blocking calls, and its own
 * close leaves that one reconnecting when Redis went away in the middle of it. Returns what ends `client` and them for
 * good, whatever state they are in.
 */
export function endsWithDuplicates(client: Redis | Cluster): () => void {
  const duplicates = new Set<Redis | Cluster>()
  const keep = <T extends Redis | Cluster>(duplicate: T): T => {
    duplicates.add(duplicate)
    return duplicate
  }
  if (client instanceof Redis) {
    const duplicate = client.duplicate.bind(client)
    client.duplicate = (...args) => keep(duplicate(...args))
  } else {
    const duplicate = client.duplicate.bind(client)
    client.duplicate = (...args) => keep(duplicate(...args))
  }
  return () => {
    for (const one of [client, ...duplicates]) {
      one.on('error', () => {})
      // Somebody may still be waiting to connect it again.
      one.on('connect', () => one.disconnect())
      one.disconnect()
    }
  }
}

/** Resolves when the connection takes commands. Never rejects: the caller bounds the wait. */
export async function ready(client: Redis | Cluster): Promise<void> {
  if (client.status === 'ready') return
  await new Promise<void>((resolve) => {
    client.once('ready', resolve)
  })
}
