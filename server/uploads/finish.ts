import { crc32Of } from './bytes.ts'
import { combineCrc32 } from './crc32.ts'
import type { Deps } from './deps.ts'
import { hasCode, UploadError } from './errors.ts'
import { objectKey, tailPrefix } from './keys.ts'
import type { OpenUpload } from './open-upload.ts'
import type { Bytes, Part, Upload } from './words.ts'

/** What the finish needs to know of the object it made. */
interface Made {
  readonly key: string
  readonly crc32: number | null
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
  const { records, coordination, gatekeeper, events } = deps
  // A small file's bytes are not durable yet: its state stays receiving until its object is.
  const before = whole ? await putWhole(deps, open, whole) : null
  const length = open.row.length ?? 0
  if (open.row.state !== 'finishing') {
    await open.change(
      { offsetSeen: length, ...(before ? { objectKey: before.key, crc32: before.crc32 } : {}) },
      { enter: ['finishing'] },
    )
  }
  await permit(deps, open, () => gatekeeper.preFinish(open.row))
  const made = before ?? (await makeObject(deps, open))
  await deps.holds.fresh(open.hold)
  const row = await open.change(
    {
      objectKey: made.key,
      crc32: made.crc32,
      storedLength: length,
      offsetSeen: length,
      bucket: deps.store.bucket,
      multipartId: null,
      expiresAt: null,
      multipartKey: null,
    },
    { enter: ['uploaded'] },
  )
  events.finished(row, length)
  void records
    .note({
      upload: row.id,
      kind: 'finish',
      generation: row.generation,
      instance: coordination.instance,
      offset: length,
    })
    .catch(() => {})
  if (open.session.tailed) deps.background.keep(removeTails(deps, row))
  return row
}

/** A hook that refuses ends the upload: its bytes go, its row says terminated. */
async function permit(deps: Deps, open: OpenUpload, ask: () => Promise<void>): Promise<void> {
  try {
    await ask()
  } catch (error) {
    if (!hasCode(error, 'refused_by_hook')) throw error
    const row = await open.change({}, { enter: ['terminated'] })
    await open.close('drop')
    await removeBytes(deps, row)
    throw error
  }
}

async function putWhole(deps: Deps, open: OpenUpload, bytes: Bytes): Promise<Made> {
  const key = objectKey(deps.settings.keys, open.row.id, open.hold.epoch, open.hold.token)
  await open.write(bytes, true, (piece, options) =>
    deps.store.putObject(key, piece, {
      ...options,
      ...(open.row.contentType === null ? {} : { contentType: open.row.contentType }),
    }),
  )
  return { key, crc32: crc32Of(bytes) }
}

async function makeObject(deps: Deps, open: OpenUpload): Promise<Made> {
  const { row } = open
  const { multipartId, multipartKey } = row
  if (multipartId === null || multipartKey === null) return fromTails(deps, open)
  await lastPart(deps, open, multipartKey, multipartId)
  const parts = await recordedParts(deps, open)
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
  if (bytes !== row.length) {
    throw new UploadError('internal', `Upload ${row.id}: its parts hold ${bytes} of ${row.length} bytes.`)
  }
  const crc32 = combined(parts)
  const onUnanswered = () => {
    open.hold.unanswered = true
  }
  const answer = await deps.store.completeMultipart(
    multipartKey,
    multipartId,
    parts,
    { bytes, crc32 },
    { onUnanswered },
  )
  if (answer === 'invalid-part') {
    throw new UploadError('internal', `Upload ${row.id}: the store has another part than the one it acknowledged.`)
  }
  if (answer === 'no-such-upload') await checkObject(deps, open, multipartKey)
  return { key: multipartKey, crc32 }
}

/** A finish before us may have put the object already; else it is made of the tails. */
async function fromTails(deps: Deps, open: OpenUpload): Promise<Made> {
  const { row } = open
  if (row.objectKey !== null) {
    const object = await deps.store.head(row.objectKey)
    if (object && object.bytes === row.length) return { key: row.objectKey, crc32: row.crc32 }
  }
  const bytes = await open.tailBytes()
  if (bytes.length !== row.length) {
    throw new UploadError('internal', `Upload ${row.id}: its tails hold ${bytes.length} of ${row.length} bytes.`)
  }
  return putWhole(deps, open, bytes)
}

/** Tails past the last full part become the last part (a deferred length that was declared after its bytes). */
async function lastPart(deps: Deps, open: OpenUpload, key: string, multipartId: string): Promise<void> {
  if (open.session.tails.length === 0) return
  const bytes = await open.tailBytes()
  const number = open.fullParts + 1
  const part = await open.write(bytes, true, (piece, options) =>
    deps.store.uploadPart(key, multipartId, number, piece, options),
  )
  if (part) await open.save({ tails: [] }, [part])
  else await checkObject(deps, open, key)
}

async function recordedParts(deps: Deps, open: OpenUpload): Promise<Part[]> {
  const { kept, parts } = await deps.coordination.parts(open.row.id, open.hold.token)
  if (kept === 'kept') return parts
  open.hold.lose('its session is gone')
  open.hold.assert()
  return []
}

/** Somebody completed or aborted it before. The object decides: whole, or lost. */
async function checkObject(deps: Deps, open: OpenUpload, key: string): Promise<void> {
  const { row } = open
  const object = await deps.store.head(key)
  if (object && object.bytes === row.length) return
  await open.change({}, { enter: ['lost'] })
  await open.close('drop')
  throw new UploadError('upload_gone', `The stored bytes of upload ${row.id} are no longer there.`)
}

function combined(parts: readonly Part[]): number | null {
  let crc = 0
  for (const part of parts) {
    if (part.crc32 === null) return null
    crc = combineCrc32(crc, part.crc32, part.bytes)
  }
  return crc
}

/** Deletes every tail of an upload together. */
export async function removeTails(deps: Pick<Deps, 'store' | 'settings'>, row: Upload): Promise<void> {
  const keys: string[] = []
  for await (const object of deps.store.list(tailPrefix(deps.settings.keys, row.id))) keys.push(object.key)
  if (keys.length > 0) await deps.store.remove(keys)
}

/** Removes all that the store has of an upload that is gone: object, open multipart upload, tails. */
export async function removeBytes(deps: Pick<Deps, 'store' | 'settings'>, row: Upload): Promise<void> {
  if (row.objectKey !== null) await deps.store.remove([row.objectKey])
  else if (row.multipartId !== null && row.multipartKey !== null) {
    await deps.store.abortMultipart(row.multipartKey, row.multipartId)
    await deps.store.remove([row.multipartKey])
  }
  await removeTails(deps, row)
}
