import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { answerTo } from '../errors/answer.ts'
import { PROBLEM_TYPE, problemOf } from '../errors/forms.ts'
import { UploadError } from '../uploads/errors.ts'
import { type EarlyAnswerLimits, endGently } from './early-answer.ts'

const METHODS = 'DELETE, GET, HEAD, OPTIONS, PATCH, POST'

/** What a failure of Node's parser means, or null when the connection simply broke and nobody listens. */
export function parserFailure(error: NodeJS.ErrnoException): UploadError | null {
  switch (error.code) {
    case 'ECONNRESET':
    case 'EPIPE':
    case 'ETIMEDOUT':
      return null
    case 'HPE_HEADER_OVERFLOW':
      return new UploadError('headers_too_large', 'The headers are longer than this service takes.')
    case 'HPE_INVALID_METHOD':
      if (!looksLikeHttp(error)) return new UploadError('request_malformed', 'The request is not HTTP/1.1.')
      return new UploadError('method_not_allowed', 'No such method is known here.', { facts: { allow: METHODS } })
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new UploadError('request_timeout', 'The headers did not arrive in time; send the request again.')
    default:
      return new UploadError('request_malformed', `The request is not HTTP/1.1 (${error.code ?? 'unreadable'}).`)
  }
}

/** A method that nobody knows in an otherwise readable request line; bytes of another protocol are none. */
function looksLikeHttp(error: Error): boolean {
  if (!('rawPacket' in error) || !(error.rawPacket instanceof Uint8Array)) return false
  const parsed = 'bytesParsed' in error && typeof error.bytesParsed === 'number' ? error.bytesParsed : 0
  const text = Buffer.from(error.rawPacket).toString('latin1')
  // The packet may begin with requests that were fine.
  const start = parsed === 0 ? 0 : text.lastIndexOf('\n', parsed - 1) + 1
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ HTTP\/1\.[01]\r?\n/.test(text.slice(start))
}

/** Answers what never became a request, from the same table as everything else; then the connection ends. */
export function answerParserFailure(error: NodeJS.ErrnoException, socket: Socket, limits: EarlyAnswerLimits): void {
  const failure = parserFailure(error)
  if (failure === null || !socket.writable) {
    socket.destroy()
    return
  }
  endGently(socket, responseText(failure), limits)
}

function responseText(failure: UploadError): string {
  const answer = answerTo(failure, 'GET')
  const body = `${JSON.stringify(problemOf(answer))}\n`
  const headers: Record<string, string> = {
    Connection: 'close',
    Date: new Date().toUTCString(),
    'Tus-Resumable': '1.0.0',
    ...answer.headers,
    'Content-Type': PROBLEM_TYPE,
    'Content-Length': String(Buffer.byteLength(body)),
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}\r\n${lines.join('')}\r\n${body}`
}
