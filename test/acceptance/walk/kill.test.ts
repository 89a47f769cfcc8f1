/**
 * The walk: the serving process is killed by SIGKILL at every S3 request of an upload: before the store hears of it,
 * after the store applied it, and after the answer went back. Nothing that a client was told is taken back, the file
 * is the source, it finished once, and nothing is left in the bucket.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Aftermath } from './support/aftermath.ts'
import { kill, PHASES } from './support/blows.ts'
import { LONG, REPEAT, storesOf } from './support/sample.ts'
import { SHAPES } from './support/shapes.ts'
import { Stage } from './support/stage.ts'
import { walk } from './support/walk.ts'

/** How many places of each shape a short run walks. */
const SHORT = 1

for (const store of storesOf('seaweedfs')) {
  describe(`kill -9 along every S3 request: ${store.name} (${REPEAT})`, { timeout: 3_000_000 }, () => {
    let stage: Stage
    let aftermath: Aftermath
    before(async () => {
      stage = await Stage.open(store)
      aftermath = new Aftermath(stage.world)
    })
    after(async () => {
      await aftermath?.close()
      await stage?.close()
    })

    for (const shape of SHAPES) {
      test(shape.name, async (t) => {
        const blows = PHASES.map((phase) => kill(stage, phase))
        const { boundaries, places, walked } = await walk(stage, aftermath, shape, blows, SHORT)
        assert.equal(places, boundaries * PHASES.length)
        if (LONG) assert.equal(walked, places)
        t.diagnostic(`${walked} kills at ${boundaries} S3 requests, three places each`)
      })
    }

    test('each finished once, and nothing is left but the finished objects', async () => {
      await stage.stop()
      await aftermath.check()
    })
  })
}
