import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveRange } from './range.ts'

test('a single range is cut to the file', () => {
  assert.deepEqual(resolveRange('bytes=0-4', 10), { first: 0, last: 4 })
  assert.deepEqual(resolveRange('bytes=5-', 10), { first: 5, last: 9 })
  assert.deepEqual(resolveRange('bytes=5-99', 10), { first: 5, last: 9 })
  assert.deepEqual(resolveRange('bytes=-3', 10), { first: 7, last: 9 })
  assert.deepEqual(resolveRange('bytes=-99', 10), { first: 0, last: 9 })
  assert.deepEqual(resolveRange('BYTES=9-9', 10), { first: 9, last: 9 })
})

test('a range outside the file cannot be satisfied', () => {
  for (const header of ['bytes=10-', 'bytes=10-12', 'bytes=-0', 'bytes=99999999999999999999-']) {
    assert.equal(resolveRange(header, 10), 'unsatisfiable', header)
  }
  for (const header of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) assert.equal(resolveRange(header, 0), 'unsatisfiable')
})

test('what cannot be read, and several ranges, mean the whole file', () => {
  for (const header of [undefined, '', 'bytes=-', 'bytes=5-4', 'bytes=a-b', 'items=0-1', 'bytes=0-1,3-4', 'bytes=1']) {
    assert.equal(resolveRange(header, 10), 'whole', header)
  }
})
