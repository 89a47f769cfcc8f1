import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUploadId } from '../../uploads/id.ts'
import type { SealedRun } from '../../uploads/words.ts'
import { cutAt, isCut, joinLayouts, layoutBytes, sliceLayout, storedLayoutBytes, storedRange } from './layout.ts'
import { sealedBytes } from './lengths.ts'

const UPLOAD = newUploadId()
const run = (key: string, bytes: number, more: Partial<SealedRun> = {}): SealedRun => ({
  ...{ key, at: 0, bytes, piece: 100_000, upload: UPLOAD },
  ...more,
})
/** 250,000 bytes in pieces of 100,000; 1,000 that are not encrypted; 30,000 of another upload. */
const LAYOUT = [run('a', 250_000), run('b', 1000, { upload: null }), run('c', 30_000, { upload: newUploadId() })]

test('the file may be cut where a piece begins and where a run ends, and anywhere in what is not encrypted', () => {
  const cuts = (offset: number) => [cutAt(LAYOUT, offset, 'before'), cutAt(LAYOUT, offset, 'after')]
  assert.deepEqual(cuts(0), [0, 0])
  assert.deepEqual(cuts(1), [0, 100_000])
  assert.deepEqual(cuts(100_000), [100_000, 100_000])
  assert.deepEqual(cuts(200_001), [200_000, 250_000])
  assert.deepEqual(cuts(250_000), [250_000, 250_000])
  assert.deepEqual(cuts(250_500), [250_500, 250_500])
  assert.deepEqual(cuts(251_001), [251_000, 281_000])
  assert.deepEqual(cuts(281_000), [281_000, 281_000])
  assert.ok(isCut(LAYOUT, { first: 100_000, last: 249_999 }))
  assert.ok(!isCut(LAYOUT, { first: 100_000, last: 249_998 }))
  assert.ok(!isCut(LAYOUT, { first: 99_999, last: 249_999 }))
})

test('slices that are joined again are the whole, in the file and in the store', () => {
  const cuts = [0, 100_000, 200_000, 250_000, 250_001, 251_000, 281_000]
  const slices = cuts.slice(1).map((end, index) => sliceLayout(LAYOUT, cuts[index] ?? 0, end))
  assert.deepEqual(joinLayouts(slices), LAYOUT)
  let stored = 0
  for (const [index, slice] of slices.entries()) {
    const range = { first: cuts[index] ?? 0, last: (cuts[index + 1] ?? 0) - 1 }
    assert.deepEqual(storedRange(LAYOUT, range), { first: stored, last: stored + storedLayoutBytes(slice) - 1 })
    stored += storedLayoutBytes(slice)
  }
  assert.equal(stored, storedLayoutBytes(LAYOUT))
  assert.equal(layoutBytes(LAYOUT), 281_000)
  assert.equal(stored, sealedBytes(250_000, 100_000) + 1000 + sealedBytes(30_000, 100_000))
})

test('runs are joined only where the second goes on with whole pieces of the first', () => {
  const whole = run('a', 200_000)
  assert.equal(joinLayouts([[whole], [run('a', 5, { at: 200_000 })]]).length, 1)
  for (const next of [
    run('a', 5, { at: 100_000 }),
    run('b', 5, { at: 200_000 }),
    run('a', 5, { at: 200_000, upload: null }),
    run('a', 5, { at: 200_000, piece: 50_000 }),
  ]) {
    assert.equal(joinLayouts([[whole], [next]]).length, 2)
  }
  assert.equal(joinLayouts([[run('a', 150_000)], [run('a', 5, { at: 150_000 })]]).length, 2)
  assert.deepEqual(joinLayouts([[run('a', 0)], [whole]]), [whole], 'nothing is kept of no bytes')
})
