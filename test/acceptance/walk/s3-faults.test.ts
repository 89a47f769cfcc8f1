/**
 * At every S3 request of an upload the store fails: 500, 503 SlowDown, an answer that is lost after the request was
 * applied, 200 with an error inside. Once, which a retry mends, and until the service gives up. The same must hold as
 * after a kill.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Aftermath } from './support/aftermath.ts'
import { s3Faults } from './support/blows.ts'
import { LONG, REPEAT, storesOf } from './support/sample.ts'
import { SHAPES } from './support/shapes.ts'
import { Stage } from './support/stage.ts'
import { walk } from './support/walk.ts'

/** How many places of each shape a short run walks. */
const SHORT = 1

for (const store of storesOf('versitygw')) {
  describe(`S3 fails at every request: ${store.name} (${REPEAT})`, { timeout: 3_000_000 }, () => {
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
        const { boundaries, places, walked } = await walk(stage, aftermath, shape, s3Faults(), SHORT)
        if (LONG) assert.equal(walked, places)
        t.diagnostic(`${walked} of ${places} places, at ${boundaries} S3 requests`)
      })
    }

    test('each finished once, and nothing is left but the finished objects', async () => {
      await stage.stop()
      await aftermath.check()
    })
  })
}
