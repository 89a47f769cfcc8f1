import { setTimeout as sleep } from 'node:timers/promises'
import { note } from './context.ts'
import type { Deps } from './deps.ts'
import { hasCode } from './errors.ts'
import type { Hold } from './hold.ts'
import { parseTailKey, tailKey, tailPrefix } from './keys.ts'
import { OpenUpload } from './open-upload.ts'
import type { Session } from './ports/coordination.ts'
import { endMultipart } from './segments.ts'
import type { Part, Segment, Tail, Upload } from './words.ts'

/**
 * Takes over from a holder that did not end cleanly (`session` as it left it), or rebuilds a session that is gone
 * (null). The token is in place already; then, in this order (data-path.md, section 3):
 *   1. raise the generation where it is still the one that was read, and stop if that changes nothing
 *   2. freeze: end the open multipart upload in the store, so that nobody can write to it any more
 *   3. put what the tails hold past the segments into one new tail of the new generation
 *   4. commit segments, start and tail generation to the row; only then save the session
 * null: the row changed since it was read; the hold is not ours to use.
 */
export async function recover(
  deps: Deps,
  read: Upload,
  hold: Hold,
  session: Session | null,
): Promise<OpenUpload | null> {
  const row = await raise(deps, read, hold)
  if (!row) return null
  const trusted = session && agrees(session, read) ? session : null
  // An old Redis primary may still serve the old holder, which acknowledges for one lease at most.
  if (!trusted && deps.settings.rebuildWaitMs > 0) await sleep(deps.settings.rebuildWaitMs)
  hold.assert()
  const open = new OpenUpload(deps, hold, row, emptySession(row), true)
  const segment = await freeze(open, trusted).catch(async (error) => {
    if (hasCode(error, 'upload_gone')) await open.change({}, { enter: ['lost'] })
    throw error
  })
  await restate(deps, open, segment, trusted).finally(() => open.giveBack())
  note(deps, open, trusted ? 'takeover' : 'rebuild')
  return open
}

/** The session of an upload that has no bytes past its segments. */
export function emptySession(row: Upload): Session {
  const start = row.segmentStart
  return { generation: row.generation, multipartId: null, start, offset: start, tails: [], tailed: false }
}

/** A session counts only while the row says the same. */
export function agrees(session: Session, row: Upload): boolean {
  return (
    session.generation === row.generation &&
    session.multipartId === row.multipartId &&
    session.start === row.segmentStart
  )
}

async function raise(deps: Deps, read: Upload, hold: Hold): Promise<Upload | null> {
  hold.raisingTo = read.generation + 1
  const seenAt = Date.now()
  const from = ['created', 'receiving', 'finishing'] as const
  const row = await deps.records.change(read.id, {}, { generation: read.generation, raise: true, from })
  if (!row) return null
  hold.generation = row.generation
  hold.raisingTo = null
  hold.rowSeenAt = seenAt
  return row
}

/** Ends the open multipart upload: what the last holder recorded, or what the store lists, becomes a segment. */
async function freeze(open: OpenUpload, trusted: Session | null): Promise<Segment | null> {
  const { row, hold } = open
  if (row.multipartId === null || row.multipartKey === null) return null
  if (trusted) {
    return endMultipart(open.store, row, hold, await open.recordedParts(), true)
  }
  const listed = await open.store.listParts(row.multipartKey, row.multipartId)
  return endMultipart(open.store, row, hold, listed ? prefix(row, listed) : [], false)
}

/** Full parts from 1 on without a gap; the last part of a known length counts as full when it ends there. */
function prefix(row: Upload, parts: readonly Part[]): Part[] {
  const limit = row.unverifiedFrom ?? Number.POSITIVE_INFINITY
  const found: Part[] = []
  let end = row.segmentStart
  for (const part of parts) {
    const last = end + part.bytes === row.length
    if (part.number !== found.length + 1 || (part.bytes !== row.partBytes && !last) || end + part.bytes > limit) break
    found.push(part)
    end += part.bytes
    if (last) break
  }
  return found
}

/** Steps 3 and 4: one new tail, then the row, then the session. */
async function restate(deps: Deps, open: OpenUpload, segment: Segment | null, trusted: Session | null): Promise<void> {
  const { row, hold } = open
  const start = segment?.end ?? row.segmentStart
  const chain = chainOf(trusted ? trusted.tails : await listTails(deps, row), start)
  const end = chain.at(-1)?.end ?? start
  const tails: Tail[] = []
  if (end > start) {
    const tail: Tail = { generation: hold.epoch, token: hold.token, start, end }
    const bytes = await open.tailBytes(chain, start)
    const key = tailKey(deps.settings.keys, row.id, tail)
    await open.write(bytes, true, (piece, options) =>
      open.store.putObject(key, piece, { ...options, shortLived: true }),
    )
    deps.tails.copy(key, bytes)
    tails.push(tail)
  }
  await open.change({
    segments: segment ? [...row.segments, segment] : row.segments,
    segmentStart: start,
    multipartId: null,
    multipartKey: null,
    unverifiedFrom: null,
    tailGeneration: hold.epoch,
  })
  const tailed = tails.length > 0 || chain.length > 0 || (trusted?.tailed ?? true)
  await open.save({ multipartId: null, start, offset: end, tails, tailed })
  open.forgetTails(chain)
}

/** Whole tails of exactly the row's tail generation, below what is unverified. */
async function listTails(deps: Deps, row: Upload): Promise<Tail[]> {
  const limit = row.unverifiedFrom ?? Number.POSITIVE_INFINITY
  const tails: Tail[] = []
  for await (const object of deps.stores.of(row).list(tailPrefix(deps.settings.keys, row.id))) {
    const tail = parseTailKey(object.key)
    if (!tail || tail.generation !== row.tailGeneration || tail.end > limit) continue
    if (object.bytes === tail.end - tail.start) tails.push(tail)
  }
  return tails
}

/** From `position` on without a gap, always the tail that reaches furthest. */
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
