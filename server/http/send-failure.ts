import type { IncomingMessage, ServerResponse } from 'node:http'
import { answerTo, toUploadError } from '../errors/answer.ts'
import { PROBLEM_TYPE, problemOf, tusTextOf } from '../errors/forms.ts'
import { UploadError } from '../uploads/errors.ts'
import { contextOf, noteFailure } from './context.ts'
import { API_PATH, isUnder, pathOf, UPLOADS_PATH } from './paths.ts'

/** What Express throws for a request it cannot read (an address that does not decode) is the client's fault. */
function understood(error: unknown): UploadError {
  const status = error instanceof Error && 'status' in error ? error.status : undefined
  if (error instanceof URIError || (typeof status === 'number' && status >= 400 && status < 500)) {
    return new UploadError('request_malformed', 'The address of the request cannot be decoded.', { cause: error })
  }
  return toUploadError(error)
}

/** What was already said of a representation that is not sent after all. */
const REPRESENTATION = [
  'Accept-Ranges',
  'Content-Disposition',
  'Content-Length',
  'Content-Range',
  'Content-Security-Policy',
  'ETag',
]

/**
 * Answers a failure: plain text to a tus request, a problem (RFC 9457) to any other. Everything outside the tus dialect
 * that fails ends here. An answer that has begun is cut off, so that nobody takes it for whole.
 */
export function sendFailure(req: IncomingMessage, res: ServerResponse, error: unknown): void {
  const failure = understood(error)
  noteFailure(req, failure)
  if (res.headersSent || res.destroyed) {
    res.destroy()
    return
  }
  const context = contextOf(req)
  const path = pathOf(context?.url ?? req.url)
  const uploads = isUnder(path, UPLOADS_PATH)
  // HEAD is softened (423 for 5xx) where tus clients ask; elsewhere it says what GET says.
  const verb = req.method === 'HEAD' && !isUnder(path, API_PATH) ? 'GET' : (req.method ?? '')
  const answer = answerTo(failure, verb)
  for (const name of REPRESENTATION) res.removeHeader(name)
  for (const [name, value] of Object.entries(answer.headers)) res.setHeader(name, value)
  if (answer.closes) res.setHeader('Connection', 'close')
  if (uploads) res.setHeader('Tus-Resumable', '1.0.0')
  const tus = uploads && req.headers['tus-resumable'] !== undefined
  const body = tus ? tusTextOf(answer) : `${JSON.stringify(problemOf(answer, context?.requestId))}\n`
  res.setHeader('Content-Type', tus ? 'text/plain; charset=utf-8' : PROBLEM_TYPE)
  res.setHeader('X-Content-Type-Options', 'nosniff')
  res.statusCode = answer.status
  if (req.method === 'HEAD') {
    res.end()
    return
  }
  res.setHeader('Content-Length', Buffer.byteLength(body))
  res.end(body)
}
