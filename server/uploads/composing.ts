import { concatBytes, NO_BYTES, splitBytes } from './bytes.ts'
import { combineCrc32s } from './crc32.ts'
import type { Deps } from './deps.ts'
import { UploadError } from './errors.ts'
import type { OpenUpload } from './open-upload.ts'
import type { Bytes, Part, Segment } from './words.ts'

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

/**
 * How an upload of `length` bytes in `segments` (without gaps, from 0) and the bytes behind them becomes one object.
 * Unequal parts: each segment is one part (or equal pieces of at most 5 GiB), what is behind them the last.
 * Equal parts: all but the last of one size, a multiple of P, so that a piece crosses a segment's end as rarely as
 * the number of parts allows.
 */
export function planComposition(
  segments: readonly Segment[],
  length: number,
  limits: { readonly partBytes: number; readonly maxParts: number; readonly equalParts: boolean },
): Plan {
  const { partBytes: unit, maxParts } = limits
  if (limits.equalParts) {
    const partBytes = unit * Math.max(1, Math.ceil(length / unit / maxParts))
    return { partBytes, parts: pieces(0, length, partBytes) }
  }
  const parts = segments.flatMap(({ start, end }) => {
    const count = Math.ceil((end - start) / COPY_LIMIT)
    return pieces(start, end, Math.ceil((end - start) / count))
  })
  const behind = segments.at(-1)?.end ?? 0
  return { partBytes: unit, parts: behind < length ? [...parts, { start: behind, end: length }] : parts }
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
  const { store } = deps
  const { row, hold } = open
  const length = row.length ?? 0
  const plan = planComposition(row.segments, length, { ...store, partBytes: row.partBytes })
  const type = row.contentType === null ? {} : { contentType: row.contentType }
  const multipartId = await store.createMultipart(key, plan.partBytes, { ...type, signal: hold.signal })
  const parts: Part[] = []
  for (const [index, piece] of plan.parts.entries()) {
    hold.assert()
    const part = await composePart(deps, open, { key, multipartId, number: index + 1 }, piece, behind)
    if (!part) throw new UploadError('hold_lost', `The composition of upload ${row.id} was ended by somebody else.`)
    parts.push(part)
  }
  const crc32 = wholeCrc(row.segments, parts)
  const onUnanswered = () => {
    hold.unanswered = true
  }
  const answer = await store.completeMultipart(key, multipartId, parts, { bytes: length, crc32 }, { onUnanswered })
  if (answer === 'done') return crc32
  const object = await store.head(key)
  if (object?.bytes === length) return crc32
  throw new UploadError('internal', `Upload ${row.id}: the composition of its segments was refused (${answer}).`)
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
  const { store } = deps
  const { segments } = open.row
  const inside = segments.find(({ start, end }) => start <= piece.start && piece.end <= end)
  if (inside) {
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
  const bytes = await gather(deps, open, piece, behind)
  return open.write(bytes, true, (sent, options) => store.uploadPart(key, multipartId, number, sent, options))
}

/** The bytes of a piece that no segment holds alone. */
async function gather(deps: Deps, open: OpenUpload, piece: PlannedPart, behind: Bytes): Promise<Bytes> {
  const all: Bytes[] = []
  for (const segment of open.row.segments) {
    const from = Math.max(piece.start, segment.start)
    const to = Math.min(piece.end, segment.end)
    if (from >= to) continue
    const range = { first: from - segment.start, last: to - segment.start - 1 }
    const stream = await deps.store.read(segment.key, range, open.hold.signal)
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

/** From the parts where the store told their CRCs, else from the segments. */
function wholeCrc(segments: readonly Segment[], parts: readonly Part[]): number | null {
  const known = combineCrc32s(parts)
  if (known !== null) return known
  const behind = parts.length === segments.length + 1 ? parts.slice(-1) : []
  if (parts.length !== segments.length + behind.length) return null
  const all = segments.map(({ start, end, crc32 }) => ({ bytes: end - start, crc32 }))
  return combineCrc32s([...all, ...behind])
}
