/** A small tus server in memory that does one thing wrong, for programs that must notice it. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** What it does wrong; none: it is right. */
export type Fault =
  | 'none'
  | 'wrong byte in downloads'
  | 'wrong sha256 in records'
  | 'fails some PATCHes'
  | 'fails every PATCH'
  | 'slow creations'
  | 'forgets bytes after a break'
  | 'claims more than came'
  | 'never answers HEAD'
  | 'shorter than it says'

export interface FaultyServer {
  readonly url: string
  close(): Promise<void>
}

interface Stored {
  readonly length: number
  bytes: Buffer
}

const PATH = '/api/v1/uploads'
const TUS = { 'Tus-Resumable': '1.0.0', 'Tus-Version': '1.0.0' }
const SLOW_MS = 400

class Server {
  readonly uploads = new Map<string, Stored>()
  readonly fault: Fault
  patches = 0

  constructor(fault: Fault) {
    this.fault = fault
  }

  async answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const [id = '', view] = (req.url ?? '').slice(PATH.length + 1).split('/')
    if (req.method === 'OPTIONS') return end(res, 204)
    if (req.method === 'POST') return this.create(req, res)
    const upload = this.uploads.get(id)
    if (upload === undefined) return end(res, 404)
    if (req.method === 'HEAD') return this.head(res, upload)
    if (req.method === 'PATCH') return this.append(req, res, upload)
    if (req.method === 'DELETE') {
      this.uploads.delete(id)
      return end(res, 204)
    }
    if (view === 'info') return this.info(res, upload)
    return this.download(res, upload)
  }

  async create(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (this.fault === 'slow creations') await sleep(SLOW_MS)
    const id = String(this.uploads.size + 1) + Math.random().toString(36).slice(2)
    this.uploads.set(id, { length: Number(req.headers['upload-length']), bytes: Buffer.alloc(0) })
    end(res, 201, { Location: `${PATH}/${id}` })
  }

  head(res: ServerResponse, { bytes, length }: Stored): void {
    if (this.fault === 'never answers HEAD') return
    const whole = bytes.length === length
    let offset = bytes.length
    if (this.fault === 'forgets bytes after a break' && !whole) offset = 0
    if (this.fault === 'claims more than came' && !whole) offset = length
    end(res, 200, { 'Upload-Offset': offset, 'Upload-Length': length })
  }

  async append(req: IncomingMessage, res: ServerResponse, upload: Stored): Promise<void> {
    this.patches += 1
    const fails = this.fault === 'fails every PATCH' || (this.fault === 'fails some PATCHes' && this.patches % 7 === 0)
    if (Number(req.headers['upload-offset']) !== upload.bytes.length) return end(res, 409)
    try {
      for await (const data of req) if (!fails) upload.bytes = Buffer.concat([upload.bytes, data])
    } catch {
      return // the client cut it: what came is kept
    }
    if (fails) return end(res, 500, {}, 'internal: seeded')
    end(res, 204, { 'Upload-Offset': upload.bytes.length })
  }

  info(res: ServerResponse, { bytes, length }: Stored): void {
    const sha256 = createHash('sha256').update(bytes)
    if (this.fault === 'wrong sha256 in records') sha256.update('!')
    end(res, 200, { 'Content-Type': 'application/json' }, JSON.stringify({ length, sha256: sha256.digest('hex') }))
  }

  download(res: ServerResponse, { bytes }: Stored): void {
    const sent = Buffer.from(bytes)
    if (this.fault === 'wrong byte in downloads')
      sent.writeUInt8(sent.readUInt8(sent.length >> 1) ^ 1, sent.length >> 1)
    end(res, 200, {}, this.fault === 'shorter than it says' ? sent.subarray(1) : sent)
  }
}

function end(res: ServerResponse, status: number, headers: object = {}, body: string | Buffer = ''): void {
  res.writeHead(status, { ...TUS, ...headers }).end(body)
}

/** Starts one on a free port of 127.0.0.1. */
export async function startFaultyServer(fault: Fault): Promise<FaultyServer> {
  const server = new Server(fault)
  const http = createServer((req, res) => {
    server.answer(req, res).catch(() => res.destroy())
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const address = http.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: async () => {
      http.closeAllConnections()
      http.close()
      await once(http, 'close')
    },
  }
}
