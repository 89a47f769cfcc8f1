import { EVENTS } from '@tus/server'
import { UploadError } from '../../uploads/errors.ts'
import { parseUploadId } from '../../uploads/id.ts'
import { type Concat, readConcat } from '../concat.ts'
import { parseByteCount } from '../decimal.ts'
import { finishedNow, toTusUpload } from '../events.ts'
import { checkCoding, OFFSET_OCTET_STREAM, quoted } from '../gate.ts'
import { mediaTypeOf, type TusHeaders } from '../headers.ts'
import { hasBody, incomingOf } from '../incoming.ts'
import type { Call } from '../options.ts'
import { bare, type Reply, refusal } from '../reply.ts'
import { expiryOf } from '../standing.ts'

/** POST on the collection: Creation, with the first bytes if they come along (tus 1.0, Creation With Upload). */
export async function create(call: Call): Promise<Reply> {
  const { req, res, options, headers } = call
  const concatRaw = headers.get('upload-concat')
  const concat = concatRaw === undefined ? null : readConcat(req, options, concatRaw)
  if (concat?.kind === 'final') return concatenate(call, concat)
  const length = readLength(headers)
  const withBytes = takesBytes(call)
  const incoming = withBytes ? incomingOf(req, res, headers.get('upload-checksum')) : { body: null, bodyLength: 0 }
  const metadataRaw = headers.get('upload-metadata') ?? null
  try {
    const request = { length, metadataRaw, ...incoming, ...(concat ? { partial: true } : {}) }
    const { upload, offset } = await options.engine.create(call.principal, request)
    const location = options.locate(req, upload.id)
    call.announce(EVENTS.POST_CREATE, toTusUpload(upload, offset), location)
    if (finishedNow(upload, offset)) call.announce(EVENTS.POST_FINISH, toTusUpload(upload, offset))
    return bare(201, {
      Location: location,
      ...(withBytes ? { 'Upload-Offset': String(offset) } : {}),
      ...expiryOf(upload),
    })
  } catch (error) {
    return refusedWithLocation(call, error)
  }
}

/** A final upload: the answer comes when it is whole; 423 with its Location when that takes long. */
async function concatenate(call: Call, { raw, partials }: Extract<Concat, { kind: 'final' }>): Promise<Reply> {
  const { req, options, headers } = call
  if (hasBody(req)) throw new UploadError('concat_final', 'The creation of a final upload has a body; send none.')
  if (headers.has('upload-length') || headers.has('upload-defer-length')) {
    throw new UploadError('concat_invalid', 'The length of a final upload is that of its parts; send none.')
  }
  try {
    const metadataRaw = headers.get('upload-metadata') ?? null
    const { upload, offset } = await options.engine.concatenate(call.principal, { raw, partials, metadataRaw })
    const location = options.locate(req, upload.id)
    call.announce(EVENTS.POST_CREATE, toTusUpload(upload, offset), location)
    call.announce(EVENTS.POST_FINISH, toTusUpload(upload, offset))
    return bare(201, { Location: location })
  } catch (error) {
    return refusedWithLocation(call, error)
  }
}

/** null: deferred. */
function readLength(headers: TusHeaders): number | null {
  const length = headers.get('upload-length')
  const deferred = headers.get('upload-defer-length')
  if (length !== undefined && deferred !== undefined) {
    throw new UploadError('length_conflict', 'Both Upload-Length and Upload-Defer-Length were sent; send one.')
  }
  if (length !== undefined) return parseLength(length)
  if (deferred === undefined) {
    throw new UploadError('length_missing', 'Send Upload-Length, or Upload-Defer-Length: 1 when it is not known yet.')
  }
  if (deferred === '1') return null
  throw new UploadError('defer_length_invalid', `Upload-Defer-Length is ${quoted(deferred)}; its only value is 1.`)
}

/** `Upload-Length` in bytes. Throws length_invalid. */
export function parseLength(text: string): number {
  const length = parseByteCount(text)
  if (length !== null) return length
  throw new UploadError('length_invalid', `Upload-Length is ${quoted(text)}; send a decimal number of bytes.`)
}

/** A body of another type is refused instead of being dropped; a foreign type without a body says nothing. */
function takesBytes(call: Call): boolean {
  const type = mediaTypeOf(call.headers)
  if (type === OFFSET_OCTET_STREAM) {
    checkCoding(call.headers)
    return true
  }
  if (!hasBody(call.req)) return false
  const said = type === null ? 'no Content-Type' : `Content-Type ${quoted(type)}`
  throw new UploadError(
    'content_type_unsupported',
    `The creation has a body with ${said}; send ${OFFSET_OCTET_STREAM}.`,
  )
}

/** When the upload exists although its first bytes failed, the client learns where it is. */
function refusedWithLocation(call: Call, error: unknown): Reply {
  const known = error instanceof UploadError ? parseUploadId(String(error.facts.location_id ?? '')) : null
  if (known === null || !(error instanceof UploadError)) throw error
  call.options.onFailure?.(call.req, error)
  const reply = refusal(error, 'POST', call.options.locate(call.req, known))
  const offset = error.facts.offset
  return offset === undefined ? reply : { ...reply, headers: { ...reply.headers, 'Upload-Offset': String(offset) } }
}
