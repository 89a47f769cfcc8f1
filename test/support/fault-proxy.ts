import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a request of the store meets instead of the store. */
export type Fault =
  /** This answer, after the body was read. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly body?: string
      readonly headers?: Record<string, string>
    }
  /** This answer before the body is read, and the connection closed. */
  | { readonly kind: 'refuse'; readonly status: number; readonly body?: string }
  /** The connection is reset when the body was read; the store never hears of it. */
  | { readonly kind: 'reset' }
  /** The store applies it, and its answer is lost with the connection. */
  | { readonly kind: 'lose-answer' }
  /** The body is read, and nothing is ever answered. */
  | { readonly kind: 'stall' }
  /** The store's answer passes until `bytes` of its body did; then nothing follows, or the connection is reset. */
  | { readonly kind: 'half-answer'; readonly bytes: number; readonly then: 'stall' | 'reset' }

/** A request as the proxy saw it. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  /** Bytes of the body, where the proxy read it. */
  body: Buffer
}

/** An HTTP proxy before a store that does to each request what `decide` says; null: passes it on. */
export class FaultProxy {
  readonly seen: Seen[] = []
  /** Called for each request in turn; `index` counts the requests since the last `plan`. */
  #decide: (seen: Seen, index: number) => Fault | null = () => null
  #count = 0
  readonly #server: Server
  readonly #target: string

  constructor(target: string) {
    this.#target = target
    this.#server = createServer((req, res) => void this.#serve(req, res).catch(() => req.socket.destroy()))
  }

  /** Starts it. Returns its address, `http://127.0.0.1:port`. */
  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const { port } = this.#server.address() as AddressInfo
    return `http://127.0.0.1:${port}`
  }

  /** From now on: the first requests meet these faults in order, all others pass. Forgets what it saw. */
  plan(...faults: readonly (Fault | null)[]): void {
    this.decide((_, index) => faults[index] ?? null)
  }

  /** From now on every request meets what `decide` says. Forgets what it saw. */
  decide(decide: (seen: Seen, index: number) => Fault | null): void {
    this.#decide = decide
    this.#count = 0
    this.seen.length = 0
  }

  /** Connections that clients hold open. */
  connections(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
    })
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const seen: Seen = { method: req.method ?? '', url: req.url ?? '', headers: req.headers, body: Buffer.alloc(0) }
    this.seen.push(seen)
    const fault = this.#decide(seen, this.#count++)
    if (fault?.kind === 'refuse') {
      res.writeHead(fault.status, { connection: 'close' }).end(fault.body)
      return
    }
    seen.body = await readBody(req)
    if (fault === null || fault.kind === 'lose-answer' || fault.kind === 'half-answer') {
      const answer = await this.#forward(seen, req)
      if (fault === null) res.writeHead(answer.status, answer.headers).end(answer.body)
      else if (fault.kind === 'lose-answer') req.socket.resetAndDestroy()
      else {
        res.writeHead(answer.status, answer.headers)
        res.write(answer.body.subarray(0, fault.bytes), () => fault.then === 'reset' && req.socket.resetAndDestroy())
      }
    } else if (fault.kind === 'reset') req.socket.resetAndDestroy()
    else if (fault.kind === 'answer') res.writeHead(fault.status, fault.headers).end(fault.body)
  }

  async #forward(seen: Seen, req: IncomingMessage): Promise<{ status: number; headers: string[]; body: Buffer }> {
    const { hostname, port } = new URL(this.#target)
    // `host` stays what the client signed.
    const onward = request({
      hostname,
      port,
      method: seen.method,
      path: seen.url,
      headers: req.rawHeaders,
      agent: false,
    })
    onward.end(seen.body)
    const [answer]: IncomingMessage[] = await once(onward, 'response')
    if (!answer) throw new Error('no answer')
    return { status: answer.statusCode ?? 0, headers: answer.rawHeaders, body: await readBody(answer) }
  }
}

async function readBody(from: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of from) chunks.push(chunk)
  return Buffer.concat(chunks)
}
