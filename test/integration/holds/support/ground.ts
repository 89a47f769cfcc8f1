import assert from 'node:assert/strict'
import type { Cluster, Redis } from 'ioredis'
import { openDatabase } from '../../../../db/database.ts'
import { createRedisClient } from '../../../../server/coordination/redis/index.ts'
import type { S3ByteStore } from '../../../../server/storage/s3/index.ts'
import { privateRedis } from '../../../support/private-redis.ts'
import { until } from '../../../support/redis-node.ts'
import type { RedisTopology } from '../../../support/redis-topologies.ts'
import { freshBucket, freshDatabase, type TestS3, testServices } from '../../../support/services.ts'

/** The services that all traces of one file share; each has uploads and Redis keys of its own. */
export interface Ground {
  readonly databaseUrl: string
  readonly storeOptions: ConstructorParameters<typeof S3ByteStore>[0]
  readonly redis: { readonly url: string; readonly admin: Redis | Cluster }
  readonly failover?: Failover
  close(): Promise<void>
}

/** A primary that another one follows. */
export interface Failover {
  /** Where the next primary is found, for who does not stay with the old one. */
  readonly nextUrl: string
  /** Resolves when the other one has all that was written so far. `key`: of a cluster, where the upload is. */
  replicated(key: string): Promise<void>
  /** From here on the other one hears nothing new. */
  part(key: string): Promise<void>
  /** The other one is the primary; the old one is dead. */
  over(key: string): Promise<void>
}

/**
 * The strict store: a part that is sent again replaces the one before, as in S3 itself. (SeaweedFS keeps both and
 * completes the one whose ETag is named, so a late part does no damage there.)
 */
export function strictStore(): TestS3 {
  const store = testServices().s3.find(({ name }) => name === 'versitygw') ?? testServices().s3[0]
  if (store === undefined) throw new Error('no S3 store to test against')
  return store
}

/** A fresh database and a fresh bucket, with the Redis behind `redisUrl`. */
export async function openGround(s3: TestS3, redisUrl = testServices().redisUrl): Promise<Ground> {
  const [fresh, bucket] = await Promise.all([freshDatabase(), freshBucket(s3)])
  const database = await openDatabase({ driver: 'postgres', url: fresh.url, poolMin: 1, poolMax: 2 })
  await database.migrate('auto')
  await database.close()
  const admin = createRedisClient(redisUrl, { name: 'holds-test', use: 'queue' })
  admin.on('error', () => {}) // a test may kill it
  const { endpoint, region, accessKeyId, secretAccessKey } = s3
  return {
    databaseUrl: fresh.url,
    storeOptions: { endpoint, region, bucket: bucket.name, credentials: { accessKeyId, secretAccessKey } },
    redis: { url: redisUrl, admin },
    async close() {
      admin.disconnect()
      await Promise.all([fresh.drop(), bucket.cleanup()])
    },
  }
}

/** The same database and bucket, with a primary and a replica that only this ground has. */
export async function withReplica(ground: Ground): Promise<Ground> {
  const primary = await privateRedis(['--repl-diskless-sync-delay', '0'])
  const replica = await privateRedis(['--replicaof', '127.0.0.1', String(primary.port)])
  await until('the replica follows', async () => /state=online/.test(await primary.admin.info('replication')))
  return {
    ...ground,
    redis: primary,
    failover: {
      nextUrl: replica.url,
      replicated: (key) => replicated(primary.admin, key),
      async part() {
        await replica.admin.replicaof('NO', 'ONE')
      },
      over: () => primary.kill(),
    },
    async close() {
      await Promise.all([primary.stop(), replica.stop()])
    },
  }
}

/** The same database and bucket, with a Sentinel trio or a Cluster that only this ground has. */
export async function withTopology(ground: Ground, start: () => Promise<RedisTopology>): Promise<Ground> {
  const topology = await start()
  await topology.deadAfter(20_000)
  const { url } = topology
  const admin = createRedisClient(url, { name: 'holds-test', use: 'queue' })
  admin.on('error', () => {})
  return {
    ...ground,
    redis: { url, admin },
    failover: {
      nextUrl: url,
      replicated: async (key) => replicated((await topology.masterOf(key)).admin, key),
      async part(key) {
        const master = await topology.masterOf(key)
        await master.admin.call('ACL', 'SETUSER', 'default', '-psync', '-sync')
        await master.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
        await until('nobody follows', async () => /connected_slaves:0/.test(await master.admin.info('replication')))
      },
      async over(key) {
        await topology.deadAfter(1000)
        const master = await topology.masterOf(key)
        await master.kill()
        await topology.failedOver(key, master)
      },
    },
    async close() {
      admin.disconnect()
      await topology.stop()
    },
  }
}

async function replicated(primary: Redis, key: string): Promise<void> {
  await primary.set(`${key}:mark`, '1') // WAIT counts from the last write of its own connection
  assert.ok((await primary.wait(1, 5000)) >= 1)
}
