import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { NodeResponse } from 'srvx/node'
import { answerTo } from '../errors/answer.ts'
import { tusTextOf } from '../errors/forms.ts'
import { isOverridden } from './method-override.ts'

/** What a handler answers. `body` is text; '' is none. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A reply without a body. */
export function bare(status: number, headers: Record<string, string> = {}): Reply {
  return { status, headers, body: '' }
}

/** The tus form of a failure. HEAD errors carry no Upload-Offset and no body. */
export function refusal(error: unknown, verb: string, location: string | null = null): Reply {
  const answer = answerTo(error, verb)
  const headers: Record<string, string> = { ...answer.headers }
  if (answer.closes && verb !== 'DELETE') headers.Connection = 'close'
  if (location !== null) headers.Location = location
  const body = verb === 'HEAD' ? '' : tusTextOf(answer)
  return { status: answer.status, headers, body }
}

function lengthOf(reply: Reply, req: IncomingMessage): string | null {
  if (reply.status === 204 || reply.status === 304) return null
  // Node leaves the body out of an answer to HEAD by itself, but does not know of a HEAD that came as POST.
  if (req.method === 'HEAD') return isOverridden(req) ? '0' : null
  return String(Buffer.byteLength(reply.body))
}

function headersOf(reply: Reply, req: IncomingMessage): Record<string, string> {
  const length = lengthOf(reply, req)
  return {
    ...reply.headers,
    ...(reply.body === '' ? {} : { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' }),
    ...(length === null ? {} : { 'Content-Length': length }),
  }
}

/** The reason phrase; 460 is tus's own (tus 1.0, Checksum). */
function reasonOf(status: number): string {
  return status === 460 ? 'Checksum Mismatch' : (STATUS_CODES[status] ?? '')
}

/**
 * For @tus/server, which sends it. srvx's own response: what it is made of goes to Node as it is, where the platform's
 * builds a header map to be read out again.
 */
export function toResponse(reply: Reply, req: IncomingMessage): Response {
  return new NodeResponse(reply.body === '' ? null : reply.body, {
    status: reply.status,
    statusText: reasonOf(reply.status),
    headers: headersOf(reply, req),
  })
}

/** For what is answered before @tus/server comes in. */
export function writeReply(res: ServerResponse, reply: Reply, req: IncomingMessage): void {
  if (res.headersSent || res.destroyed) return
  res.writeHead(reply.status, reasonOf(reply.status), headersOf(reply, req))
  res.end(reply.body === '' ? undefined : reply.body)
}
