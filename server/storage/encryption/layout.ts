/** Arithmetic over runs (`SealedRun`): which bytes of a file lie where in a stored object. */
import type { ByteRange } from '../../uploads/ports/byte-store.ts'
import type { Layout, SealedRun } from '../../uploads/words.ts'
import { sealedBytes } from './lengths.ts'

/** Bytes of the file in all runs. */
export function layoutBytes(layout: Layout): number {
  return layout.reduce((sum, run) => sum + run.bytes, 0)
}

/** Stored bytes of a run. */
export function storedRunBytes({ upload, bytes, piece }: SealedRun): number {
  return upload === null ? bytes : sealedBytes(bytes, piece)
}

/** Stored bytes of all runs: what the object's size must be. */
export function storedLayoutBytes(layout: Layout): number {
  return layout.reduce((sum, run) => sum + storedRunBytes(run), 0)
}

/**
 * The nearest place, at or before (or at or after) `offset`, where the object may be cut: a piece's beginning, or the end
 * of a run. Offsets are bytes of the file; bytes that are not encrypted may be cut anywhere.
 */
export function cutAt(layout: Layout, offset: number, side: 'before' | 'after'): number {
  let start = 0
  for (const { bytes, piece, upload } of layout) {
    const end = start + bytes
    if (offset < end) {
      const inside = offset - start
      if (upload === null || inside % piece === 0) return offset
      const before = start + inside - (inside % piece)
      return side === 'before' ? before : Math.min(end, before + piece)
    }
    start = end
  }
  return start
}

/** The runs of bytes [start, end), which must be places where the object may be cut. */
export function sliceLayout(layout: Layout, start: number, end: number): SealedRun[] {
  const runs: SealedRun[] = []
  let position = 0
  for (const run of layout) {
    const from = Math.max(start, position)
    const to = Math.min(end, position + run.bytes)
    if (from < to) runs.push({ ...run, at: run.at + from - position, bytes: to - from })
    position += run.bytes
  }
  return runs
}

/** May bytes of the file be cut out of the object without opening a piece? */
export function isCut(layout: Layout, { first, last }: ByteRange): boolean {
  return cutAt(layout, first, 'before') === first && cutAt(layout, last + 1, 'before') === last + 1
}

/** The stored range of bytes that {@link isCut}. */
export function storedRange(layout: Layout, { first, last }: ByteRange): ByteRange {
  const from = storedLayoutBytes(sliceLayout(layout, 0, first))
  const bytes = storedLayoutBytes(sliceLayout(layout, first, last + 1))
  return { first: from, last: from + bytes - 1 }
}

/** One layout after the other; runs that go on where the one before ended become one. */
export function joinLayouts(layouts: Iterable<Layout>): SealedRun[] {
  const joined: SealedRun[] = []
  for (const layout of layouts) {
    for (const run of layout) {
      const before = joined.at(-1)
      if (before && goesOn(before, run)) joined[joined.length - 1] = { ...before, bytes: before.bytes + run.bytes }
      else if (run.bytes > 0) joined.push(run)
    }
  }
  return joined
}

function goesOn(before: SealedRun, run: SealedRun): boolean {
  const same = before.key === run.key && before.upload === run.upload && before.piece === run.piece
  const whole = before.upload === null || before.bytes % before.piece === 0
  return same && whole && run.at === before.at + before.bytes
}
