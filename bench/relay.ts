/**
 * The measure of all ratios: what Node itself needs to take bytes in and send them on. Up to 8 MiB gathered from the
 * request's own stream, CRC-32, one signed PUT; no protocol, no state, nothing durable but the bytes.
 */
import { randomUUID } from 'node:crypto'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { crc32 } from 'node:zlib'
import { amzDate, Signer, UNSIGNED_PAYLOAD } from '../server/storage/s3/sign.ts'
import { storeFromEnvironment } from './store.ts'

const PIECE = 8 * 1024 * 1024
const IN_FLIGHT = 4
const store = storeFromEnvironment()
const { hostname, port, host } = new URL(store.endpoint)
const agent = new Agent({ keepAlive: true })
const signer = new Signer(store.region)

function put(chunks: readonly Buffer[], length: number, crc: number): Promise<void> {
  const path = `/${store.bucket}/${randomUUID()}`
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc)
  const date = amzDate(Date.now())
  const headers = ['host', host, 'x-amz-checksum-crc32', sum.toString('base64')]
  headers.push('x-amz-content-sha256', UNSIGNED_PAYLOAD, 'x-amz-date', date)
  const parts = { method: 'PUT', path, query: '', headers, payloadHash: UNSIGNED_PAYLOAD }
  headers.push('authorization', signer.sign(store, date, parts), 'content-length', String(length))
  return new Promise((resolve, reject) => {
    const req = request({ agent, host: hostname, port, method: 'PUT', path, headers }, (res) => {
      res.resume()
      res.on('end', () => (res.statusCode === 200 ? resolve() : reject(new Error(`PUT: ${res.statusCode}`))))
    })
    req.on('error', reject)
    for (const chunk of chunks) req.write(chunk)
    req.end()
  })
}

/** Sends a body on, piece by piece; resolves with its length once all of it is stored. */
function relay(body: IncomingMessage): Promise<number> {
  return new Promise((resolve, reject) => {
    let [chunks, length, crc, total, inFlight, ended]: [Buffer[], number, number, number, number, boolean] = [
      [],
      0,
      0,
      0,
      0,
      false,
    ]
    const send = (): void => {
      inFlight++
      if (inFlight >= IN_FLIGHT) body.pause()
      put(chunks, length, crc).then(() => {
        inFlight--
        if (ended && inFlight === 0) resolve(total)
        else body.resume()
      }, reject)
      chunks = []
      length = 0
      crc = 0
    }
    body.on('data', (chunk: Buffer) => {
      const room = PIECE - length
      const head = chunk.length > room ? chunk.subarray(0, room) : chunk
      chunks.push(head)
      length += head.length
      crc = crc32(head, crc)
      total += chunk.length
      if (length < PIECE) return
      send()
      if (head === chunk) return
      const rest = chunk.subarray(room)
      chunks.push(rest)
      length = rest.length
      crc = crc32(rest)
    })
    body.on('end', () => {
      ended = true
      if (length > 0) send()
      else if (inFlight === 0) resolve(total)
    })
    body.on('error', reject)
  })
}

async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const version = { 'Tus-Resumable': '1.0.0' }
  if (req.method === 'HEAD') {
    res.writeHead(200, { ...version, 'Upload-Offset': '0', 'Upload-Length': '0', 'Cache-Control': 'no-store' }).end()
    return
  }
  const bytes = await relay(req)
  const offset = String(Number(req.headers['upload-offset'] ?? 0) + bytes)
  const created = req.method === 'POST'
  const location = created ? { Location: `/files/${randomUUID()}`, 'Content-Length': 0 } : {}
  res.writeHead(created ? 201 : 204, { ...version, 'Upload-Offset': offset, ...location }).end()
}

const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (req, res) => {
  if (req.url === '/readyz') return void res.end()
  handle(req, res).catch(() => req.destroy())
})
server.listen(Number(process.env.PORT), '127.0.0.1')
process.on('SIGTERM', () => process.exit(0))
