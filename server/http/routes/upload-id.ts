import type { Request } from 'express'
import { UploadError } from '../../uploads/errors.ts'
import { parseUploadId, type UploadId } from '../../uploads/id.ts'

/** The id in the address. Throws not_found for what is none. */
export function requiredId(req: Request): UploadId {
  const text = req.params.id
  const id = typeof text === 'string' ? parseUploadId(text) : null
  if (id === null) throw new UploadError('not_found', 'No upload has such an id.')
  return id
}
