import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CompositionLimits, planComposition } from './composing.ts'
import type { Segment } from './words.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const P = 8 * MIB
const LIMITS: CompositionLimits = { partBytes: P, minPartBytes: 5 * MIB, maxParts: 10_000, equalParts: false }

/** Segments of these sizes, one behind the other. */
function segmentsOf(...sizes: number[]): Segment[] {
  let start = 0
  return sizes.map((bytes, index) => {
    const segment = { key: String(index), start, end: start + bytes, crc32: null }
    start += bytes
    return segment
  })
}

/** Only between pieces of P, counted from the segment's beginning, and at its end. */
const cutAfter = ({ start, end }: Segment, offset: number): number => Math.min(end - start, Math.ceil(offset / P) * P)

function check(sizes: number[], behind: number, limits: CompositionLimits): void {
  const segments = segmentsOf(...sizes)
  const length = (segments.at(-1)?.end ?? 0) + behind
  const { parts } = planComposition(segments, length, limits)
  let position = 0
  for (const [index, { start, end }] of parts.entries()) {
    const what = `part ${index + 1} of ${sizes} + ${behind}: ${start} to ${end}`
    assert.equal(start, position, what)
    assert.ok(end > start && end <= length, what)
    assert.ok(end === length || end - start >= limits.minPartBytes, `${what} is too small`)
    const inside = segments.find((segment) => segment.start <= start && end <= segment.end)
    const copied = inside && inside.end - inside.start > limits.minPartBytes
    assert.ok(
      copied ? end - start <= 5 * GIB : end - start <= 2 * P + limits.minPartBytes + behind,
      `${what} is too large`,
    )
    if (copied && limits.cutAfter) {
      for (const edge of [start, end])
        assert.equal(limits.cutAfter(inside, edge - inside.start), edge - inside.start, what)
    }
    position = end
  }
  assert.equal(position, length)
}

test('parts cover the file, are as large as a store wants them, and copies are cut where they may be', () => {
  const sizes = [
    [P],
    [3 * P + 5],
    [1, 3 * P],
    [3 * MIB, 100 * MIB],
    [3 * P + 1, 1, 1, 5 * P],
    [P - 1, 2 * P, 4 * MIB, 7 * MIB, P, 3],
    [640 * P, 640 * P, 12],
    [20 * GIB + 17, 3],
    [3, 4 * GIB + 1],
    [9 * GIB + 4 * MIB, 9 * GIB + 6 * MIB],
    [1024 * GIB + 1, 5 * MIB + 1],
    Array.from({ length: 40 }, (_, n) => 1 + n * 700_001),
  ]
  for (const some of sizes) {
    for (const behind of [0, 1, P - 1]) {
      check(some, behind, LIMITS)
      check(some, behind, { ...LIMITS, cutAfter })
    }
  }
})

test('segments of any size, at random', () => {
  for (let run = 0; run < 300; run++) {
    const sizes = Array.from({ length: 1 + (run % 9) }, () => 1 + Math.floor(Math.random() ** 4 * 12 * GIB))
    check(sizes, run % 3 === 0 ? Math.floor(Math.random() * P) : 0, run % 2 === 0 ? LIMITS : { ...LIMITS, cutAfter })
  }
})

test('equal parts of a large file are cut where its segments end, so that nothing is read through us', () => {
  for (const [count, parts] of [
    [1, 640],
    [40, 40 * 320],
    [1024, 8192],
  ] as const) {
    const segments = segmentsOf(...Array.from({ length: count }, () => 640 * P))
    const length = segments.at(-1)?.end ?? 0
    const plan = planComposition(segments, length, { ...LIMITS, equalParts: true })
    assert.ok(plan.parts.length <= Math.min(parts, LIMITS.maxParts), `${plan.parts.length} parts`)
    for (const { start, end } of plan.parts) {
      assert.ok(
        segments.some((segment) => segment.start <= start && end <= segment.end),
        `${start} to ${end}`,
      )
    }
  }
})

test('equal parts are equal but for the last, however long the file is', () => {
  for (const length of [1, 3 * P, 3 * P + 1, 200 * GIB, 5 * 1024 * GIB]) {
    const { parts, partBytes } = planComposition(segmentsOf(length), length, { ...LIMITS, equalParts: true, cutAfter })
    assert.ok(parts.length <= LIMITS.maxParts)
    assert.equal(partBytes % P, 0)
    for (const { start, end } of parts.slice(0, -1)) assert.equal(end - start, partBytes)
  }
})
