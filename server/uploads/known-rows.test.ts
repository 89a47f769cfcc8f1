import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUploadId } from './id.ts'
import { KnownRows } from './known-rows.ts'
import { rowToBe } from './new-row.ts'
import type { UploadState } from './states.ts'

const rowIn = (state: UploadState) => ({
  ...rowToBe({
    id: newUploadId(),
    tenant: 'default',
    owner: 'alice',
    length: 10,
    lengthDeferred: false,
    partBytes: 8,
  }),
  state,
})

test('a row is known while it is young, and only while its upload is receiving', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 })
  const known = new KnownRows(1500)
  const row = rowIn('receiving')
  known.put(row, Date.now())
  assert.deepEqual(known.get(row.id), { row, seenAt: 1_000_000 })
  t.mock.timers.tick(1499)
  assert.ok(known.get(row.id))
  t.mock.timers.tick(1)
  assert.equal(known.get(row.id), null)
  known.put(row, Date.now())
  known.put({ ...row, state: 'finishing' }, Date.now())
  assert.equal(known.get(row.id), null)
  for (const state of ['created', 'finishing', 'uploaded', 'terminated'] as const) {
    const other = rowIn(state)
    known.put(other, Date.now())
    assert.equal(known.get(other.id), null, state)
  }
})

test('a clock that was set back makes nothing younger', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 })
  const known = new KnownRows(1500)
  const row = rowIn('receiving')
  known.put(row, Date.now() + 60_000)
  assert.equal(known.get(row.id), null)
})

test('what is old goes by itself, and so does what is too much', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 })
  const known = new KnownRows(1500)
  for (let n = 0; n < 10; n++) known.put(rowIn('receiving'), Date.now())
  assert.equal(known.size, 10)
  t.mock.timers.tick(2000)
  known.put(rowIn('receiving'), Date.now())
  assert.equal(known.size, 1)
  for (let n = 0; n < 11_000; n++) known.put(rowIn('receiving'), Date.now())
  assert.equal(known.size, 10_000)
})
