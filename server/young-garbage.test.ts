import assert from 'node:assert/strict'
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { test } from 'node:test'
import { youngCollector } from './young-garbage.ts'

test('it collects after so many bytes, counted over all that come', () => {
  let collections = 0
  const received = youngCollector(100, () => collections++)
  received(60)
  assert.equal(collections, 0)
  received(40)
  assert.equal(collections, 1)
  received(99)
  assert.equal(collections, 1)
  received(1_000_000)
  assert.equal(collections, 2)
})

test('what it asks of V8 is a collection of the young', { timeout: 10_000 }, async () => {
  const seen = Promise.withResolvers<void>()
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const forced = constants.NODE_PERFORMANCE_GC_FLAGS_FORCED
      const { kind, flags } = Object(Reflect.get(entry, 'detail'))
      if (kind === constants.NODE_PERFORMANCE_GC_MINOR && flags === forced) seen.resolve()
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  youngCollector(1)(1)
  await seen.promise
  observer.disconnect()
})

test('nobody else is given the collector', () => {
  assert.equal(Reflect.get(globalThis, 'gc'), undefined)
})
