import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { UploadError } from '../uploads/errors.ts'
import { answerParserFailure } from './client-error.ts'
import { announcesBody, answerEarly, EARLY_ANSWER_LIMITS, type EarlyAnswerLimits } from './early-answer.ts'
import { sendFailure } from './send-failure.ts'

/** Requests that may wait on one connection; Node itself sets no limit. */
const MAX_PIPELINED = 100

export type RequestListener = (req: IncomingMessage, res: ServerResponse) => unknown

export interface HttpServerOptions {
  /** Longest header section, bytes. */
  readonly maxHeaderBytes: number
  /** Most header lines. */
  readonly maxHeaderCount?: number
  readonly headersTimeoutMs?: number
  /** Longer than the balancer's, so that the side that opens connections also closes them. */
  readonly keepAliveTimeoutMs?: number
  readonly earlyAnswer?: EarlyAnswerLimits
}

export interface HttpServer {
  readonly server: Server
  /** Resolves with the port once it listens; rejects when it cannot. */
  listen(port: number, host: string): Promise<number>
  /** Stops accepting; idle connections end, and every answer from now on ends its connection. */
  drain(): void
  /** Drains, waits for running requests at most `graceMs`, then destroys what is left. Resolves when all are closed. */
  close(graceMs: number): Promise<void>
}

/**
 * The HTTP server around `app`. A body may take as long as it flows: there is no limit on a whole request, the engine
 * watches for bodies that stand still. Requests of one connection are handled one after another, as Node does.
 */
export function createHttpServer(app: RequestListener, options: HttpServerOptions): HttpServer {
  const limits = options.earlyAnswer ?? EARLY_ANSWER_LIMITS
  const maxHeaderCount = options.maxHeaderCount ?? 1000
  const running = new Set<ServerResponse>()
  const latest = new WeakMap<Socket, ServerResponse>()
  const waiting = new WeakMap<Socket, number>()
  let draining = false

  const accept = (req: IncomingMessage, res: ServerResponse): void => {
    running.add(res)
    latest.set(req.socket, res)
    res.once('close', () => {
      running.delete(res)
      if (latest.get(req.socket) === res) latest.delete(req.socket)
    })
    if (draining) res.shouldKeepAlive = false
    if (announcesBody(req)) answerEarly(req, res, limits)
  }
  const answer = (req: IncomingMessage, res: ServerResponse): void => {
    const lines = req.rawHeaders.length / 2
    if (lines <= maxHeaderCount) {
      app(req, res)
      return
    }
    const message = `The request has ${lines} header lines; at most ${maxHeaderCount} are taken.`
    sendFailure(req, res, new UploadError('headers_too_large', message))
  }
  // Node hands over a pipelined request while the one before it still runs, and only keeps the answers in order. Two
  // PATCHes of one connection would then compete for one upload, so the second starts when the first is answered.
  const serve = (req: IncomingMessage, res: ServerResponse): void => {
    const before = latest.get(req.socket)
    accept(req, res)
    if (before === undefined) {
      answer(req, res)
      return
    }
    const queued = (waiting.get(req.socket) ?? 0) + 1
    waiting.set(req.socket, queued)
    if (queued > MAX_PIPELINED) req.socket.destroy()
    before.once('close', () => {
      waiting.set(req.socket, (waiting.get(req.socket) ?? 1) - 1)
      // Node tells only the response that has the socket; those behind it are told here.
      if (req.socket.destroyed) res.emit('close')
      else answer(req, res)
    })
  }

  const server = createServer({
    maxHeaderSize: options.maxHeaderBytes,
    requestTimeout: 0,
    headersTimeout: options.headersTimeoutMs ?? 30_000,
    keepAliveTimeout: options.keepAliveTimeoutMs ?? 65_000,
    connectionsCheckingInterval: 5_000,
  })
  // Node drops lines past this count in silence; all of them are wanted, to be counted.
  server.maxHeadersCount = 0
  // A client that closes its side after the last byte still gets its answer (Node knows this, and does not document it).
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on('request', serve)
  // The same app: it says `100 Continue` when the first byte of the body is wanted, or answers without.
  server.on('checkContinue', serve)
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => {
    accept(req, res)
    const message = `Expect: ${String(req.headers.expect).slice(0, 60)} is not known here; send 100-continue or nothing.`
    sendFailure(req, res, new UploadError('expectation_failed', message))
  })
  const refused = new WeakSet<Socket>()
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (!(socket instanceof Socket) || refused.has(socket)) return
    refused.add(socket)
    const current = latest.get(socket)
    const refuse = (): void => answerParserFailure(error, socket, limits)
    // A request that was whole is answered first. One that broke in its body may have an answer on its way: a second
    // one would be taken for the next.
    if (current?.req.complete) current.once('close', refuse)
    else if (current?.headersSent) socket.destroy()
    else refuse()
  })

  const drain = (): void => {
    if (draining) return
    draining = true
    for (const res of running) if (!res.headersSent) res.shouldKeepAlive = false
    if (server.listening) server.close()
  }
  return {
    server,
    listen: (port, host) => listen(server, port, host),
    drain,
    close: (graceMs) => {
      drain()
      return closed(server, graceMs)
    },
  }
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}

/** `close` is emitted when the last connection has ended. */
async function closed(server: Server, graceMs: number): Promise<void> {
  const connections = await new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)))
  if (connections === 0) return
  const gone = new Promise<void>((resolve) => server.once('close', () => resolve()))
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  await gone
  clearTimeout(timer)
}
