import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { chunked } from '../contract.ts'
import { Wire, type WireAnswer, type WireOptions } from './wire.ts'

const MIB = 1024 * 1024

/** A server that does `serve`, and a wire to it, for the time of `act`. */
async function withWire(
  serve: RequestListener,
  options: Partial<WireOptions>,
  act: (put: (bytes: Buffer) => Promise<WireAnswer>) => Promise<void>,
): Promise<void> {
  const server = createServer(serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = new URL(`http://127.0.0.1:${port}`)
  const wire = new Wire({ url, maxSockets: 1, requestTimeoutMs: 10_000, connectTimeoutMs: 5_000, ...options })
  try {
    await act((bytes) => {
      const headers = ['host', url.host, 'content-length', String(bytes.length)]
      return wire.put({ path: '/b/k', headers, body: chunked(bytes, 20_000).body, signal: undefined })
    })
  } finally {
    wire.close()
    server.close()
    server.closeAllConnections()
  }
}

async function bodyOf(req: IncomingMessage, afterMiB: () => Promise<void> = async () => {}): Promise<Buffer> {
  const chunks: Buffer[] = []
  let since = 0
  for await (const chunk of req) {
    chunks.push(chunk)
    since += chunk.length
    if (since < MIB) continue
    since = 0
    await afterMiB()
  }
  return Buffer.concat(chunks)
}

for (const batchBytes of [Number.POSITIVE_INFINITY, 256 * 1024, 1]) {
  test(`a body arrives as it is, handed over ${batchBytes} bytes at a time`, async () => {
    const bytes = randomBytes(3 * MIB + 17)
    const got: Buffer[] = []
    const serve: RequestListener = async (req, res) => {
      got.push(await bodyOf(req))
      res.setHeader('etag', '"e"').end()
    }
    await withWire(serve, { batchBytes }, async (put) => {
      for (const body of [bytes, Buffer.alloc(0), bytes]) {
        const answer = await put(body)
        assert.equal(answer.status, 200)
        assert.equal(answer.headers.etag, '"e"')
      }
    })
    assert.ok(got[0]?.equals(bytes) && got[1]?.length === 0 && got[2]?.equals(bytes))
  })
}

test('one connection serves request after request', async () => {
  const ports = new Set<number | undefined>()
  const serve: RequestListener = async (req, res) => {
    ports.add(req.socket.remotePort)
    await bodyOf(req)
    res.end()
  }
  await withWire(serve, {}, async (put) => {
    for (let i = 0; i < 10; i++) await put(randomBytes(5_000))
  })
  assert.equal(ports.size, 1)
})

test('a request that only is slow is not cut: the time limit is one without progress', async () => {
  const serve: RequestListener = async (req, res) => {
    await bodyOf(req, () => new Promise((resolve) => setTimeout(resolve, 70)))
    res.end()
  }
  await withWire(serve, { requestTimeoutMs: 1_500 }, async (put) => {
    const begun = performance.now()
    assert.equal((await put(Buffer.alloc(32 * MIB))).status, 200)
    assert.ok(performance.now() - begun > 1_500)
  })
})

test('an answer before the end of the body is the answer, and its connection is not used again', async () => {
  let requests = 0
  const serve: RequestListener = async (req, res) => {
    requests++
    if (requests === 1) res.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>')
    else {
      await bodyOf(req)
      res.end()
    }
  }
  await withWire(serve, { batchBytes: 64 * 1024 }, async (put) => {
    const answer = await put(randomBytes(64 * MIB))
    assert.equal(answer.status, 403)
    assert.match(answer.body, /AccessDenied/)
    assert.equal((await put(randomBytes(1_000))).status, 200)
  })
})
