import type { Download } from './api.ts'
import { isPartial } from './concat.ts'
import type { Context } from './context.ts'
import { allowedRow, refuseGone } from './context.ts'
import { UploadError } from './errors.ts'
import { isFinished } from './states.ts'
import type { Principal, UploadId } from './words.ts'

/** {@link Engine.download}: no hold; what is finished never changes. */
export async function download(context: Context, principal: Principal, id: UploadId): Promise<Download> {
  const row = await allowedRow(context, principal, id, 'download')
  refuseGone(row)
  const { objectKey, length } = row
  if (!isFinished(row.state) || objectKey === null || length === null) {
    throw new UploadError('upload_not_finished', `Upload ${id} is ${row.state}; there is no whole file yet.`)
  }
  if (isPartial(row)) throw new UploadError('upload_not_finished', `Upload ${id} is one piece of a file.`)
  if (row.state === 'rejected') throw new UploadError('forbidden', `Upload ${id} was rejected by its checks.`)
  return {
    upload: row,
    bytes: length,
    etag: `"${row.id}-${row.generation}"`,
    open: async (range) => {
      const stream = await context.stores.of(row).read(objectKey, range)
      if (!stream) throw new UploadError('upload_gone', `The stored file of upload ${id} is no longer there.`)
      return stream
    },
    link: async (options) => (await context.stores.of(row).link?.(objectKey, options)) ?? null,
  }
}
