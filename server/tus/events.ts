import { Upload as TusUpload } from '@tus/server'
import { isFinished } from '../uploads/states.ts'
import type { Upload } from '../uploads/words.ts'

/** An upload as listeners of @tus/server's events know it. */
export function toTusUpload(upload: Upload, offset: number): TusUpload {
  return new TusUpload({
    id: upload.id,
    offset,
    ...(upload.length === null ? {} : { size: upload.length }),
    metadata: { ...upload.metadata },
    creation_date: new Date(upload.createdAt).toISOString(),
  })
}

/** Did the request that brought these bytes complete the upload? */
export function finishedNow(upload: Upload, offset: number): boolean {
  return offset === upload.length && isFinished(upload.state)
}
