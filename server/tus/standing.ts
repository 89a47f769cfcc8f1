import { isPartial } from '../uploads/concat.ts'
import { UploadError } from '../uploads/errors.ts'
import { isUnfinished } from '../uploads/states.ts'
import type { Upload, UploadId } from '../uploads/words.ts'
import type { Call } from './options.ts'

/** `Upload-Expires` (tus 1.0, Expiration: an RFC 9110 date) while the upload, or the file it is one piece of, is unfinished. */
export function expiryOf(upload: Upload): Record<string, string> {
  if (upload.expiresAt === null || !(isUnfinished(upload.state) || isPartial(upload))) return {}
  return { 'Upload-Expires': new Date(upload.expiresAt).toUTCString() }
}

/** The upload that the gate found in the address. */
export function idOf(call: Call): UploadId {
  if (call.id === null) throw new UploadError('not_found', 'No upload has such an id.')
  return call.id
}
