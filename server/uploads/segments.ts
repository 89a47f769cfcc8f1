import { combineCrc32s } from './crc32.ts'
import { UploadError } from './errors.ts'
import type { Hold } from './hold.ts'
import type { OpenUpload } from './open-upload.ts'
import type { ByteStore } from './ports/byte-store.ts'
import type { Part, Segment, Upload } from './words.ts'

/**
 * Ends the row's open multipart upload for everybody: Complete of `parts` into a segment, or Abort when there are
 * none. From then on the store itself refuses whoever still writes to it. null: there was nothing to keep.
 * Somebody may have done it before: then the object says how much it holds, not the list (data-path.md, "Freeze").
 * A store may answer a second Complete with success whatever its list says; two lists of an upload differ only when
 * they were not recorded but listed, at different moments: so the object is looked at then, too.
 * Throws upload_gone with facts.lost when recorded parts are nowhere, internal when a part is not the recorded one.
 */
export async function endMultipart(
  store: ByteStore,
  row: Upload,
  hold: Hold,
  parts: readonly Part[],
  recorded: boolean,
): Promise<Segment | null> {
  const { multipartId, multipartKey } = row
  if (multipartId === null || multipartKey === null) return null
  const segment = (bytes: number, crc32: number | null): Segment => ({
    key: multipartKey,
    start: row.segmentStart,
    end: row.segmentStart + bytes,
    crc32,
  })
  if (parts.length > 0) {
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
    const crc32 = combineCrc32s(parts)
    const answer = await completed(store, hold, multipartKey, multipartId, parts, { bytes, crc32 })
    if (answer === 'done' && recorded) return segment(bytes, crc32)
    if (answer === 'invalid-part') {
      throw new UploadError('internal', `Upload ${row.id}: the store has another part than the one it acknowledged.`)
    }
    const object = await store.head(multipartKey)
    if (object) return segment(object.bytes, object.bytes === bytes ? crc32 : null)
    if (!recorded && answer !== 'done') return null
    throw new UploadError('upload_gone', `The stored bytes of upload ${row.id} are no longer there.`, {
      facts: { lost: 1 },
    })
  }
  const object = await store.head(multipartKey)
  if (object) return segment(object.bytes, null)
  await store.abortMultipart(multipartKey, multipartId)
  return null
}

/**
 * Complete; where the store has another ETag for a part than the one recorded, the same bytes may have been sent twice
 * (a retry). Its CRC-32 decides: only a part with the recorded CRC is taken under its new ETag.
 */
async function completed(
  store: ByteStore,
  hold: Hold,
  key: string,
  multipartId: string,
  parts: readonly Part[],
  whole: { readonly bytes: number; readonly crc32: number | null },
): Promise<'done' | 'no-such-upload' | 'invalid-part'> {
  const onUnanswered = () => {
    hold.unanswered = true
  }
  const answer = await store.completeMultipart(key, multipartId, parts, whole, { onUnanswered })
  if (answer !== 'invalid-part') return answer
  const listed = await store.listParts(key, multipartId)
  if (!listed) return 'no-such-upload'
  const now = new Map(listed.map((part) => [part.number, part]))
  const same: Part[] = []
  for (const part of parts) {
    const found = now.get(part.number)
    const crc32 = crcInStore(part)
    if (!found || found.bytes !== part.bytes || crc32 === null || crcInStore(found) !== crc32) return 'invalid-part'
    same.push(found)
  }
  if (same.every((part, index) => part.etag === parts[index]?.etag)) return 'invalid-part'
  hold.assert()
  return store.completeMultipart(key, multipartId, same, whole, { onUnanswered })
}

function crcInStore(part: Part): number | null {
  return part.stored ? part.stored.crc32 : part.crc32
}

/** The open multipart upload has its full number of parts: it becomes a segment, and the next part begins another. */
export async function rollSegment(open: OpenUpload): Promise<void> {
  const { row, hold } = open
  const segment = await endMultipart(open.store, row, hold, await open.recordedParts(), true)
  if (!segment) return
  const segments = [...row.segments, segment]
  await open.change({ segments, segmentStart: segment.end, multipartId: null, multipartKey: null })
  // Tails behind the last full part stay: they are the beginning of the next part.
  await open.save({ multipartId: null, start: segment.end })
}
