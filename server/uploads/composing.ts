import { concatBytes, crc32Of, NO_BYTES, splitBytes } from './bytes.ts'
import { combineCrc32s } from './crc32.ts'
import type { Deps } from './deps.ts'
import { hasCode, UploadError } from './errors.ts'
import type { OpenUpload } from './open-upload.ts'
import type { ByteStore } from './ports/byte-store.ts'
import type { Bytes, Part, Segment, Upload } from './words.ts'

const GIB = 1024 * 1024 * 1024
/** S3 copies at most this much in one UploadPartCopy. */
const COPY_LIMIT = 5 * GIB

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
    const partBytes = unit * Math.max(1, Math.ceil(length / unit / maxParts))
    return { partBytes, parts: pieces(0, length, partBytes) }
  }
  const parts: PlannedPart[] = []
  for (let position = 0; position < length; position = parts.at(-1)?.end ?? length) {
    const inside = segments.find(({ start, end }) => start <= position && position < end)
    if (!inside) parts.push({ start: position, end: length })
    else if (isCopied(inside, position, length, limits)) {
      const rest = inside.end - position
      parts.push(...pieces(position, inside.end, Math.ceil(rest / Math.ceil(rest / COPY_LIMIT))))
    } else parts.push({ start: position, end: gatheredUntil(segments, position, length, limits) })
  }
  return { partBytes: unit, parts }
}

function isCopied(inside: Segment, position: number, length: number, { minPartBytes }: CompositionLimits): boolean {
  if (inside.end - inside.start <= minPartBytes) return false
  return inside.end - position >= minPartBytes || inside.end === length
}

/** At the furthest segment's end that makes a part of P at most; where there is none, P bytes on. */
function gatheredUntil(
  segments: readonly Segment[],
  position: number,
  length: number,
  { partBytes, minPartBytes }: CompositionLimits,
): number {
  const most = position + Math.max(partBytes, minPartBytes)
  if (most >= length) return length
  const ends = segments.map(({ end }) => end).filter((end) => end >= position + minPartBytes && end <= most)
  return ends.at(-1) ?? most
}

function pieces(start: number, end: number, bytes: number): PlannedPart[] {
  const parts: PlannedPart[] = []
  for (let from = start; from < end; from += bytes) parts.push({ start: from, end: Math.min(end, from + bytes) })
  return parts
}

/**
 * Makes one object of the row's segments and the bytes behind them, by copies inside the store; what lies across a
 * segment's end is read through us. Returns the CRC-32 of the whole where every piece's is known.
 */
export async function compose(deps: Deps, open: OpenUpload, key: string, behind: Bytes): Promise<number | null> {
  const { row, hold, store } = open
  const length = row.length ?? 0
  const { minPartBytes, maxParts, equalParts } = store
  const plan = planComposition(row.segments, length, { partBytes: row.partBytes, minPartBytes, maxParts, equalParts })
  const type = row.contentType === null ? {} : { contentType: row.contentType }
  const multipartId = await store.createMultipart(key, plan.partBytes, { ...type, signal: hold.signal })
  const parts: Part[] = []
  for (const [index, piece] of plan.parts.entries()) {
    hold.assert()
    const part = await composePart(deps, open, { key, multipartId, number: index + 1 }, piece, behind).catch(
      async (error) => {
        if (hasCode(error, 'internal')) await requireSegments(store, row)
        throw error
      },
    )
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
  const answer = await store.completeMultipart(key, multipartId, parts, whole, { onUnanswered })
  if (answer === 'done') return crc32
  const object = await store.head(key)
  if (object?.bytes === length) return crc32
  throw new UploadError('internal', `Upload ${row.id}: the composition of its segments was refused (${answer}).`)
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

async function composePart(
  deps: Deps,
  open: OpenUpload,
  { key, multipartId, number }: Target,
  piece: PlannedPart,
  behind: Bytes,
): Promise<Part | null> {
  const { store } = open
  const { segments } = open.row
  const inside = segments.find(({ start, end }) => start <= piece.start && piece.end <= end)
  if (inside && inside.end - inside.start > store.minPartBytes) {
    const range = { first: piece.start - inside.start, last: piece.end - inside.start - 1 }
    const copied = await store.copyPart(
      key,
      multipartId,
      number,
      { key: inside.key, range },
      { signal: open.hold.signal },
    )
    return copied && piece.start === inside.start && piece.end === inside.end
      ? { ...copied, crc32: copied.crc32 ?? inside.crc32 }
      : copied
  }
  return gather(deps, open, piece, behind, (bytes) =>
    open.write(bytes, true, (sent, options) => store.uploadPart(key, multipartId, number, sent, options)),
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
  await deps.memory.room()
  deps.memory.take(length)
  try {
    return await use(await readPiece(open, piece, behind))
  } finally {
    deps.memory.give(length)
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
    for await (const chunk of stream ?? []) chunks.push(chunk)
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
