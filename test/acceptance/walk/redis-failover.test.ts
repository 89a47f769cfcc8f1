/**
 * A Redis failover that forgets: replication stands still while PATCHes are acknowledged, then the master is killed at
 * an S3 request and a replica takes over whose session is there, and stale. Nothing that was told is taken back.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hasItsMaster } from '../../support/redis-home.ts'
import { type RedisNode, until } from '../../support/redis-node.ts'
import { type RedisTopology, startSentinel } from '../../support/redis-topologies.ts'
import { sampleBytes } from '../support/tus.ts'
import { Aftermath } from './support/aftermath.ts'
import { PHASES } from './support/blows.ts'
import { REPEAT, storesOf } from './support/sample.ts'
import type { Shape } from './support/shapes.ts'
import { Stage } from './support/stage.ts'
import type { Blow, Phase } from './support/track.ts'
import { walk } from './support/walk.ts'

const MIB = 1024 * 1024
const BYTES = sampleBytes(9 * MIB + 77, 'walk-failover')
/** What the replicas know when replication stops. */
const REPLICATED = 2 * MIB
/**
 * By then something was acknowledged that the replicas do not know: each PATCH so far was one request. What comes after
 * the finish is no matter of the session any more.
 */
const fits = (boundary: number, operation: string): boolean =>
  boundary > REPLICATED / MIB && !['ListObjectsV2', 'DeleteObjects'].includes(operation)

for (const store of storesOf('seaweedfs')) {
  describe(`a failover to a replica that is behind: ${store.name} (${REPEAT})`, { timeout: 3_000_000 }, () => {
    let redis: RedisTopology
    let stage: Stage
    let aftermath: Aftermath
    let paused: { readonly master: RedisNode; readonly replicas: RedisNode[] } | undefined
    before(async () => {
      redis = await startSentinel()
      stage = await Stage.open(store, { REDIS_URL: redis.url })
      aftermath = new Aftermath(stage.world)
    })
    after(async () => {
      await aftermath?.close()
      await stage?.close()
      await redis?.stop()
    })

    async function pauseReplication(): Promise<void> {
      const [master] = await redis.masters()
      assert.ok(master)
      const replicas = redis.nodes.filter((node) => node !== master)
      await master.admin.set('marker', Date.now())
      const known = async () => (await master.admin.wait(replicas.length, 1000)) === replicas.length
      await until('the replicas have all so far', known)
      for (const replica of replicas) replica.pause()
      // Else what the kernel keeps for them would reach them when they go on.
      await master.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
      paused = { master, replicas }
    }

    /** Returns what the replicas believe of the upload's offset. */
    async function failOver(id: string): Promise<number[]> {
      assert.ok(paused)
      const { master, replicas } = paused
      await master.kill()
      for (const replica of replicas) replica.resume()
      const key = `${stage.world.redisPrefix}:{${id}}:session`
      return Promise.all(replicas.map(async ({ admin }) => Number(await admin.hget(key, 'o'))))
    }

    /** The one that was killed comes back as a replica. */
    async function restore(): Promise<void> {
      if (!paused) return
      const { master } = paused
      paused = undefined
      // While the sentinels name different ones, asking throws, which counts as no.
      await until('another one is the master', async () => (await redis.masters())[0] !== master)
      await master.revive()
      await until('all replicas follow', async () => {
        const [now] = await redis.masters()
        assert.ok(now)
        const others = redis.nodes.filter((node) => node !== now)
        const follow = await Promise.all(others.map(hasItsMaster))
        // The sentinels come to it too, in their own time. Told twice, a replica does nothing.
        const late = others.filter((_, n) => !follow[n])
        await Promise.all(late.map(({ admin }) => admin.call('REPLICAOF', '127.0.0.1', now.port)))
        return late.length === 0
      })
    }

    async function resumeReplication(): Promise<void> {
      for (const replica of paused?.replicas ?? []) replica.resume()
      paused = undefined
    }

    const stale: number[][] = []
    let over: Promise<number[]> = Promise.resolve([])
    const failover = (phase: Phase): Blow => ({
      name: `a failover (${phase})`,
      phase,
      strike: async () => {
        over = failOver(stage.track.ids[0] ?? '')
        stale.push(await over)
        return undefined
      },
      heal: async () => {
        await over
        await restore()
      },
    })

    const shape: Shape = {
      name: '1 MiB PATCHes',
      bytes: BYTES,
      async upload(client) {
        const path = await client.create({ length: BYTES.length })
        await client.complete(path, BYTES.subarray(0, REPLICATED), MIB)
        await pauseReplication()
        await client.complete(path, BYTES, MIB)
        // A clean run's replicas go on without a failover.
        if (paused?.master.running) await resumeReplication()
        return path
      },
    }

    test('the master dies at an S3 request', { timeout: 1_500_000 }, async (t) => {
      const blows = PHASES.map(failover)
      const { walked, places } = await walk(stage, aftermath, shape, blows, 2, fits)
      t.diagnostic(`${walked} of ${places} places`)
      assert.equal(stale.length, walked)
      // They knew the upload, and not where it was.
      for (const offsets of stale) assert.deepEqual(offsets, [REPLICATED, REPLICATED])
    })

    test('each finished once, and nothing is left but the finished objects', async () => {
      await stage.stop()
      await aftermath.check({ REDIS_URL: redis.url })
    })
  })
}
