import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check, type Result } from './support/property/run.ts'

const LONG = process.env.TEST_LONG === '1'
/** A new way each time; a failure says how to walk it again (test/integration/support/property/cli.ts). */
const seed = Number(process.env.TEST_SEED ?? Date.now() % 0x7fffffff)

test('the engine keeps the protocol: many clients, several instances, nothing broken', async () => {
  const result = await check({ broken: false, seed, numRuns: LONG ? 6000 : 300, budgetMs: LONG ? 400_000 : 15_000 })
  assert.ok(!result.failed, result.report)
  happened(result, ['done', 'clean', 'rebuild', 'flush end', 'offset_mismatch', 'body_exceeds_length'])
})

test('the engine keeps the protocol: processes die and stop, Redis forgets, calls get lost or arrive late', async () => {
  const result = await check({ broken: true, seed, numRuns: LONG ? 12_000 : 300, budgetMs: LONG ? 600_000 : 20_000 })
  assert.ok(!result.failed, result.report)
  happened(result, ['done', 'clean', 'rebuild', 'unclean', 'hold_lost', 'died', 'kill', 'stop', 'forget', 'fault'])
})

/** A test in which nothing happens proves nothing. */
function happened({ counts }: Result, what: readonly string[]): void {
  for (const each of what)
    assert.ok((counts.get(each) ?? 0) > 0, `${each} never happened in ${counts.get('done')} requests`)
}
