/** An HTTP proxy between a client and the service that writes down what each request said and sent. */
import http from 'node:http'
import type { Socket } from 'node:net'

export interface Recorded {
  readonly method: string
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  /** Bytes of the request's body that came from the client. */
  sent: number
  status: number | null
  answer: http.IncomingHttpHeaders
}

export interface Recorder {
  readonly origin: string
  readonly requests: readonly Recorded[]
  /** Called before a request is passed on; true: cut the client's connection after that many bytes of the body. */
  onRequest: (request: Recorded) => { readonly cutAfter: number } | null
  /** Cuts every connection that is open now. */
  cutAll(): void
  close(): Promise<void>
}

export async function recorderTo(origins: () => string): Promise<Recorder> {
  const requests: Recorded[] = []
  const sockets = new Set<Socket>()
  const recorder = { onRequest: (_: Recorded): { cutAfter: number } | null => null }

  const server = http.createServer((req, res) => {
    const record: Recorded = {
      method: req.method ?? '',
      path: req.url ?? '',
      headers: req.headers,
      sent: 0,
      status: null,
      answer: {},
    }
    requests.push(record)
    const plan = recorder.onRequest(record)
    const { hostname, port } = new URL(origins())
    const onward = http.request(
      { hostname, port, method: req.method ?? 'GET', path: req.url ?? '/', headers: req.headers, agent: false },
      (answer) => {
        record.status = answer.statusCode ?? null
        record.answer = answer.headers
        res.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
        answer.pipe(res)
      },
    )
    onward.on('error', () => req.socket.destroy())
    req.on('error', () => onward.destroy())
    res.on('close', () => onward.destroy())
    req.on('data', (chunk: Buffer) => {
      record.sent += chunk.length
      if (plan && record.sent >= plan.cutAfter) req.socket.destroy()
    })
    req.pipe(onward)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the recorder has no port')

  return Object.assign(recorder, {
    origin: `http://127.0.0.1:${address.port}`,
    requests,
    cutAll: () => {
      for (const socket of sockets) socket.destroy()
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  })
}

/** The requests of one method, in order. */
export function ofMethod(recorder: Recorder, method: string): Recorded[] {
  return recorder.requests.filter((request) => request.method === method)
}
