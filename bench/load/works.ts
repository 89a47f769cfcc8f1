/** What the load generator can do to a server. Each returns the times of its requests in ms. */
import { once } from 'node:events'
import type { ClientRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { answerOf, create, head, openPatch, patch, repeatedly, someBytes } from './client.ts'

const KIB = 1024

/** Uploads of `bytes` each, in PATCHes of `patchBytes`, `parallel` at once. Times are those of the PATCHes. */
async function uploads(work: {
  url: string
  count: number
  parallel: number
  bytes: number
  patchBytes: number
}): Promise<number[]> {
  const times: number[] = []
  await repeatedly(work.count, work.parallel, async () => {
    const location = await create(work.url, work.bytes, false)
    for (let offset = 0; offset < work.bytes; offset += work.patchBytes) {
      const startedAt = performance.now()
      await patch(location, offset, Math.min(work.patchBytes, work.bytes - offset))
      times.push(performance.now() - startedAt)
    }
  })
  return times
}

/** Whole files in one POST, or in a POST and a PATCH. */
function files(work: {
  url: string
  count: number
  parallel: number
  bytes: number
  requests: 1 | 2
}): Promise<number[]> {
  return repeatedly(work.count, work.parallel, async () => {
    const location = await create(work.url, work.bytes, work.requests === 1)
    if (work.requests === 2) await patch(location, 0, work.bytes)
  })
}

function posts(work: { url: string; count: number; parallel: number }): Promise<number[]> {
  return repeatedly(work.count, work.parallel, () => create(work.url, 1024 * KIB, false))
}

/** Unfinished uploads with some bytes, for {@link heads}. */
const unfinished = new Map<string, string[]>()

async function prepareHeads(work: { url: string; count: number; restMs?: number }): Promise<number[]> {
  const locations: string[] = []
  await repeatedly(work.count, 4, async () => {
    const location = await create(work.url, 1024 * KIB, false)
    await patch(location, 0, 64 * KIB)
    locations.push(location)
  })
  unfinished.set(work.url, locations)
  await sleep(work.restMs ?? 0)
  return []
}

function heads(work: { url: string; count: number; parallel: number }): Promise<number[]> {
  const locations = unfinished.get(work.url) ?? []
  return repeatedly(work.count, work.parallel, (index) => head(locations[index % locations.length] ?? ''))
}

/** Uploads whose PATCH is open and waits for more bytes. */
interface Held {
  readonly path: string
  readonly patch: ClientRequest
}
const STORED = 512 * KIB
const GATHERED = 256 * KIB
let held: Held[] = []

/** Opens uploads with 512 KiB acknowledged, and 256 KiB more in a PATCH that does not end. */
async function hold(work: { url: string; count: number }): Promise<number[]> {
  held = await Promise.all(
    Array.from({ length: work.count }, async () => {
      const location = await create(work.url, 4096 * KIB, false)
      await patch(location, 0, STORED)
      const open = openPatch(location, STORED, 1024 * KIB)
      open.on('error', () => {})
      open.on('response', (response) => response.resume())
      open.write(someBytes(GATHERED))
      await once(open, 'socket')
      return { path: new URL(location).pathname, patch: open }
    }),
  )
  await sleep(250)
  return []
}

/**
 * Goes on with every held upload at `url` by an empty PATCH, again and again until it is taken. `keeps`: the bytes of
 * the open PATCH are there, too. Times are those until the answer.
 */
async function takeOver(work: { url: string; keeps: boolean }): Promise<number[]> {
  const startedAt = performance.now()
  const offset = STORED + (work.keeps ? GATHERED : 0)
  const one = async ({ path }: Held): Promise<number> => {
    for (let attempt = 0; attempt < 200; attempt++) {
      const req = openPatch(new URL(path, work.url).href, offset, 0)
      req.end()
      const { status } = await answerOf(req)
      if (status === 204) return performance.now() - startedAt
      if (status !== 423 && status !== 503) throw new Error(`takeover: ${status}`)
      await sleep(20)
    }
    throw new Error('takeover: refused for too long')
  }
  const times = await Promise.all(held.map(one))
  for (const { patch } of held) patch.destroy()
  return times
}

/** Many slow uploads at once; some stall after 64 KiB. Meanwhile uploads are created: times are those of the POSTs. */
async function slow(work: {
  url: string
  count: number
  bytesASecond: number
  seconds: number
  stalled: number
}): Promise<number[]> {
  const STEPS = 4
  const length = 1024 ** 3
  const open: ClientRequest[] = []
  await repeatedly(work.count, 8, async () => {
    const req = openPatch(await create(work.url, length, false), 0, length)
    req.on('error', () => {})
    req.on('response', (response) => response.resume())
    req.write(someBytes(64 * KIB))
    open.push(req)
  })
  const moving = open.slice(Math.round(work.count * work.stalled))
  const chunk = someBytes(work.bytesASecond / STEPS)
  const step = (): void => {
    for (const req of moving) if (req.writableLength < work.bytesASecond * 2) req.write(chunk)
  }
  const timer = setInterval(step, 1000 / STEPS)
  const times: number[] = []
  const until = performance.now() + work.seconds * 1000
  while (performance.now() < until) {
    times.push(...(await repeatedly(1, 1, () => create(work.url, 1024, false))))
    await sleep(50)
  }
  clearInterval(timer)
  for (const req of open) req.destroy()
  return times
}

export const WORKS = { uploads, files, posts, prepareHeads, heads, hold, takeOver, slow }

/** A work by its name, with what it is told. */
export type Work = {
  [Name in keyof typeof WORKS]: { readonly name: Name; readonly work: Parameters<(typeof WORKS)[Name]>[0] }
}[keyof typeof WORKS]
