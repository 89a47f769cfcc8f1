import { once } from 'node:events'
import { type AddressInfo, createServer, connect as openSocket, type Socket } from 'node:net'

/** A TCP proxy in front of Postgres that a test takes away and brings back, and that counts round trips. */
export interface PostgresProxy {
  /** The database's URL, through the proxy. */
  readonly url: string
  /** ReadyForQuery messages so far: one ends each round trip. */
  roundTrips(): number
  /** Breaks all connections and refuses new ones. */
  down(): Promise<void>
  up(): Promise<void>
  /** Connections stay, and nothing passes any more. New ones are accepted and hear nothing. */
  freeze(): void
  close(): Promise<void>
}

/** Begins down: nothing listens on its port until `up`. */
export async function postgresProxy(databaseUrl: string): Promise<PostgresProxy> {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  let frozen = false
  let readies = 0
  const server = createServer((client) => {
    const upstream = openSocket(Number(target.port || 5432), target.hostname)
    const count = readyCounter(() => {
      readies += 1
    })
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.on('data', (chunk) => {
        if (frozen) return
        if (from === upstream) count(chunk)
        to.write(chunk)
      })
    }
  })
  const port = await freePort()
  const down = async (): Promise<void> => {
    frozen = false
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  const url = new URL(databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String(port)
  return {
    url: url.href,
    roundTrips: () => readies,
    down,
    async up() {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
    freeze() {
      frozen = true
    },
    close: down,
  }
}

/** Follows the backend's messages (a type byte, then a length that counts itself) and tells of each ReadyForQuery. */
function readyCounter(onReady: () => void): (chunk: Buffer) => void {
  let pending = Buffer.alloc(0)
  return (chunk) => {
    pending = Buffer.concat([pending, chunk])
    while (pending.length >= 5) {
      const end = 1 + pending.readUInt32BE(1)
      if (pending.length < end) return
      if (pending[0] === 'Z'.charCodeAt(0)) onReady()
      pending = pending.subarray(end)
    }
  }
}

async function freePort(): Promise<number> {
  const probe = createServer()
  probe.listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
