import type { Deps } from './deps.ts'
import { hasCode, UploadError } from './errors.ts'
import type { Acquired } from './hold-keeper.ts'
import { parseTailKey, tailKey, tailPrefix } from './keys.ts'
import { OpenUpload } from './open-upload.ts'
import type { Session } from './ports/coordination.ts'
import { isUnfinished } from './states.ts'
import type { Part, Tail, Upload } from './words.ts'

/** The session of an upload that has no bytes yet. */
export function emptySession(row: Upload): Session {
  return { generation: row.generation, multipartId: null, start: 0, offset: 0, tails: [], tailed: false }
}

/**
 * Takes the hold of an unfinished upload and brings its session to where bytes may be added. `row` was read at
 * `rowSeenAt`, before the hold was asked for: that order is what lets a takeover that was overtaken notice it
 * (data-path.md, section 3, "Order of an unclean takeover").
 * Throws upload_busy, hold_lost, upload_gone (its bytes are lost), *_unavailable.
 * null: the upload changed under us; the caller reads the row again.
 */
export async function openUpload(
  deps: Deps,
  row: Upload,
  rowSeenAt: number,
  waitMs: number,
): Promise<OpenUpload | null> {
  const acquired = await deps.holds.acquire(row.id, { waitMs, rowSeenAt })
  try {
    return await enter(deps, row, acquired)
  } catch (error) {
    await deps.holds.release(acquired.hold, 'unclean')
    throw error
  }
}

async function enter(deps: Deps, row: Upload, { hold, taken }: Acquired): Promise<OpenUpload | null> {
  if (taken.kind === 'clean') {
    if (agrees(taken.session, row)) return new OpenUpload(deps, hold, row, taken.session, true)
    // The holder before may have changed the row after we read it.
    const seenAt = Date.now()
    const now = await deps.records.find(row.id)
    if (now && isUnfinished(now.state) && agrees(taken.session, now)) {
      hold.rowSeenAt = seenAt
      return new OpenUpload(deps, hold, now, taken.session, true)
    }
    if (!now || !isUnfinished(now.state)) return leave(deps, hold, 'drop')
    return recover(deps, now, hold, null)
  }
  if (row.state === 'created') {
    // Nothing was ever stored: the first write raises the generation. Until then there is nothing to keep.
    hold.generation = row.generation
    return new OpenUpload(deps, hold, row, emptySession(row), false)
  }
  return recover(deps, row, hold, taken.kind === 'unclean' ? taken.session : null)
}

/** A session counts only while the row says the same. */
function agrees(session: Session, row: Upload): boolean {
  return (
    session.generation === row.generation &&
    session.multipartId === row.multipartId &&
    session.start === row.segmentStart
  )
}

async function leave(deps: Deps, hold: Acquired['hold'], how: 'unclean' | 'drop'): Promise<null> {
  await deps.holds.release(hold, how)
  return null
}

/** An unclean takeover (`session` as its holder left it) or a rebuild (null): raise first, only then look at the store. */
async function recover(
  deps: Deps,
  read: Upload,
  hold: Acquired['hold'],
  session: Session | null,
): Promise<OpenUpload | null> {
  hold.raisingTo = read.generation + 1
  const seenAt = Date.now()
  const row = await deps.records.change(
    read.id,
    {},
    { generation: read.generation, raise: true, from: ['created', 'receiving', 'finishing'] },
  )
  if (!row) return leave(deps, hold, 'unclean')
  hold.generation = row.generation
  hold.raisingTo = null
  hold.rowSeenAt = seenAt
  const trusted = session && agrees(session, read) ? session : null
  const found = await (trusted ? recorded(deps, row, hold, trusted) : listed(deps, row)).catch(async (error) => {
    if (isLost(error)) await deps.records.change(row.id, {}, { generation: row.generation, enter: ['lost'] })
    throw error
  })
  const open = new OpenUpload(deps, hold, row, found.session, true)
  await restate(deps, open, found)
  void deps.records
    .note({
      upload: row.id,
      kind: trusted ? 'takeover' : 'rebuild',
      generation: row.generation,
      instance: deps.coordination.instance,
      offset: open.offset,
    })
    .catch(() => {})
  return open
}

interface Found {
  readonly session: Session
  readonly parts: readonly Part[]
}

/** What the last holder recorded. */
async function recorded(deps: Deps, row: Upload, hold: Acquired['hold'], session: Session): Promise<Found> {
  const { kept, parts } = await deps.coordination.parts(row.id, hold.token)
  if (kept !== 'kept')
    throw new UploadError('hold_lost', `The hold of upload ${row.id} was lost while it was taken over.`)
  return { session: { ...session, generation: row.generation }, parts }
}

/** What row and store say: the contiguous prefix of full parts, then the chain of tails of the row's tail generation. */
async function listed(deps: Deps, row: Upload): Promise<Found> {
  const parts = row.multipartId ? prefix(row, await partsOf(deps, row)) : []
  const partsEnd = row.segmentStart + parts.reduce((sum, part) => sum + part.bytes, 0)
  const tails: Tail[] = []
  for await (const object of deps.store.list(tailPrefix(deps.settings.keys, row.id))) {
    const tail = parseTailKey(object.key)
    // A tail that is shorter than its name says was never acknowledged whole.
    if (tail && tail.generation === row.tailGeneration && object.bytes === tail.end - tail.start) tails.push(tail)
  }
  const chain = chainOf(tails, partsEnd)
  const offset = chain.at(-1)?.end ?? partsEnd
  const session: Session = {
    generation: row.generation,
    multipartId: row.multipartId,
    start: row.segmentStart,
    offset,
    tails: chain,
    tailed: tails.length > 0,
  }
  return { session, parts }
}

async function partsOf(deps: Deps, row: Upload): Promise<readonly Part[]> {
  const { multipartId, multipartKey } = row
  if (multipartId === null || multipartKey === null) return []
  const parts = await deps.store.listParts(multipartKey, multipartId)
  if (parts) return parts
  // Completed by a finish that was cut short: the object speaks for itself. Neither parts nor object: lost.
  const object = await deps.store.head(multipartKey)
  if (object && row.length !== null && object.bytes === row.length - row.segmentStart) {
    return [{ number: 1, bytes: object.bytes, etag: object.etag, crc32: null }]
  }
  throw new UploadError('upload_gone', `The stored bytes of upload ${row.id} are no longer there.`, {
    facts: { lost: 1 },
  })
}

/** Full parts from 1 on without a gap; the last part of a known length counts as full when it ends there. */
function prefix(row: Upload, parts: readonly Part[]): Part[] {
  const found: Part[] = []
  let end = row.segmentStart
  for (const part of parts) {
    if (part.number !== found.length + 1) break
    const last = end + part.bytes === row.length
    if (part.bytes !== row.partBytes && !last) break
    found.push(part)
    end += part.bytes
    if (last) break
  }
  return found
}

/** From `position` on, always the tail that reaches furthest. */
function chainOf(tails: readonly Tail[], position: number): Tail[] {
  const chain: Tail[] = []
  for (;;) {
    const end = chain.at(-1)?.end ?? position
    let best: Tail | null = null
    for (const tail of tails) if (tail.start <= end && tail.end > (best?.end ?? end)) best = tail
    if (!best) return chain
    chain.push(best)
  }
}

/** Tails that count are put once more under the new generation; only then does the row name it, then the session is saved. */
async function restate(deps: Deps, open: OpenUpload, found: Found): Promise<void> {
  const { row, session, hold } = open
  const bytes = await open.tailBytes()
  const from = open.partStart
  const tail: Tail = { generation: hold.epoch, token: hold.token, start: from, end: session.offset }
  if (session.tails.length > 0) {
    const skip = from - (session.tails[0]?.start ?? from)
    if (skip !== 0) throw new UploadError('internal', `Tails of upload ${row.id} do not begin at ${from}.`)
    const key = tailKey(deps.settings.keys, row.id, tail)
    await open.write(bytes, true, (piece, options) => deps.store.putObject(key, piece, options))
    deps.tails.set(key, bytes)
  }
  await open.change({ tailGeneration: hold.epoch })
  const kept = session.tails.length > 0 ? [tail] : []
  await open.save({ tails: kept, tailed: session.tailed || kept.length > 0 }, found.parts)
}

/** The bytes of an upload are not there any more: its row ends as lost. */
function isLost(error: unknown): boolean {
  return hasCode(error, 'upload_gone') && error.facts.lost === 1
}
