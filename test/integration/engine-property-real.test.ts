import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testServices } from '../support/services.ts'
import { openRealGround } from './support/property/real-ground.ts'
import { check } from './support/property/run.ts'

const LONG = process.env.TEST_LONG === '1'
const seed = Number(process.env.TEST_SEED ?? Date.now() % 0x7fffffff)

/** In real time, where nothing can be shrunk: what it finds is walked again on the memory drivers. */
for (const s3 of testServices().s3.slice(0, LONG ? 2 : 1)) {
  test(`the engine keeps the protocol on Postgres, Redis and ${s3.name}`, async (t) => {
    const real = await openRealGround(s3)
    t.after(() => real.end())
    const result = await check({
      broken: true,
      seed,
      numRuns: LONG ? 100 : 10,
      maxCommands: 6,
      shrink: false,
      ground: real.ground,
    })
    t.diagnostic(JSON.stringify(Object.fromEntries(result.counts)))
    assert.ok(!result.failed, result.report)
    assert.ok((result.counts.get('done') ?? 0) > 0)
  })
}
