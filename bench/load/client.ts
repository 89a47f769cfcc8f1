/** Just enough tus over node:http with kept-alive connections; one random buffer is every body. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'

const MIB = 1024 * 1024
/** Written at a time: small enough that a server which pauses is felt. */
const WRITE_BYTES = 256 * 1024
const RANDOM = randomBytes(8 * MIB)
const agent = new Agent({ keepAlive: true, maxSockets: 2000 })

/** Any bytes; the same ones each time. */
export const someBytes = (length: number): Buffer => RANDOM.subarray(0, length)

/** What a server answered. */
export interface Answer {
  readonly status: number
  readonly offset: number | null
  readonly location: string
}

function open(method: string, url: string, headers: Record<string, string | number>): ClientRequest {
  return request(url, { agent, method, headers: { 'Tus-Resumable': '1.0.0', ...headers } })
}

/** The answer to a request, its body read to the end. */
export async function answerOf(req: ClientRequest): Promise<Answer> {
  const [res]: IncomingMessage[] = await once(req, 'response')
  if (res === undefined) throw new Error('no answer')
  res.resume()
  await once(res, 'end')
  const offset = res.headers['upload-offset']
  const location = res.headers.location ?? ''
  return {
    status: res.statusCode ?? 0,
    offset: offset === undefined ? null : Number(offset),
    location: location === '' ? '' : new URL(location, `${req.protocol}//${req.getHeader('host')}`).href,
  }
}

async function expected(req: ClientRequest, status: number): Promise<Answer> {
  const answer = await answerOf(req)
  if (answer.status === status) return answer
  throw new Error(`${req.method} ${req.path}: ${answer.status} instead of ${status}`)
}

/** Creates an upload, with all its bytes (at most 8 MiB) when `body` says so. Returns where it is. */
export async function create(url: string, length: number, body: boolean): Promise<string> {
  const headers = body
    ? { 'Content-Type': 'application/offset+octet-stream', 'Content-Length': length }
    : { 'Content-Length': 0 }
  const req = open('POST', url, { 'Upload-Length': length, 'Upload-Metadata': 'filename YS5iaW4=', ...headers })
  req.end(body ? someBytes(length) : undefined)
  const { location } = await expected(req, 201)
  return location
}

/** A PATCH whose body is still to be written. */
export function openPatch(url: string, offset: number, length: number): ClientRequest {
  return open('PATCH', url, {
    'Content-Type': 'application/offset+octet-stream',
    'Content-Length': length,
    'Upload-Offset': offset,
  })
}

/** Sends `length` bytes as the whole body of one PATCH. */
export async function patch(url: string, offset: number, length: number): Promise<void> {
  const req = openPatch(url, offset, length)
  const answered = expected(req, 204)
  answered.catch(() => {})
  for (let sent = 0; sent < length && !req.destroyed; ) {
    const start = sent % RANDOM.length
    const chunk = RANDOM.subarray(start, Math.min(start + WRITE_BYTES, start + length - sent, RANDOM.length))
    sent += chunk.length
    if (!req.write(chunk)) await Promise.race([once(req, 'drain'), answered])
  }
  req.end()
  const answer = await answered
  if (answer.offset !== offset + length) throw new Error(`PATCH: offset ${answer.offset} instead of ${offset + length}`)
}

export async function head(url: string): Promise<void> {
  const req = open('HEAD', url, {})
  req.end()
  await expected(req, 200)
}

/** Runs `work` `count` times, `parallel` at once; returns how long each took, in ms. */
export async function repeatedly(
  count: number,
  parallel: number,
  work: (index: number) => Promise<unknown>,
): Promise<number[]> {
  const times: number[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const startedAt = performance.now()
      await work(next++)
      times.push(performance.now() - startedAt)
    }
  }
  await Promise.all(Array.from({ length: Math.min(parallel, count) }, lane))
  return times
}
