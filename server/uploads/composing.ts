import { concatBytes, crc32Of, NO_BYTES, splitBytes } from './bytes.ts'
import { combineCrc32s } from './crc32.ts'
import type { Deps } from './deps.ts'
import { hasCode, UploadError } from './errors.ts'
import type { OpenUpload } from './open-upload.ts'
import type { ByteStore, ComposedPart } from './ports/byte-store.ts'
import type { Bytes, Layout, Part, Segment, Upload } from './words.ts'

const GIB = 1024 * 1024 * 1024
/** S3 copies at most this much in one UploadPartCopy. */
const COPY_LIMIT = 5 * GIB
/** The same for segments that cannot be cut anywhere: room for half a GiB until the next place, and for what is stored beside. */
const CUT_COPY_LIMIT = 4 * GIB

/** One part of a composition: bytes [start, end) of the upload. */
export interface PlannedPart {
  readonly start: number
  readonly end: number
}

export interface Plan {
  readonly partBytes: number
  readonly parts: readonly PlannedPart[]
}

/** What a store wants of a multipart upload's parts. */
export interface CompositionLimits {
  /** Part size P of the upload. */
  readonly partBytes: number
  /** No part but the last may be smaller, and no object of at most this size be copied from by range. */
  readonly minPartBytes: number
  readonly maxParts: number
  readonly equalParts: boolean
  /** The first place at or after `offset` of a segment where it may be cut. Absent: anywhere. */
  readonly cutAfter?: (segment: Segment, offset: number) => number
}

export interface Composed {
  /** Of the whole, where every piece's is known. */
  readonly crc32: number | null
  /** What the row must keep of it; null: nothing. */
  readonly layout: Layout | null
}

/**
 * How an upload of `length` bytes in `segments` (without gaps, from 0) and the bytes behind them becomes one object.
 * Unequal parts: each segment is one part (or equal pieces of at most 5 GiB), what is behind them the last; segments
 * that are too small for a part are gathered with what follows, about P at a time.
 * Equal parts: all but the last of one size, a multiple of P, so that a piece crosses a segment's end as rarely as
 * the number of parts allows.
 */
export function planComposition(segments: readonly Segment[], length: number, limits: CompositionLimits): Plan {
  const { partBytes: unit, maxParts } = limits
  if (limits.equalParts) {
    const partBytes = equalPartBytes(segments, length, unit, maxParts)
    return { partBytes, parts: pieces(0, length, partBytes) }
  }
  const parts: PlannedPart[] = []
  for (let position = 0; position < length; position = parts.at(-1)?.end ?? length) {
    const inside = segments.find(({ start, end }) => start <= position && position < end)
    if (!inside) parts.push({ start: position, end: length })
    else if (isCopied(inside, position, length, limits)) parts.push(...copies(inside, position, limits))
    else parts.push({ start: position, end: gatheredUntil(segments, position, length, limits) })
  }
  return { partBytes: unit, parts }
}

/**
 * The size of equal parts by which least has to be read through us: what crosses a segment's end cannot be copied, and
 * is as large as a part. 5 TiB in segments of 640 P: 80 P and nothing is read, where 66 P would do and a part of 528 MiB
 * would be read for nearly every segment.
 */
function equalPartBytes(segments: readonly Segment[], length: number, unit: number, maxParts: number): number {
  const least = Math.max(1, Math.ceil(length / unit / maxParts))
  let best = { size: least * unit, read: Number.POSITIVE_INFINITY }
  for (let count = least; count <= 2 * least && count * unit <= Math.max(COPY_LIMIT, least * unit); count++) {
    const size = count * unit
    const read = size * segments.filter(({ end }) => end < length && end % size !== 0).length
    if (read < best.read) best = { size, read }
  }
  return best.size
}

function isCopied(inside: Segment, position: number, length: number, { minPartBytes }: CompositionLimits): boolean {
  if (inside.end - inside.start <= minPartBytes) return false
  return inside.end - position >= minPartBytes || inside.end === length
}

/** The rest of a segment in about equal pieces, each of which the store copies at once. */
function copies(inside: Segment, position: number, { minPartBytes, cutAfter }: CompositionLimits): PlannedPart[] {
  const rest = inside.end - position
  const bytes = Math.ceil(rest / Math.ceil(rest / (cutAfter ? CUT_COPY_LIMIT : COPY_LIMIT)))
  const parts: PlannedPart[] = []
  for (let start = position; start < inside.end; start = parts.at(-1)?.end ?? inside.end) {
    const wanted = start + bytes
    const cut = wanted < inside.end && cutAfter ? inside.start + cutAfter(inside, wanted - inside.start) : wanted
    // Nothing that is too small for a part may be left over.
    parts.push({ start, end: cutAfter && inside.end - cut < minPartBytes ? inside.end : Math.min(cut, inside.end) })
  }
  return parts
}

/** At the furthest segment's end that makes a part of P at most; where there is none, about P bytes on. */
function gatheredUntil(
  segments: readonly Segment[],
  position: number,
  length: number,
  { partBytes, minPartBytes, cutAfter }: CompositionLimits,
): number {
  const most = position + Math.max(partBytes, minPartBytes)
  if (most >= length) return length
  const ends = segments.map(({ end }) => end).filter((end) => end >= position + minPartBytes && end <= most)
  const end = ends.at(-1)
  if (end !== undefined || !cutAfter) return end ?? most
  const cut = segments.find((segment) => segment.start <= most && most < segment.end)
  return cut ? cut.start + cutAfter(cut, most - cut.start) : most
}

function pieces(start: number, end: number, bytes: number): PlannedPart[] {
  const parts: PlannedPart[] = []
  for (let from = start; from < end; from += bytes) parts.push({ start: from, end: Math.min(end, from + bytes) })
  return parts
}

/**
 * Makes one object of the row's segments and the bytes behind them, by copies inside the store; what lies across a
 * segment's end is read through us.
 */
export async function compose(deps: Deps, open: OpenUpload, key: string, behind: Bytes): Promise<Composed> {
  const { row, hold, store } = open
  const length = row.length ?? 0
  const plan = planComposition(row.segments, length, limitsOf(store, row))
  const type = row.contentType === null ? {} : { contentType: row.contentType }
  const multipartId = await store.createMultipart(key, plan.partBytes, { ...type, signal: hold.signal })
  const parts: Part[] = []
  const composed: ComposedPart[] = []
  for (const [index, piece] of plan.parts.entries()) {
    hold.assert()
    const source = copySource(store, row, piece)
    composed.push(source ?? { at: piece.start, bytes: piece.end - piece.start })
    const target = { key, multipartId, number: index + 1 }
    const making = source ? copyPart(open, target, source) : writePart(deps, open, target, piece, behind)
    const part = await making.catch(async (error) => {
      if (hasCode(error, 'internal')) await requireSegments(store, row)
      throw error
    })
    if (!part) throw new UploadError('hold_lost', `The composition of upload ${row.id} was ended by somebody else.`)
    parts.push(part)
  }
  const ranged = copiesRanges(row.segments, plan)
  const crc32 = wholeCrc(row.segments, parts, behind, ranged)
  // What the store believes of a range's CRC-32 may be wrong: then it is not asked to check the whole.
  const whole = { bytes: length, crc32: ranged ? null : crc32 }
  const onUnanswered = () => {
    hold.unanswered = true
  }
  const made = { crc32, layout: store.sealing?.layoutOf(key, composed) ?? null }
  const answer = await store.completeMultipart(key, multipartId, parts, whole, { onUnanswered })
  if (answer === 'done') return made
  const object = await store.head(key)
  if (object?.bytes === length) return made
  throw new UploadError('internal', `Upload ${row.id}: the composition of its segments was refused (${answer}).`)
}

function limitsOf(store: ByteStore, { partBytes }: Upload): CompositionLimits {
  const { minPartBytes, maxParts, equalParts, sealing } = store
  const limits = { partBytes, minPartBytes, maxParts, equalParts }
  return sealing ? { ...limits, cutAfter: ({ key }, offset) => sealing.cut(key, offset, 'after') } : limits
}

/** Throws upload_gone when a segment is no longer in the store. */
async function requireSegments(store: ByteStore, row: Upload): Promise<void> {
  for (const { key, start, end } of row.segments) {
    if ((await store.head(key))?.bytes === end - start) continue
    throw new UploadError(
      'upload_gone',
      `The stored bytes ${start} to ${end} of upload ${row.id} are no longer there.`,
      {
        facts: { lost: 1 },
      },
    )
  }
}

interface Target {
  readonly key: string
  readonly multipartId: string
  readonly number: number
}

/** The segment range that is copied inside the store as this piece; null: it is read and written. */
function copySource(store: ByteStore, { segments }: Upload, piece: PlannedPart) {
  const inside = segments.find(({ start, end }) => start <= piece.start && piece.end <= end)
  if (!inside || inside.end - inside.start <= store.minPartBytes) return null
  const range = { first: piece.start - inside.start, last: piece.end - inside.start - 1 }
  if (store.sealing && !store.sealing.mayCopy(inside.key, range)) return null
  const whole = piece.start === inside.start && piece.end === inside.end
  return { key: inside.key, range, crc32: whole ? inside.crc32 : null }
}

async function copyPart(
  open: OpenUpload,
  { key, multipartId, number }: Target,
  source: NonNullable<ReturnType<typeof copySource>>,
): Promise<Part | null> {
  const copied = await open.store.copyPart(key, multipartId, number, source, { signal: open.hold.signal })
  return copied && { ...copied, crc32: copied.crc32 ?? source.crc32 }
}

function writePart(
  deps: Deps,
  open: OpenUpload,
  { key, multipartId, number }: Target,
  piece: PlannedPart,
  behind: Bytes,
): Promise<Part | null> {
  return gather(deps, open, piece, behind, (bytes) =>
    open.write(bytes, true, (sent, options) =>
      open.store.uploadPart(key, multipartId, number, sent, { ...options, at: piece.start }),
    ),
  )
}

/** Reads the bytes of a piece from the segments and what is behind them, for `use`; they count against the budget. */
export async function gather<T>(
  deps: Deps,
  open: OpenUpload,
  piece: PlannedPart,
  behind: Bytes,
  use: (bytes: Bytes) => Promise<T>,
): Promise<T> {
  const length = piece.end - piece.start
  const { memory } = deps
  await memory.compositions.borrow(length)
  memory.take(length)
  try {
    return await use(await readPiece(open, piece, behind))
  } finally {
    memory.give(length)
    memory.compositions.repay(length)
  }
}

async function readPiece(open: OpenUpload, piece: PlannedPart, behind: Bytes): Promise<Bytes> {
  const all: Bytes[] = []
  for (const segment of open.row.segments) {
    const from = Math.max(piece.start, segment.start)
    const to = Math.min(piece.end, segment.end)
    if (from >= to) continue
    const range = { first: from - segment.start, last: to - segment.start - 1 }
    const stream = await open.store.read(segment.key, range, open.hold.signal)
    const chunks: Buffer[] = []
    try {
      for await (const chunk of stream ?? []) chunks.push(chunk)
    } catch (error) {
      // As with a tail that is read back: of a lost hold the stream only says that it was ended.
      open.hold.assert()
      throw error
    }
    all.push({ chunks, length: chunks.reduce((sum, chunk) => sum + chunk.length, 0) })
  }
  const behindStart = open.row.segments.at(-1)?.end ?? 0
  const rest = piece.end > behindStart ? splitBytes(behind, Math.max(0, piece.start - behindStart))[1] : NO_BYTES
  const bytes = concatBytes(...all, splitBytes(rest, piece.end - Math.max(piece.start, behindStart))[0])
  if (bytes.length === piece.end - piece.start) return bytes
  throw new UploadError(
    'internal',
    `Upload ${open.row.id}: a piece has ${bytes.length} bytes instead of ${piece.end - piece.start}.`,
  )
}

/** From the segments' CRCs, which are of the client's own bytes; else from the parts'. */
function wholeCrc(segments: readonly Segment[], parts: readonly Part[], behind: Bytes, ranged: boolean): number | null {
  const sources = segments.map(({ start, end, crc32 }) => ({ bytes: end - start, crc32 }))
  const own = combineCrc32s([...sources, { bytes: behind.length, crc32: crc32Of(behind) }])
  return own ?? (ranged ? null : combineCrc32s(parts))
}

/** Is only a range of some segment copied? versitygw takes such a part's CRC-32 for that of the whole source. */
function copiesRanges(segments: readonly Segment[], { parts }: Plan): boolean {
  return parts.some((piece) =>
    segments.some(
      ({ start, end }) => start <= piece.start && piece.end <= end && piece.end - piece.start < end - start,
    ),
  )
}
