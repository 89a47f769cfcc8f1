/** What the balancer and the S3 proxy share: passing one HTTP exchange on over a connection of its own. */
import { once } from 'node:events'
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection'])

/** Header lines as they came (order, case and doubles kept) without those that belong to one connection. */
function endToEnd(rawHeaders: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    if (!HOP_BY_HOP.has(name.toLowerCase())) kept.push(name, rawHeaders[i + 1] ?? '')
  }
  return kept
}

/** Opens a connection to `target` for one request; fails when it is refused, before anything of the request is used. */
export async function openUpstream(req: IncomingMessage, target: URL): Promise<ClientRequest> {
  const upstream = request({
    host: target.hostname,
    port: target.port,
    method: req.method ?? 'GET',
    path: req.url ?? '/',
    headers: [...endToEnd(req.rawHeaders), 'Connection', 'close'],
    agent: false,
  })
  // Whoever waits for the answer hears of a failure there; one that comes later has no listener and must not be fatal.
  upstream.on('error', () => {})
  const [socket] = (await once(upstream, 'socket')) as [Socket]
  if (socket.connecting) await once(socket, 'connect')
  return upstream
}

/**
 * Breaks a connection the hard way, with an RST, as a pulled cable or a killed process would show. One that is just
 * sending its FIN cannot be reset (EINVAL), and Node 24 then keeps its handle for ever: the process never ends.
 */
export function breakOff(socket: Socket | null | undefined): void {
  if (!socket || socket.destroyed) return
  if (socket.writableEnded && !socket.writableFinished) socket.destroy()
  else socket.resetAndDestroy()
}

/** Resolves with the answer's head; interim answers (100, 104) are passed to the client as they come. */
export function answerOf(upstream: ClientRequest, res: ServerResponse): Promise<IncomingMessage> {
  upstream.on('continue', () => res.writeContinue())
  upstream.on('information', ({ statusCode, rawHeaders }) => {
    if (statusCode === 100 || res.headersSent) return
    const lines: string[] = []
    for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`)
    res.socket?.write(`HTTP/1.1 ${statusCode} Interim\r\n${lines.join('')}\r\n`)
  })
  return new Promise((resolve, reject) => {
    upstream.once('response', resolve)
    upstream.on('error', reject)
    upstream.once('close', () => reject(new Error('closed without an answer')))
  })
}

/** Passes an answer's head and body to the client; a body that ends early breaks the client's connection too. */
export async function passAnswer(answer: IncomingMessage, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const closes = /\bclose\b/i.test(answer.headers.connection ?? '') && !req.complete
  const headers = endToEnd(answer.rawHeaders)
  res.writeHead(answer.statusCode ?? 502, closes ? [...headers, 'Connection', 'close'] : headers)
  res.flushHeaders()
  answer.once('error', () => breakOff(res.socket))
  answer.pipe(res)
  await Promise.race([once(res, 'close'), once(res, 'finish')])
}

/** An HTTP server on a free loopback port that leaves timeouts and `Expect` to the one behind it. */
export async function listenRelay(
  handle: (req: IncomingMessage, res: ServerResponse) => void,
): Promise<{ url: string; server: Server; close: () => Promise<void> }> {
  const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0, headersTimeout: 0, noDelay: true }, handle)
  server.on('checkContinue', handle)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return { url: `http://127.0.0.1:${port}`, server, close }
}
