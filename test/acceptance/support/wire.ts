/**
 * HTTP/1.1 on a bare socket: the requests that no well-behaved client library can be made to send
 * (wrong lengths, two header lines, half a body), and every answer exactly as it came.
 */
import { once } from 'node:events'
import net from 'node:net'

export type Headers = readonly (readonly [name: string, value: string])[] | Readonly<Record<string, string | undefined>>

export interface Answer {
  readonly status: number
  /** Names in lower case; several lines of one name are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  /** The 1xx statuses that came before. */
  readonly interim: readonly number[]
  /** From the last byte of the request's head to the head of the answer. */
  readonly tookMs: number
}

interface Head {
  status: number
  headers: Record<string, string>
  length: number
}

const GIVE_UP_MS = 45_000

function listOf(headers: Headers): (readonly [string, string])[] {
  if (Array.isArray(headers)) return [...headers]
  return Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
}

function parseHead(text: string, length: number): Head {
  const [first = '', ...lines] = text.split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value
  }
  return { status: Number(first.split(' ')[1]), headers, length }
}

/** One connection. Requests may be written in pieces, cut, or pipelined; answers are read in order. */
export class Wire {
  readonly socket: net.Socket
  readonly #host: string
  /** What no answer has taken yet; put together only when it is looked into. */
  #pieces: Buffer[] = []
  #length = 0
  readonly #waiting = new Set<() => void>()
  #isClosed = false
  #sentAt = 0

  constructor(socket: net.Socket, host: string) {
    this.socket = socket
    this.#host = host
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      this.#pieces.push(chunk)
      this.#length += chunk.length
      this.#wake()
    })
    socket.on('end', () => this.#gone())
    socket.on('close', () => this.#gone())
  }

  get #received(): Buffer {
    const whole = this.#pieces.length === 1 ? this.#pieces[0] : undefined
    return whole ?? this.#keep(Buffer.concat(this.#pieces))
  }

  #keep(bytes: Buffer): Buffer {
    this.#pieces = [bytes]
    this.#length = bytes.length
    return bytes
  }

  static async open(origin: string): Promise<Wire> {
    const { hostname, port, host } = new URL(origin)
    const socket = net.connect({ host: hostname, port: Number(port), noDelay: true, allowHalfOpen: true })
    await once(socket, 'connect')
    return new Wire(socket, host)
  }

  #gone(): void {
    this.#isClosed = true
    this.#wake()
  }

  write(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    this.#sentAt = performance.now()
  }

  /** The head of a request; the body follows by {@link write}. */
  head(method: string, path: string, headers: Headers = {}, version = '1.1'): void {
    const list = listOf(headers)
    if (!list.some(([name]) => name.toLowerCase() === 'host')) list.unshift(['Host', this.#host])
    this.write(`${method} ${path} HTTP/${version}\r\n${list.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`)
  }

  chunk(bytes: string | Buffer): void {
    const data = Buffer.from(bytes)
    this.write(Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')]))
  }

  /** Breaks the connection with an RST, as a vanished client does. */
  cut(): void {
    this.socket.resetAndDestroy()
  }

  #wake(): void {
    for (const waiter of this.#waiting) waiter()
    this.#waiting.clear()
  }

  /** Until something comes, at most `ms`. */
  #news(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#waiting.add(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  async #until(ready: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + GIVE_UP_MS
    while (!ready()) {
      if (this.#isClosed) throw new Error(`connection closed while waiting for ${what}`)
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`no ${what} within ${GIVE_UP_MS} ms`)
      await this.#news(left)
    }
  }

  async #nextHead(): Promise<Head> {
    await this.#until(() => this.#received.includes('\r\n\r\n'), 'an answer')
    const end = this.#received.indexOf('\r\n\r\n')
    const head = parseHead(this.#received.toString('latin1', 0, end), end + 4)
    this.#keep(this.#received.subarray(head.length))
    return head
  }

  async #take(length: number): Promise<Buffer> {
    await this.#until(() => this.#length >= length, 'a body')
    const taken = this.#received.subarray(0, length)
    this.#keep(this.#received.subarray(length))
    return taken
  }

  async #chunked(): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (;;) {
      await this.#until(() => this.#received.includes('\r\n'), 'a chunk')
      const line = await this.#take(this.#received.indexOf('\r\n') + 2)
      const size = Number.parseInt(line.toString('latin1'), 16)
      const piece = await this.#take(size + 2)
      if (size === 0) return Buffer.concat(pieces)
      pieces.push(piece.subarray(0, size))
    }
  }

  async #body(method: string, head: Head): Promise<Buffer> {
    if (method === 'HEAD' || head.status === 204 || head.status === 304) return Buffer.alloc(0)
    if (head.headers['transfer-encoding'] === 'chunked') return this.#chunked()
    const length = head.headers['content-length']
    if (length !== undefined) return this.#take(Number(length))
    await this.#until(() => this.#isClosed, 'the end of the body')
    return this.#take(this.#length)
  }

  /** The next interim answer (1xx) alone: for Expect. */
  async interim(): Promise<number> {
    return (await this.#nextHead()).status
  }

  /** The next final answer to a request with this (wire) method. */
  async answer(method: string): Promise<Answer> {
    const interim: number[] = []
    for (;;) {
      const head = await this.#nextHead()
      if (head.status < 200) {
        interim.push(head.status)
        continue
      }
      const tookMs = performance.now() - this.#sentAt
      return { status: head.status, headers: head.headers, body: await this.#body(method, head), interim, tookMs }
    }
  }

  /** Resolves when the connection is closed by either side, however it ended. */
  get closed(): Promise<void> {
    return this.#until(() => this.#isClosed, 'the end of the connection').catch((error) => {
      this.socket.destroy()
      throw error
    })
  }

  /** Did bytes come that no answer has taken? (A body where none may be.) */
  get leftOver(): string {
    return this.#received.toString('latin1')
  }
}

/** One request on a connection of its own. A string body is latin1; Content-Length is added unless `headers` frame it. */
export async function send(
  origin: string,
  method: string,
  path: string,
  headers: Headers = {},
  body: string | Buffer | null = null,
): Promise<Answer> {
  const wire = await Wire.open(origin)
  try {
    const list = listOf(headers)
    const framed = list.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name))
    const bytes = body === null ? null : typeof body === 'string' ? Buffer.from(body, 'latin1') : body
    if (!framed && (bytes !== null || method === 'POST' || method === 'PATCH')) {
      list.push(['Content-Length', String(bytes?.length ?? 0)])
    }
    wire.head(method, path, list)
    if (bytes !== null && bytes.length > 0) wire.write(bytes)
    return await wire.answer(method)
  } finally {
    wire.socket.destroy()
  }
}
