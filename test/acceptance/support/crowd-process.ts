/**
 * Many slow clients in a process of their own, so that their memory and their turns are nobody else's. Told by messages
 * ({@link CrowdOrder}); answers each with a {@link CrowdReport}.
 */
import { once } from 'node:events'
import type net from 'node:net'
import { patchHeaders, Tus } from './tus.ts'
import { send, Wire } from './wire.ts'

export interface CrowdOrder {
  readonly origin: string
  readonly count: number
  /** So many of them send only their first bytes and then stand still. */
  readonly stalled: number
  readonly bytesASecond: number
  /** What each sends at once when it begins. */
  readonly firstBytes: number
  readonly seconds: number
}

export interface CrowdReport {
  /** Paths of those that stalled, and of those that kept sending. */
  readonly stalled: readonly string[]
  readonly moving: readonly string[]
  /** What the moving ones wrote in all, beyond their first bytes. */
  readonly sentBytes: number
  /** How long each small file took that was sent meanwhile, ms. */
  readonly smallMs: readonly number[]
  /** What went wrong: answers that nobody waits for, connections that broke, small files that were refused. */
  readonly faults: readonly string[]
}

const LENGTH = 1024 ** 3
const STEPS_A_SECOND = 4
const SMALL_EVERY_MS = 50
const SMALL_BYTES = 10 * 1024
const OPENED_AT_ONCE = 16
const BYTES = Buffer.alloc(1024 * 1024, 'crowd of bytes ')

interface Client {
  readonly path: string
  readonly socket: net.Socket
}

async function openAll(order: CrowdOrder, faults: string[]): Promise<Client[]> {
  const tus = new Tus(order.origin)
  const clients: Client[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < order.count) {
      next++
      const path = await tus.create({ length: LENGTH })
      const wire = await Wire.open(order.origin)
      wire.socket.on('data', (chunk) => void faults.push(`${path}: ${chunk.toString('latin1').slice(0, 200)}`))
      wire.socket.on('close', () => void faults.push(`${path}: closed`))
      wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': String(LENGTH) }))
      wire.write(BYTES.subarray(0, order.firstBytes))
      clients.push({ path, socket: wire.socket })
    }
  }
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, lane))
  return clients
}

/** Each sends a quarter of a second's bytes four times a second, not all of them at the same moment. */
function trickle(moving: readonly Client[], bytesASecond: number, sent: (bytes: number) => void): () => void {
  const piece = BYTES.subarray(0, bytesASecond / STEPS_A_SECOND)
  const groups = Math.min(25, moving.length)
  let turn = 0
  const timer = setInterval(
    () => {
      for (let index = turn % groups; index < moving.length; index += groups) {
        const socket = moving[index]?.socket
        if (!socket || socket.destroyed || socket.writableLength > bytesASecond) continue
        socket.write(piece)
        sent(piece.length)
      }
      turn++
    },
    1000 / STEPS_A_SECOND / groups,
  )
  return () => clearInterval(timer)
}

/** Small files, one after another, until it is over. */
async function smallFiles(origin: string, until: number, times: number[], faults: string[]): Promise<void> {
  const headers = {
    'Tus-Resumable': '1.0.0',
    'Upload-Length': String(SMALL_BYTES),
    'Content-Type': 'application/offset+octet-stream',
  }
  while (performance.now() < until) {
    const startedAt = performance.now()
    const answer = await send(origin, 'POST', '/api/v1/uploads', headers, BYTES.subarray(0, SMALL_BYTES))
    times.push(performance.now() - startedAt)
    if (answer.status !== 201) faults.push(`a small file: ${answer.status} ${answer.body}`)
    await new Promise((resolve) => setTimeout(resolve, SMALL_EVERY_MS))
  }
}

async function run(order: CrowdOrder): Promise<CrowdReport> {
  const faults: string[] = []
  const clients = await openAll(order, faults)
  process.send?.('open')
  const stalled = clients.slice(0, order.stalled)
  const moving = clients.slice(order.stalled)
  let sentBytes = 0
  const stop = trickle(moving, order.bytesASecond, (bytes) => {
    sentBytes += bytes
  })
  const smallMs: number[] = []
  await smallFiles(order.origin, performance.now() + order.seconds * 1000, smallMs, faults)
  stop()
  const report = {
    stalled: stalled.map(({ path }) => path),
    moving: moving.map(({ path }) => path),
    sentBytes,
    smallMs,
    faults: [...faults],
  }
  await Promise.all(
    clients.map(async ({ socket }) => {
      if (socket.destroyed) return
      socket.destroy()
      await once(socket, 'close')
    }),
  )
  return report
}

process.once('message', (order: CrowdOrder) => {
  run(order).then(
    (report) => process.send?.(report),
    (error: Error) =>
      process.send?.({ stalled: [], moving: [], sentBytes: 0, smallMs: [], faults: [String(error.stack)] }),
  )
})
