import { Cluster, type Redis } from 'ioredis'
import type { RedisClient } from './client.ts'

/** This Redis may throw holds away. Wrong configuration: it ends the start. */
export class EvictingRedis extends Error {
  constructor(policy: string, maxmemory: string) {
    super(
      `Redis has maxmemory-policy ${policy} with maxmemory ${maxmemory}: it may evict the holds of uploads. ` +
        'Set "maxmemory-policy noeviction" (CONFIG SET, redis.conf or the parameter group of a managed service) and start again.',
    )
    this.name = 'EvictingRedis'
  }
}

/**
 * Refuses a Redis that may evict keys. Ours have a TTL, so every policy but `noeviction` can take them, once maxmemory
 * is set. `unknown`: this user may ask for neither CONFIG nor INFO memory.
 * @throws EvictingRedis; otherwise whatever the connection throws
 */
export async function assertNoEviction(client: RedisClient): Promise<'ok' | 'unknown'> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client]
  let known = true
  for (const node of nodes) {
    const found = (await fromConfig(node)) ?? (await fromInfo(node))
    if (found === null) known = false
    else if (found.policy !== 'noeviction' && found.maxmemory !== '0') {
      throw new EvictingRedis(found.policy, found.maxmemory)
    }
  }
  return known ? 'ok' : 'unknown'
}

interface Found {
  readonly policy: string
  readonly maxmemory: string
}

async function fromConfig(node: Redis): Promise<Found | null> {
  const policy = await refusable(node.config('GET', 'maxmemory-policy'))
  const maxmemory = await refusable(node.config('GET', 'maxmemory'))
  const value = (reply: unknown) => (Array.isArray(reply) && typeof reply[1] === 'string' ? reply[1] : null)
  return found(value(policy), value(maxmemory))
}

async function fromInfo(node: Redis): Promise<Found | null> {
  const info = await refusable(node.info('memory'))
  const value = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(String(info))?.[1] ?? null
  return found(value('maxmemory_policy'), value('maxmemory'))
}

function found(policy: string | null, maxmemory: string | null): Found | null {
  return policy === null || maxmemory === null ? null : { policy, maxmemory }
}

/** null when Redis understood and refuses (no permission, command renamed); a lost connection is no refusal. */
async function refusable(asked: Promise<unknown>): Promise<unknown> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof Error && /^(ERR|NOPERM)\b/.test(error.message)) return null
    throw error
  }
}
