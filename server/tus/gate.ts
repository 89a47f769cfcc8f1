import type { IncomingMessage } from 'node:http'
import { UploadError } from '../uploads/errors.ts'
import type { UploadId } from '../uploads/id.ts'
import { mediaTypeOf, readTusHeaders, type TusHeaders } from './headers.ts'
import { applyMethodOverride } from './method-override.ts'
import { parseTarget, type Target } from './target.ts'

export const TUS_VERSION = '1.0.0'
/** The media type of upload bytes. */
export const OFFSET_OCTET_STREAM = 'application/offset+octet-stream'

/** A request that passed the gate. */
export interface Admitted {
  readonly headers: TusHeaders
  /** null: the collection. */
  readonly id: UploadId | null
}

const ALLOWED = {
  collection: ['GET', 'OPTIONS', 'POST'],
  upload: ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH'],
} as const satisfies Record<Target['kind'], readonly string[]>

/**
 * Everything that is decided before the body, the engine and @tus/server come in: method override, address, method,
 * version, id, media type. Leaves the effective method in `req.method`. Throws request_malformed, not_found,
 * method_not_allowed, version_unsupported, content_type_unsupported.
 */
export function admit(req: IncomingMessage, base: string): Admitted {
  applyMethodOverride(req)
  const target = parseTarget(req.url ?? '', base)
  if (target === null) throw new UploadError('not_found', 'No upload can be at this address.')
  checkMethod(req.method ?? '', target)
  const headers = readTusHeaders(req)
  const id = target.kind === 'upload' ? target.id : null
  if (req.method === 'OPTIONS') return { headers, id }
  checkVersion(headers)
  if (target.kind === 'upload' && id === null) throw new UploadError('not_found', 'No upload has such an id.')
  if (req.method === 'PATCH') checkMediaType(headers)
  return { headers, id }
}

function checkMethod(method: string, target: Target): void {
  const allowed: readonly string[] = ALLOWED[target.kind]
  if (allowed.includes(method)) return
  const what = target.kind === 'collection' ? 'the collection of uploads' : 'an upload'
  throw new UploadError('method_not_allowed', `${method} is nothing that ${what} takes.`, {
    facts: { allow: allowed.join(', ') },
  })
}

function checkVersion(headers: TusHeaders): void {
  const version = headers.get('tus-resumable')
  if (version === TUS_VERSION) return
  const said = version === undefined ? 'Tus-Resumable is missing' : `Tus-Resumable is ${quoted(version)}`
  throw new UploadError('version_unsupported', `${said}; send Tus-Resumable: ${TUS_VERSION}.`)
}

function checkMediaType(headers: TusHeaders): void {
  const type = mediaTypeOf(headers)
  if (type !== OFFSET_OCTET_STREAM) {
    const said = type === null ? 'Content-Type is missing' : `Content-Type is ${quoted(type)}`
    throw new UploadError('content_type_unsupported', `${said}; send ${OFFSET_OCTET_STREAM}.`)
  }
  checkCoding(headers)
}

/** Offsets count the file's bytes, so a coded body could not be appended where the client believes. */
export function checkCoding(headers: TusHeaders): void {
  const coding = headers.get('content-encoding')
  if (coding === undefined || coding === '' || coding.toLowerCase() === 'identity') return
  throw new UploadError(
    'content_type_unsupported',
    `Content-Encoding is ${quoted(coding)}; send the bytes as they are.`,
  )
}

/** A header's value for a message: short, and nothing but printable ASCII. */
export function quoted(value: string): string {
  return `"${value.slice(0, 60).replace(/[^\x20-\x7e]/g, '?')}"`
}
