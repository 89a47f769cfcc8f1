/** The same traces where Redis is a Sentinel trio or a Cluster: a sample, and with TEST_LONG=1 all of them. */
import { after, before, describe } from 'node:test'
import { type RedisTopology, startCluster, startSentinel } from '../../support/redis-topologies.ts'
import { type Ground, openGround, strictStore, withTopology } from './support/ground.ts'
import { playRule } from './support/rule.ts'
import { STALE_SESSION } from './traces/failover.ts'
import { RULES } from './traces/index.ts'

const LONG = process.env.TEST_LONG === '1'
const SAMPLE = new Set([
  'a save compares the token',
  'reading the recorded parts compares the token',
  'a takeover ends the open multipart upload',
  'nobody takes an upload while the lease of its holder runs',
  'who waits asks again, because a message may be lost',
])

for (const [name, start] of [
  ['Sentinel', startSentinel],
  ['Cluster', startCluster],
] as const) {
  describe(`rules of the hold, Redis ${name}${LONG ? '' : ' (a sample; TEST_LONG=1: all)'}`, { concurrency: 8 }, () => {
    let redis: RedisTopology
    let ground: Ground
    const others: Ground[] = []
    before(async () => {
      redis = await start()
      // Nothing is to fail over: a busy machine may stop a node for a while.
      await redis.deadAfter(20_000)
      ground = await openGround(strictStore(), redis.url)
    })
    after(async () => {
      await Promise.all(others.map((other) => other.close()))
      await ground.close()
      await redis.stop()
    })
    for (const rule of RULES) if (LONG || SAMPLE.has(rule.name)) playRule(rule, () => ground)

    if (LONG) {
      playRule(STALE_SESSION, async () => {
        const own = await withTopology(ground, start)
        others.push(own)
        return own
      })
    }
  })
}
