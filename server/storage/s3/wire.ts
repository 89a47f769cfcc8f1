/**
 * One PUT on a kept-alive socket of our own: signed once, the caller's chunks written as they are. This is the path
 * that every uploaded byte takes; the SDK would cost several times the sending itself (docs/performance.md).
 */
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import type { Bytes } from '../../uploads/words.ts'
import { S3Failure } from './failure.ts'

/** Stores close idle connections after 5 s or more; going first spares a request that races with the close. */
const IDLE_MS = 4_000
/** TLS copies what it encrypts: hand it little at a time. Plain sockets take all of it by reference in one writev. */
const TLS_BATCH_BYTES = 256 * 1024
/** Error answers are short; what is longer is not S3's. */
const ANSWER_LIMIT_BYTES = 64 * 1024

export interface WireAnswer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface WireRequest {
  readonly path: string
  /** Names and values, one after the other, `host` and `content-length` among them. */
  readonly headers: string[]
  readonly body: Bytes
  readonly signal: AbortSignal | undefined
}

export interface WireOptions {
  /** Scheme, host and port count. */
  readonly url: URL
  readonly maxSockets: number
  readonly requestTimeoutMs: number
  readonly connectTimeoutMs: number
  /** Connections shared with other wires ({@link wireAgent}); absent: its own. */
  readonly agent?: HttpAgent
  /** Bytes of a body that are handed to the socket at a time; absent: what suits the scheme. */
  readonly batchBytes?: number
}

/** Kept-alive connections for wires to this scheme. */
export function wireAgent(url: URL, maxSockets: number): HttpAgent {
  const options = { keepAlive: true, noDelay: true, maxSockets, timeout: IDLE_MS }
  return url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options)
}

/** The connections of the hot path. */
export class Wire {
  readonly #options: WireOptions
  readonly #tls: boolean
  readonly #batchBytes: number
  readonly #agent: HttpAgent
  readonly #host: string

  constructor(options: WireOptions) {
    this.#options = options
    this.#tls = options.url.protocol === 'https:'
    this.#batchBytes = options.batchBytes ?? (this.#tls ? TLS_BATCH_BYTES : Number.POSITIVE_INFINITY)
    this.#agent = options.agent ?? wireAgent(options.url, options.maxSockets)
    this.#host = options.url.hostname.replace(/^\[(.*)\]$/, '$1')
  }

  /** Resolves with whatever answer came; throws {@link S3Failure} without a status when none did. */
  put(request: WireRequest): Promise<WireAnswer> {
    return new Promise((resolve, reject) => {
      const exchange = new Exchange(this.#open(request), request, this.#options, resolve, reject)
      exchange.write(this.#batchBytes)
    })
  }

  close(): void {
    this.#agent.destroy()
  }

  #open(request: WireRequest): ClientRequest {
    return (this.#tls ? httpsRequest : httpRequest)({
      agent: this.#agent,
      host: this.#host,
      port: this.#options.url.port,
      method: 'PUT',
      path: request.path,
      headers: request.headers,
      timeout: this.#options.requestTimeoutMs,
    })
  }
}

/** One request and its answer; settles once. */
class Exchange {
  readonly #req: ClientRequest
  readonly #request: WireRequest
  readonly #options: WireOptions
  readonly #resolve: (answer: WireAnswer) => void
  readonly #reject: (failure: S3Failure) => void
  #settled = false
  /** On a connection: from here on the store may have seen it. */
  #sent = false
  #connecting: NodeJS.Timeout | undefined

  constructor(
    req: ClientRequest,
    request: WireRequest,
    options: WireOptions,
    resolve: (answer: WireAnswer) => void,
    reject: (failure: S3Failure) => void,
  ) {
    this.#req = req
    this.#request = request
    this.#options = options
    this.#resolve = resolve
    this.#reject = reject
    req.on('socket', (socket) => this.#onSocket(socket))
    req.on('response', (response) => this.#onResponse(response))
    req.on('error', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? error.name, error.message))
    // Also when the agent's queue let go of a request that had been destroyed while it waited.
    req.on('close', () => this.#fail('ECONNRESET', 'the connection closed without an answer'))
    // The socket's own timer: rearmed by every byte that moves, in either direction.
    req.on('timeout', () => this.#fail('ETIMEDOUT', `no progress for ${options.requestTimeoutMs} ms`))
    request.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Writes the body, `batchBytes` at a time, and ends the request. */
  write(batchBytes: number): void {
    const { chunks, length } = this.#request.body
    if (length <= batchBytes) {
      for (const chunk of chunks) this.#req.write(chunk)
      this.#req.end()
      return
    }
    let next = 0
    const step = (): void => {
      let room = batchBytes
      for (let chunk = chunks[next]; chunk && room > 0; chunk = chunks[next]) {
        this.#req.write(chunk)
        room -= chunk.length
        next++
      }
      if (next === chunks.length) this.#req.end()
      else if (this.#req.writableNeedDrain) this.#req.once('drain', step)
      else setImmediate(step)
    }
    step()
  }

  #onSocket(socket: Socket): void {
    if (!socket.connecting) {
      this.#sent = true
      return
    }
    this.#connecting = setTimeout(
      () => this.#fail('CONNECT_TIMEOUT', `no connection within ${this.#options.connectTimeoutMs} ms`),
      this.#options.connectTimeoutMs,
    )
    socket.once(this.#options.url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
      clearTimeout(this.#connecting)
      this.#sent = true
    })
  }

  #onResponse(response: IncomingMessage): void {
    let body = ''
    response.setEncoding('latin1')
    response.on('data', (text: string) => {
      if (body.length < ANSWER_LIMIT_BYTES) body += text
    })
    response.on('error', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? error.name, error.message))
    response.on('end', () => {
      const status = response.statusCode ?? 0
      if (!this.#settle()) return
      // Refused before the body was read: the rest of it must not follow on this connection.
      if (!this.#req.writableFinished) this.#req.destroy()
      this.#resolve({ status, headers: response.headers, body })
    })
  }

  readonly #onAbort = (): void => this.#fail('ABORTED', 'the caller gave up')

  #fail(code: string, message: string): void {
    if (!this.#settle()) return
    this.#req.destroy()
    this.#reject(new S3Failure({ status: null, code, message, sent: this.#sent }))
  }

  #settle(): boolean {
    if (this.#settled) return false
    this.#settled = true
    clearTimeout(this.#connecting)
    this.#request.signal?.removeEventListener('abort', this.#onAbort)
    return true
  }
}
