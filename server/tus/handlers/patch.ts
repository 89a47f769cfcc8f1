import { EVENTS } from '@tus/server'
import { UploadError } from '../../uploads/errors.ts'
import { parseByteCount } from '../decimal.ts'
import { finishedNow, toTusUpload } from '../events.ts'
import { quoted } from '../gate.ts'
import { incomingOf } from '../incoming.ts'
import type { Call } from '../options.ts'
import { bare, type Reply } from '../reply.ts'
import { expiryOf, idOf } from '../standing.ts'
import { parseLength } from './post.ts'

/** PATCH: bytes at the end of an upload, and a deferred length where one comes along (tus 1.0, Core). */
export async function append(call: Call): Promise<Reply> {
  const { req, res, options, headers } = call
  const offset = readOffset(headers.get('upload-offset'))
  const length = headers.get('upload-length')
  const incoming = incomingOf(req, res, headers.get('upload-checksum'))
  const standing = await options.engine.append(call.principal, idOf(call), {
    offset,
    ...incoming,
    ...(length === undefined ? {} : { declaredLength: parseLength(length) }),
  })
  const brought = incoming.body !== null || length !== undefined
  if (brought && finishedNow(standing.upload, standing.offset)) {
    call.announce(EVENTS.POST_FINISH, toTusUpload(standing.upload, standing.offset))
  }
  return bare(204, { 'Upload-Offset': String(standing.offset), ...expiryOf(standing.upload) })
}

function readOffset(text: string | undefined): number {
  if (text === undefined) throw new UploadError('offset_missing', 'Send Upload-Offset: where these bytes begin.')
  const offset = parseByteCount(text)
  if (offset !== null) return offset
  throw new UploadError('offset_invalid', `Upload-Offset is ${quoted(text)}; send a decimal number of bytes.`)
}
