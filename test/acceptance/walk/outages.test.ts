/**
 * At the S3 requests of an upload Redis forgets everything, or Redis or Postgres goes away for a while, before the
 * request, between the request and its answer, and after the answer. The same must hold as after a kill.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type PostgresProxy, postgresProxy } from '../../support/postgres-proxy.ts'
import { type PrivateRedis, privateRedis } from '../../support/private-redis.ts'
import { freshWorld } from '../../support/service.ts'
import { Aftermath } from './support/aftermath.ts'
import { PHASES, postgresAway, redisAway, redisFlushed, redisFrozen } from './support/blows.ts'
import { LONG, REPEAT, storesOf } from './support/sample.ts'
import { CONCATENATION, DEFERRED, ONE_LARGE_PATCH, type Shape, SMALL_PATCHES } from './support/shapes.ts'
import { Stage } from './support/stage.ts'
import type { Blow, Phase } from './support/track.ts'
import { walk } from './support/walk.ts'

for (const store of storesOf('versitygw')) {
  describe(`outages at every S3 request: ${store.name} (${REPEAT})`, { timeout: 3_000_000 }, () => {
    let redis: PrivateRedis
    let postgres: PostgresProxy
    let stage: Stage
    let aftermath: Aftermath
    const fragile: Record<string, string> = {}
    before(async () => {
      const world = await freshWorld(store)
      redis = await privateRedis()
      postgres = await postgresProxy(world.databaseUrl)
      await postgres.up()
      Object.assign(fragile, { REDIS_URL: redis.url, DATABASE_URL: postgres.url })
      stage = await Stage.open(store, fragile, world)
      aftermath = new Aftermath(world)
    })
    after(async () => {
      await aftermath?.close()
      await stage?.close()
      await postgres?.close()
      await redis?.stop()
    })

    const OUTAGES: readonly (readonly [string, (phase: Phase) => Blow, readonly Shape[]])[] = [
      ['FLUSHALL', (phase) => redisFlushed(redis, phase), [SMALL_PATCHES, ONE_LARGE_PATCH, CONCATENATION]],
      ['Redis away', (phase) => redisAway(redis, phase), [SMALL_PATCHES, DEFERRED]],
      ['Redis frozen', (phase) => redisFrozen(redis, phase), [ONE_LARGE_PATCH, SMALL_PATCHES]],
      ['Postgres away', (phase) => postgresAway(postgres, phase), [ONE_LARGE_PATCH, CONCATENATION]],
    ]
    for (const [name, blow, shapes] of OUTAGES) {
      for (const shape of shapes) {
        test(`${name}: ${shape.name}`, async (t) => {
          const { boundaries, places, walked } = await walk(stage, aftermath, shape, PHASES.map(blow), 1)
          if (LONG) assert.equal(walked, places)
          t.diagnostic(`${walked} of ${places} places, at ${boundaries} S3 requests`)
        })
      }
    }

    test('each finished once, and nothing is left but the finished objects', async () => {
      await stage.stop()
      await aftermath.check(fragile)
    })
  })
}
