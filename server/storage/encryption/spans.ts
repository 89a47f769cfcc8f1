import type { KeyObject } from 'node:crypto'
import type { ByteRange } from '../../uploads/ports/byte-store.ts'
import type { Layout, SealedRun } from '../../uploads/words.ts'
import { layoutBytes, storedLayoutBytes, storedRunBytes } from './layout.ts'
import { sealedBytes, sealedRange } from './lengths.ts'
import type { Span } from './unsealer.ts'

/** What has to be read for a range of a file, and how it opens. */
export interface Reading {
  /** Of the stored object; null: all of it. */
  readonly stored: ByteRange | null
  /** Where the first piece's header lies, when the range begins behind its first frame: its salt is needed first. */
  readonly header: number | null
  spans(salt: Buffer | null): Iterable<Span>
}

/** The data key of an upload whose bytes are part of the object. Throws `store_unavailable`. */
export type DataKeyOf = (upload: string) => KeyObject

/** How to read bytes [first, last] of an object; null: all of them. */
export function readingOf(layout: Layout, range: ByteRange | null, dataKeyOf: DataKeyOf): Reading {
  const first = range?.first ?? 0
  const end = range ? range.last + 1 : layoutBytes(layout)
  const spans = (salt: Buffer | null) => spansOf(layout, first, end, dataKeyOf, salt)
  if (!range) return { stored: null, header: null, spans }
  const { from, header } = begin(layout, first)
  return { stored: { first: from, last: finish(layout, end) - 1 }, header, spans }
}

/** How to read an object whose length is not known, written whole by its upload. */
export function* openEndedSpans(run: Omit<SealedRun, 'bytes'>, dataKey: KeyObject): Generator<Span> {
  const whole = { kind: 'piece', dataKey, bytes: null, full: run.piece, first: 0, salt: null } as const
  for (let at = run.at; ; at += run.piece) {
    yield { ...whole, place: { key: run.key, at }, end: Number.POSITIVE_INFINITY }
  }
}

/** A piece, and where in the file and in the store it begins. */
interface Located {
  readonly run: SealedRun
  readonly start: number
  readonly stored: number
  readonly bytes: number
}

/** The piece with that byte of the file, or the plain run with it. */
function locate(layout: Layout, offset: number): Located | null {
  let start = 0
  let stored = 0
  for (const run of layout) {
    if (offset < start + run.bytes || run.bytes === 0) {
      const before = run.upload === null ? 0 : offset - start - ((offset - start) % run.piece)
      const bytes = run.upload === null ? run.bytes : Math.min(run.piece, run.bytes - before)
      const storedBefore = before === 0 ? 0 : sealedBytes(before, run.piece)
      return { run, start: start + before, stored: stored + storedBefore, bytes }
    }
    start += run.bytes
    stored += storedRunBytes(run)
  }
  return null
}

/** Where the stored bytes for [first, ..) begin. */
function begin(layout: Layout, first: number): { readonly from: number; readonly header: number | null } {
  const piece = locate(layout, first)
  if (!piece) return { from: storedLayoutBytes(layout), header: null }
  const inside = first - piece.start
  if (piece.run.upload === null) return { from: piece.stored + inside, header: null }
  const { from } = sealedRange(piece.bytes, inside, piece.bytes)
  return { from: piece.stored + from, header: from === 0 ? null : piece.stored }
}

/** Where the stored bytes of [.., end) end. */
function finish(layout: Layout, end: number): number {
  const piece = locate(layout, Math.max(0, end - 1))
  if (!piece) return storedLayoutBytes(layout)
  const inside = end - piece.start
  return piece.stored + (piece.run.upload === null ? inside : sealedRange(piece.bytes, 0, inside).to)
}

function* spansOf(
  layout: Layout,
  first: number,
  end: number,
  dataKeyOf: DataKeyOf,
  salt: Buffer | null,
): Generator<Span> {
  let start = 0
  for (const run of layout) {
    const runEnd = start + run.bytes
    const empty = run.bytes === 0 && first === start
    if (first < runEnd || empty)
      yield* spansOfRun(run, first - start, end - start, dataKeyOf, first >= start ? salt : null)
    start = runEnd
    if (start >= end) return
  }
}

/** `first` and `end` are offsets in the run, and may lie outside. */
function* spansOfRun(
  run: SealedRun,
  first: number,
  end: number,
  dataKeyOf: DataKeyOf,
  salt: Buffer | null,
): Generator<Span> {
  const from = Math.max(0, first)
  const to = Math.min(run.bytes, end)
  if (run.upload === null) {
    yield { kind: 'plain', bytes: to - from }
    return
  }
  const dataKey = dataKeyOf(run.upload)
  for (let at = from - (from % run.piece); at < to || at === 0; at += run.piece) {
    yield {
      kind: 'piece',
      place: { key: run.key, at: run.at + at },
      dataKey,
      bytes: Math.min(run.piece, run.bytes - at),
      full: run.piece,
      first: Math.max(0, from - at),
      end: Math.min(run.piece, to - at),
      salt: at <= from ? salt : null,
    }
    if (run.bytes === 0) return
  }
}
