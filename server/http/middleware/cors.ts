import type { RequestHandler } from 'express'
import type { CorsSettings } from '../ports.ts'

const METHODS = 'GET, HEAD, POST, PATCH, DELETE, OPTIONS'
const MAX_AGE_SECONDS = '86400'

/** What a browser may send. The names of the IETF dialect are there already: a preflight lives for a day. */
const REQUEST_HEADERS = [
  'Authorization',
  'Content-Type',
  'If-Match',
  'If-None-Match',
  'If-Range',
  'Range',
  'Tus-Resumable',
  'Upload-Checksum',
  'Upload-Complete',
  'Upload-Concat',
  'Upload-Defer-Length',
  'Upload-Draft-Interop-Version',
  'Upload-Incomplete',
  'Upload-Length',
  'Upload-Metadata',
  'Upload-Offset',
  'X-HTTP-Method-Override',
  'X-Request-ID',
  'X-Requested-With',
].join(', ')

/** What a script may read. */
const RESPONSE_HEADERS = [
  'Accept-Ranges',
  'Content-Disposition',
  'Content-Range',
  'ETag',
  'Location',
  'Retry-After',
  'Tus-Checksum-Algorithm',
  'Tus-Extension',
  'Tus-Max-Size',
  'Tus-Resumable',
  'Tus-Version',
  'Upload-Complete',
  'Upload-Concat',
  'Upload-Defer-Length',
  'Upload-Expires',
  'Upload-Length',
  'Upload-Limit',
  'Upload-Metadata',
  'Upload-Offset',
  'X-Request-ID',
].join(', ')

/**
 * CORS headers on every answer, errors too: without them a browser hides the status, and the client repeats blindly.
 * An allow list echoes the origin that is on it and no other; `*` never goes with credentials.
 */
export function cors(settings: CorsSettings): RequestHandler {
  const { origins } = settings
  const any = origins === '*'
  const listed: ReadonlySet<string> = new Set(any ? [] : origins)
  return (req, res, next) => {
    if (any || listed.size > 0) {
      if (!any) res.vary('Origin')
      const origin = req.headers.origin
      if (origin !== undefined && (any || listed.has(origin))) {
        res.setHeader('Access-Control-Allow-Origin', any ? '*' : origin)
        if (settings.credentials && !any) res.setHeader('Access-Control-Allow-Credentials', 'true')
        res.setHeader('Access-Control-Expose-Headers', RESPONSE_HEADERS)
        if (req.method === 'OPTIONS') {
          res.setHeader('Access-Control-Allow-Methods', METHODS)
          res.setHeader('Access-Control-Allow-Headers', REQUEST_HEADERS)
          res.setHeader('Access-Control-Max-Age', MAX_AGE_SECONDS)
        }
      }
    }
    next()
  }
}
