import { crc32Of } from './bytes.ts'
import { type Composed, compose, gather } from './composing.ts'
import { isFinal, isPartial, releasePartials } from './concat.ts'
import { expiryOnceUploaded, note } from './context.ts'
import type { Deps } from './deps.ts'
import { hasCode, UploadError } from './errors.ts'
import { newObjectKey, tailPrefix } from './keys.ts'
import type { OpenUpload } from './open-upload.ts'
import type { UploadChange } from './ports/records.ts'
import { endMultipart } from './segments.ts'
import type { Bytes, Segment, Upload } from './words.ts'

/** What the finish needs to know of the object it made. */
interface Made extends Composed {
  readonly key: string
}

/**
 * Finishes an upload whose bytes are all there: state finishing, one object, state uploaded with its event
 * (data-path.md, section 4, "Finish"). Each step may have been done before by somebody who was interrupted.
 * `whole`: the bytes of a small upload that are in memory and not yet stored. Lets the hold go in every case.
 */
export async function finishUpload(deps: Deps, open: OpenUpload, whole: Bytes | null): Promise<Upload> {
  let done = false
  try {
    const row = await settleFinish(deps, open, whole)
    done = true
    return row
  } finally {
    await open.close(done ? 'drop' : 'keep')
  }
}

async function settleFinish(deps: Deps, open: OpenUpload, whole: Bytes | null): Promise<Upload> {
  const { gatekeeper, events } = deps
  // A small file's bytes are not durable yet: its state stays receiving until its object is.
  const before = whole ? await putWhole(deps, open, whole) : null
  const length = open.row.length ?? 0
  // From here on the row says more than the session shows: whoever comes after a failure reads the row first, and goes on
  // with none that he knew from before (known-rows.ts).
  if (before) open.hold.unanswered = true
  if (open.row.state !== 'finishing') {
    await open.change(
      { offsetSeen: length, ...(before ? { objectKey: before.key, crc32: before.crc32 } : {}) },
      { enter: ['finishing'] },
    )
  }
  // A partial upload is no file yet: nobody is asked about it.
  if (!isPartial(open.row)) await permit(deps, open, () => gatekeeper.preFinish(open.row))
  const made = before ?? (await orLost(open, makeObject(deps, open)))
  await deps.holds.fresh(open.hold)
  const { segments } = open.row
  const row = await open.change(
    {
      segments: [],
      objectKey: made.key,
      crc32: made.crc32,
      ...storedAs(open, made, length),
      offsetSeen: length,
      bucket: open.store.bucket,
      multipartId: null,
      expiresAt: expiryOnceUploaded(deps, open.row),
      multipartKey: null,
    },
    { enter: ['uploaded'] },
  )
  events.finished(row, length)
  note(deps, open, 'finish')
  deps.background.run('removing leftovers of a finished upload', removeLeftovers(deps, open, row, segments))
  return row
}

/** How many bytes the store has of it, and how they are encrypted. */
function storedAs({ store }: OpenUpload, { layout }: Made, length: number) {
  const { sealing } = store
  return sealing ? { storedLength: sealing.storedBytes(length, layout), layout } : { storedLength: length }
}

/** Bytes that are nowhere any more end the upload as lost. */
async function orLost(open: OpenUpload, making: Promise<Made>): Promise<Made> {
  try {
    return await making
  } catch (error) {
    if (hasCode(error, 'upload_gone')) await open.change({}, { enter: ['lost'] })
    throw error
  }
}

/** A hook that refuses ends the upload: its bytes go, its row says terminated. */
async function permit(deps: Deps, open: OpenUpload, ask: () => Promise<void>): Promise<void> {
  try {
    await ask()
  } catch (error) {
    if (!hasCode(error, 'refused_by_hook')) throw error
    const row = await open.change(withoutKeys(open.row), { enter: ['terminated'] })
    await open.close('drop')
    await removeBytes(deps, row)
    throw error
  }
}

async function putWhole(deps: Deps, open: OpenUpload, bytes: Bytes): Promise<Made> {
  const key = newObjectKey(deps.settings.keys, open.row, open.hold.epoch)
  const type = open.row.contentType === null ? {} : { contentType: open.row.contentType }
  await open.write(bytes, true, (piece, options) => open.store.putObject(key, piece, { ...options, ...type }))
  return { key, crc32: crc32Of(bytes), layout: null }
}

/** The one object of all that is durable: parts, segments, tails; or the one that an interrupted finish made already. */
async function makeObject(deps: Deps, open: OpenUpload): Promise<Made> {
  const { objectKey, crc32, length } = open.row
  if (objectKey !== null) {
    const object = await open.store.head(objectKey)
    if (object && object.bytes === length) return { key: objectKey, crc32, layout: null }
  }
  await endParts(open)
  const { row } = open
  const [first] = row.segments
  if (first && row.segments.length === 1 && first.end === length && !isFinal(row))
    return { key: first.key, crc32: first.crc32, layout: null }
  const behind = await open.tailBytes()
  const stored = (row.segments.at(-1)?.end ?? 0) + behind.length
  if (stored !== length) throw new UploadError('internal', `Upload ${row.id}: ${stored} of ${length} bytes are stored.`)
  if (!first) return putWhole(deps, open, behind)
  if (isFinal(row) && length <= row.partBytes) {
    return gather(deps, open, { start: 0, end: length }, behind, (whole) => putWhole(deps, open, whole))
  }
  const key = newObjectKey(deps.settings.keys, row, open.hold.epoch)
  return { key, ...(await compose(deps, open, key, behind)) }
}

/** The open multipart upload, with the tails behind its parts as its last part, becomes the last segment. */
async function endParts(open: OpenUpload): Promise<void> {
  const { multipartId, multipartKey } = open.row
  if (multipartId === null || multipartKey === null) return
  if (open.session.tails.length > 0) await lastPart(open, multipartKey, multipartId)
  const segment = await endMultipart(open.store, open.row, open.hold, await open.recordedParts(), true)
  if (segment?.end !== open.row.length) {
    throw new UploadError(
      'internal',
      `Upload ${open.row.id}: its parts end at ${segment?.end} of ${open.row.length} bytes.`,
    )
  }
  // With no other segment this one is the file: the row learns of it together with the state.
  open.closeMultipart(segment)
}

/** Tails past the last full part become the last part (a deferred length that was declared after its bytes). */
async function lastPart(open: OpenUpload, key: string, multipartId: string): Promise<void> {
  const bytes = await open.tailBytes()
  const { start, tails } = open.session
  // By where they begin: tails that fill the last part make the offset look as if it were there already.
  const number = Math.floor(((tails[0]?.start ?? open.offset) - start) / open.row.partBytes) + 1
  const part = await open.write(bytes, true, (piece, options) =>
    open.store.uploadPart(key, multipartId, number, piece, options),
  )
  if (!part) return
  await open.save({ tails: [] }, [part])
  open.forgetTails(tails)
}

/** What the object was made of: segments that were copied from, and tails. */
async function removeLeftovers(deps: Deps, open: OpenUpload, row: Upload, segments: readonly Segment[]): Promise<void> {
  open.forgetTails()
  const keys = isFinal(row) ? [] : segments.map(({ key }) => key).filter((key) => key !== row.objectKey)
  if (isFinal(row)) await releasePartials(deps, row)
  if (keys.length > 0) await open.store.remove(keys)
  if (open.session.tailed) await removeTails(deps, row)
}

/** Deletes every tail of an upload together. */
export async function removeTails(deps: Pick<Deps, 'stores' | 'settings'>, row: Upload): Promise<void> {
  const keys: string[] = []
  const store = deps.stores.of(row)
  for await (const object of store.list(tailPrefix(deps.settings.keys, row.id))) keys.push(object.key)
  if (keys.length > 0) await store.remove(keys)
}

/** Removes all that the store has of an upload that is gone: object, open multipart upload, tails. */
export async function removeBytes(deps: Pick<Deps, 'stores' | 'settings'>, row: Upload): Promise<void> {
  const store = deps.stores.of(row)
  const segments = isFinal(row) ? [] : row.segments
  const keys = [row.objectKey, ...segments.map(({ key }) => key)].filter((key) => key !== null)
  if (keys.length > 0) await store.remove(keys)
  if (row.multipartId !== null && row.multipartKey !== null) {
    await store.abortMultipart(row.multipartKey, row.multipartId)
    await store.remove([row.multipartKey])
  }
  await removeTails(deps, row)
}

/** The end of an upload: without its data keys, what may be left of its bytes somewhere cannot be read any more. */
export function withoutKeys({ encoding }: Upload): UploadChange {
  return encoding === null ? {} : { dataKeys: {} }
}
