import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkConditions, rangeCounts } from './conditions.ts'

const ETAG = '"abc-1"'

test('If-None-Match compares weakly, also in a list', () => {
  for (const value of ['"abc-1"', 'W/"abc-1"', '"x", "abc-1"', '*']) {
    assert.equal(checkConditions({ 'if-none-match': value }, ETAG), 'not-modified', value)
  }
  assert.equal(checkConditions({ 'if-none-match': '"other"' }, ETAG), 'send')
})

test('If-Match compares strongly, and comes first', () => {
  assert.equal(checkConditions({ 'if-match': '"x", "abc-1"' }, ETAG), 'send')
  assert.equal(checkConditions({ 'if-match': '*' }, ETAG), 'send')
  assert.equal(checkConditions({ 'if-match': 'W/"abc-1"' }, ETAG), 'failed')
  assert.equal(checkConditions({ 'if-match': '"x"', 'if-none-match': ETAG }, ETAG), 'failed')
})

test('If-Range lets a range count for this very file only', () => {
  assert.equal(rangeCounts({}, ETAG), true)
  assert.equal(rangeCounts({ 'if-range': ETAG }, ETAG), true)
  for (const value of ['"x"', 'W/"abc-1"', 'Tue, 01 Jan 2030 00:00:00 GMT']) {
    assert.equal(rangeCounts({ 'if-range': value }, ETAG), false, value)
  }
})
