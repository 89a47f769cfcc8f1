import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { openDatabase } from '../../../../db/database.ts'
import { createRedisCoordination } from '../../../../server/coordination/redis/index.ts'
import { S3ByteStore } from '../../../../server/storage/s3/index.ts'
import type { Coordination } from '../../../../server/uploads/ports/coordination.ts'
import { freshBucket, freshDatabase, freshPrefix, type TestS3, testServices } from '../../../support/services.ts'
import { SETTINGS } from '../engine.ts'
import { realClock } from './clock.ts'
import type { Ground, WorldShape } from './sim.ts'

/** Gaps and delays of the commands are made for a lease of 3 s; real ones are shorter. */
const TIMES = 8

/**
 * Postgres, Redis and an S3 store for many runs, in real time with short leases. Parts stay above anything that is
 * sent, since a real store takes no small ones: what is tried here is tails, small files, holds and rebuilds.
 */
export async function openRealGround(s3: TestS3) {
  const [fresh, bucket] = await Promise.all([freshDatabase(), freshBucket(s3)])
  const { redisUrl } = testServices()
  const prefix = freshPrefix('property')
  const database = await openDatabase({ driver: 'postgres', url: fresh.url, poolMin: 1, poolMax: 8 })
  await database.migrate('auto')
  const { accessKeyId, secretAccessKey, endpoint, region } = s3
  const store = new S3ByteStore({
    endpoint,
    region,
    bucket: bucket.name,
    credentials: { accessKeyId, secretAccessKey },
  })
  const redis = new Redis(redisUrl)
  const opened: Coordination[] = []
  const coordination = async () => {
    const one = await createRedisCoordination({ url: redisUrl, prefix, poolMin: 1, poolMax: 2 })
    opened.push(one)
    return one
  }
  const observer = await coordination()
  const ground = ({ segmentParts }: WorldShape): Ground => ({
    real: true,
    clock: realClock(TIMES),
    store,
    records: database.records,
    settings: {
      ...SETTINGS,
      ...{ maxBytes: 4096, chunkBytes: 8, partBytes: 5 * 1024 * 1024, segmentParts, expiresAfterMs: null },
      ...{ leaseMs: 375, holdWaitMs: 1000, finishWaitMs: 500, idleMs: 625, inspectStallMs: 125, flushAfterMs: 375 },
    },
    delays: {
      way: { store: 24, records: 8, coordination: 8 },
      late: { store: 12_000, records: 2000, coordination: 300 },
    },
    coordination,
    peek: (id) => observer.peek(id),
    async forget() {
      const keys = await redis.keys(`${prefix}:*`)
      if (keys.length > 0) await redis.del(...keys)
    },
    async keysOf(id) {
      const keys: string[] = []
      for await (const { key } of store.list('')) if (key.includes(id)) keys.push(key)
      return keys
    },
    async entered(id, state) {
      const row = await database.records.find(id)
      return row?.enteredAt[state] === undefined ? 0 : 1
    },
    overwritten: () => [],
    // Late calls of the dead are on their way still.
    remove: () => sleep(50),
  })
  return {
    ground,
    async end(): Promise<void> {
      await sleep(1600)
      await Promise.all(opened.map((one) => one.close()))
      redis.disconnect()
      await database.close()
      await store.close()
      await Promise.all([fresh.drop(), bucket.cleanup()])
    },
  }
}
