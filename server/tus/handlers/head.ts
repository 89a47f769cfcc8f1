import type { Call } from '../options.ts'
import { bare, type Reply } from '../reply.ts'
import { expiryOf, idOf } from '../standing.ts'

/** HEAD: how far the upload is (tus 1.0, Core). Metadata goes back byte for byte as it came. */
export async function inspect(call: Call): Promise<Reply> {
  const { upload, offset } = await call.options.engine.inspect(call.principal, idOf(call))
  return bare(200, {
    'Upload-Offset': String(offset),
    ...(upload.length === null ? { 'Upload-Defer-Length': '1' } : { 'Upload-Length': String(upload.length) }),
    ...(upload.metadataRaw === null || upload.metadataRaw === '' ? {} : { 'Upload-Metadata': upload.metadataRaw }),
    ...(upload.concatRaw === null ? {} : { 'Upload-Concat': upload.concatRaw }),
    ...expiryOf(upload),
    'Cache-Control': 'no-store',
  })
}
