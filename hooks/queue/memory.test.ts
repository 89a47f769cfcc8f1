import assert from 'node:assert/strict'
import { test } from 'node:test'
import { queueContract } from './contract.ts'
import { createMemoryQueue } from './memory.ts'
import { backoffDelay, retryPolicy } from './port.ts'

queueContract('memory', { open: createMemoryQueue })

test('the memory queue says that it forgets', () => {
  assert.equal(createMemoryQueue().durable, false)
})

test('the delay doubles up to its bound and stays finite', () => {
  const policy = { backoffMs: 100, maxBackoffMs: 1_000 }
  assert.deepEqual(
    [1, 2, 3, 4, 5, 10_000].map((tries) => backoffDelay(policy, tries)),
    [100, 200, 400, 800, 1_000, 1_000],
  )
})

test('options that cannot be meant are refused', () => {
  assert.throws(() => retryPolicy({ attempts: 0 }), /attempts/)
  assert.throws(() => retryPolicy({ backoffMs: -1 }), /backoffMs/)
  assert.throws(() => retryPolicy({ closeMs: Number.NaN }), /closeMs/)
})
