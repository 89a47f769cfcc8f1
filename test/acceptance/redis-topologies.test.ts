/**
 * The main job on Redis Sentinel and on Redis Cluster: beside cuts and the kill -9 of an instance, the Redis master
 * that keeps the upload's session is killed in mid-chunk. The client keeps its default retryDelays (0, 1, 3, 5 s).
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startBalancer } from '../support/balancer.ts'
import { type RedisTopology, startCluster, startSentinel } from '../support/redis-topologies.ts'
import { freshWorld, type RunningService, startService } from '../support/service.ts'
import { assertDone, FILE_SIZE, MIB, send } from './support/main-job.ts'

const LONG = process.env.TEST_LONG === '1'
const SIZE = LONG ? FILE_SIZE : 24 * MIB
const STEP = LONG ? 14 : 3

// Side by side: most of the time they wait for a failover.
describe('the main job while Redis fails over', { concurrency: true }, () => {
  const size = LONG ? 'the whole file of 100 MB' : '24 MiB; TEST_LONG takes the whole file, which needs a minute'
  for (const [name, start] of [
    ['Sentinel, its master killed in mid-upload', startSentinel],
    ['Cluster, the master of the session killed in mid-upload', startCluster],
  ] as const) {
    test(`${name} (${size})`, { timeout: 240_000 }, async (t) => {
      const redis = await start()
      t.after(() => redis.stop())
      await mainJob(redis, (end) => t.after(end))
    })
  }
})

async function mainJob(redis: RedisTopology, after: (end: () => Promise<void>) => void): Promise<void> {
  const world = await freshWorld()
  const env = { ...world.env, REDIS_URL: redis.url, MAX_FILE_SIZE: String(512 * MIB) }
  const begin = () => startService({ mode: 'production', env })
  const instances: RunningService[] = await Promise.all([begin(), begin()])
  const balancer = await startBalancer(instances.map(({ url }) => url))
  after(async () => {
    await balancer.close()
    await Promise.all(instances.map((instance) => instance.kill()))
    await world.remove()
  })

  const cut = balancer.cut({ afterBytes: 300_000, skip: STEP })
  const outage = Promise.withResolvers<void>()
  const lost = balancer.when({ afterBytes: 777_777, skip: STEP }, ({ path }) => {
    const key = `${world.redisPrefix}:{${path.split('/').at(-1)}}:session`
    outage.resolve(killMasterOf(redis, key))
  })
  const killed = balancer.when({ afterBytes: 500_000, skip: STEP }, ({ target }) => void instances[target]?.kill())
  const again = balancer.cut({ afterBytes: 1, skip: STEP })
  const path = await send(balancer.url, { size: SIZE })
  const [first, , { target }, last] = await Promise.all([cut, lost, killed, again])
  assert.deepEqual([first.wasCut, last.wasCut], [true, true])
  await outage.promise
  const alive = instances.find((_, n) => n !== target)
  assert.ok(alive)
  assert.equal((await instances[target]?.exited)?.signal, 'SIGKILL')
  await assertDone(alive.url, path, world, SIZE)
}

/** Resolves when another node has taken over. */
async function killMasterOf(redis: RedisTopology, key: string): Promise<void> {
  const master = await redis.masterOf(key)
  assert.equal(await master.admin.exists(key), 1, 'the session is there')
  await master.kill()
  await redis.failedOver(key, master)
}
