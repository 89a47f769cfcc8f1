import assert from 'node:assert/strict'
import { test } from 'node:test'
import { figure, median, quantile } from './statistics.ts'

test('the median of an odd and an even number of values, in any order', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 3, 2]), 2.5)
  assert.ok(Number.isNaN(median([])))
})

test('a quantile is one of the values', () => {
  const values = Array.from({ length: 101 }, (_, index) => 100 - index)
  assert.equal(quantile(values, 0.99), 99)
  assert.equal(quantile(values, 0), 0)
  assert.equal(quantile(values, 1), 100)
})

test('figures have three digits that say something', () => {
  assert.deepEqual([1234.5, 100, 12.34, 1, 0.12345, 0, Number.NaN].map(figure), [
    '1235',
    '100',
    '12.3',
    '1',
    '0.123',
    '0',
    '-',
  ])
})
