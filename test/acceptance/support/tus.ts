/** tus 1.0 as these tests speak it: one small client on {@link send}, no retries, nothing hidden. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Headers, send, Wire } from './wire.ts'

export const UPLOADS = '/api/v1/uploads'
export const OCT = 'application/offset+octet-stream'

type Extra = Readonly<Record<string, string | undefined>>

export interface CreateOptions {
  readonly length?: number | string
  readonly defer?: boolean
  readonly metadata?: string
  readonly body?: string | Buffer
  readonly headers?: Extra
}

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Bytes that repeat nowhere near, the same for the same seed. */
export function sampleBytes(length: number, seed: string): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0, block = 0; at < length; at += 64, block++) {
    pieces.push(createHash('sha512').update(`${seed}:${block}`).digest())
  }
  return Buffer.concat(pieces).subarray(0, length)
}

/** The path of the upload that a creation made. */
export function pathOf(answer: Answer, origin: string): string {
  const location = answer.headers.location
  assert.ok(location, `no Location in a ${answer.status}: ${answer.body}`)
  return new URL(location, `${origin}${UPLOADS}`).pathname
}

export function idOf(path: string): string {
  return path.split('/').pop() ?? ''
}

export class Tus {
  readonly origin: string

  constructor(origin: string) {
    this.origin = origin
  }

  send(method: string, path: string, headers: Headers = {}, body: string | Buffer | null = null): Promise<Answer> {
    return send(this.origin, method, path, headers, body)
  }

  /** POST on the collection. */
  post(options: CreateOptions): Promise<Answer> {
    return this.send(
      'POST',
      UPLOADS,
      {
        'Tus-Resumable': '1.0.0',
        'Upload-Length': options.length === undefined ? undefined : String(options.length),
        'Upload-Defer-Length': options.defer ? '1' : undefined,
        'Upload-Metadata': options.metadata,
        'Content-Type': options.body === undefined ? undefined : OCT,
        ...options.headers,
      },
      options.body ?? null,
    )
  }

  /** A new upload's path; fails on anything but 201. */
  async create(options: CreateOptions): Promise<string> {
    const answer = await this.post(options)
    assert.equal(answer.status, 201, `creating answered ${answer.status}: ${answer.body}`)
    return pathOf(answer, this.origin)
  }

  /** An upload of this length whose first bytes are `bytes`. */
  async createWith(length: number, bytes: string | Buffer, metadata?: string): Promise<string> {
    const path = await this.create(metadata === undefined ? { length } : { length, metadata })
    if (bytes.length > 0) assert.equal((await this.patch(path, 0, bytes)).status, 204)
    return path
  }

  head(path: string, headers: Extra = {}): Promise<Answer> {
    return this.send('HEAD', path, { 'Tus-Resumable': '1.0.0', ...headers })
  }

  patch(path: string, offset: number | string, body: string | Buffer | null, headers: Extra = {}): Promise<Answer> {
    return this.send('PATCH', path, patchHeaders(offset, headers), body)
  }

  terminate(path: string, headers: Extra = {}): Promise<Answer> {
    return this.send('DELETE', path, { 'Tus-Resumable': '1.0.0', ...headers })
  }

  options(path = UPLOADS, headers: Extra = {}): Promise<Answer> {
    return this.send('OPTIONS', path, headers)
  }

  /** A PATCH that sends `bytes` of the `declared` length and then stands still. */
  async stalled(path: string, offset: number, declared: number, bytes: string | Buffer): Promise<Wire> {
    const wire = await Wire.open(this.origin)
    wire.head('PATCH', path, patchHeaders(offset, { 'Content-Length': String(declared) }))
    wire.write(bytes)
    return wire
  }

  /** `Upload-Offset` of a HEAD that must succeed; 423 is waited out as a client does. */
  async offset(path: string): Promise<number> {
    for (let attempt = 0; ; attempt++) {
      const answer = await this.head(path)
      if (answer.status === 423 && attempt < 20) {
        await sleep(Math.min(Number(answer.headers['retry-after'] ?? 1), 2) * 1000)
        continue
      }
      assert.ok(answer.status === 200 || answer.status === 204, `HEAD ${path} answered ${answer.status}`)
      return Number(answer.headers['upload-offset'])
    }
  }

  /** The finished file's SHA-256, read back through the API; waits while post-processing holds it back. */
  async downloaded(path: string): Promise<string> {
    for (let attempt = 0; ; attempt++) {
      const answer = await this.send('GET', path)
      if (answer.status === 409 && attempt < 100) {
        await sleep(100)
        continue
      }
      assert.equal(answer.status, 200, `GET ${path} answered ${answer.status}: ${answer.body.subarray(0, 300)}`)
      return sha256(answer.body)
    }
  }

  async contentIs(path: string, expected: string | Buffer): Promise<void> {
    assert.equal(await this.downloaded(path), sha256(expected), 'the stored content is not what was sent')
  }

  async info(path: string): Promise<Record<string, unknown>> {
    const answer = await this.send('GET', `${path}/info`)
    assert.equal(answer.status, 200, `GET ${path}/info answered ${answer.status}: ${answer.body}`)
    const record: unknown = JSON.parse(answer.body.toString())
    assert.ok(typeof record === 'object' && record !== null)
    return { ...record }
  }

  /** HEAD says exactly this; the standing check after anything that must change nothing. */
  async standsAt(path: string, offset: number, length?: number): Promise<void> {
    const answer = await this.head(path)
    assert.equal(answer.status, 200, `HEAD ${path} answered ${answer.status}`)
    assert.equal(answer.headers['upload-offset'], String(offset))
    if (length !== undefined) assert.equal(answer.headers['upload-length'], String(length))
  }
}

export function patchHeaders(offset: number | string, more: Extra = {}): Extra {
  return { 'Tus-Resumable': '1.0.0', 'Upload-Offset': String(offset), 'Content-Type': OCT, ...more }
}

/** Polls until `check` is true; for state that only shows by asking. */
export async function eventually(check: () => Promise<boolean>, what: string, withinMs = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`)
    await sleep(50)
  }
}
