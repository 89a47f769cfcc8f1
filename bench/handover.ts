/** Where the time of a hand-over goes, on a quiet holder and on one whose writes queue. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type S3Proxy, startS3Proxy } from '../test/support/s3-proxy.ts'
import { freshWorld } from '../test/support/service.ts'
import type { TestS3 } from '../test/support/services.ts'
import { answerOf, create, openPatch, patch, someBytes } from './load/client.ts'
import { Load } from './load/driver.ts'
import { type MeasuredServer, startOurs } from './servers.ts'

const KIB = 1024
const MIB = 1024 * KIB
const STORED = 512 * KIB
const GATHERED = 256 * KIB
const PART = 5 * MIB

/** So many writes at once, and so many that wait for them. */
export const QUEUED = 25
/** A part takes the store so long. */
const PART_MS = 4000

/** One hand-over, ms. */
export interface Handover {
  /** From asking until the store hears the flush: reading has stopped before it. */
  readonly stop: number
  /** From the store's last answer to the old holder until the new one answers. */
  readonly grant: number
  /** From asking to the answer. */
  readonly whole: number
}

export interface Handovers {
  readonly quiet: readonly Handover[]
  readonly queued: readonly Handover[]
}

/** Two instances on one world; the holder's store is behind a proxy that tells when it was asked and when it answered. */
export async function measureHandovers(s3: TestS3, samples: number): Promise<Handovers> {
  const world = await freshWorld(s3)
  const proxy = await startS3Proxy(s3.endpoint)
  const env = { CHUNK_SIZE: String(PART / 8) }
  const one = await startOurs(world, { ...env, S3_ENDPOINT: proxy.url }, true)
  const other = await startOurs(world, env, true)
  const crowd = new Load()
  try {
    for (let n = 0; n < 3; n++) await handover(one, other, proxy)
    const quiet = await several(samples, () => handover(one, other, proxy))
    proxy.before = async ({ operation }) => {
      if (operation === 'UploadPart') await sleep(PART_MS)
      return undefined
    }
    const rounds = Math.ceil((samples * 500) / PART_MS / 2) + 2
    const sizes = { count: 2 * QUEUED, parallel: 2 * QUEUED, bytes: rounds * PART, patchBytes: PART }
    const crowding = crowd.run({ name: 'uploads', work: { url: one.url, ...sizes } })
    await crowded(proxy)
    const queued = await several(samples, () => handover(one, other, proxy))
    await crowding
    return { quiet, queued }
  } finally {
    crowd.stop()
    await one.remove()
    await other.remove()
    await proxy.close()
    await world.remove()
  }
}

async function several(samples: number, take: () => Promise<Handover>): Promise<Handover[]> {
  const all: Handover[] = []
  while (all.length < samples) all.push(await take())
  return all
}

/** Every place for a write is taken; as many more uploads wait with theirs. */
async function crowded(proxy: S3Proxy): Promise<void> {
  for (const end = performance.now() + 30_000; performance.now() < end; await sleep(20)) {
    if (proxy.of('UploadPart').filter(({ endedAt }) => endedAt === undefined).length >= QUEUED) return
  }
  throw new Error('the writes do not queue')
}

async function handover(one: MeasuredServer, other: MeasuredServer, proxy: S3Proxy): Promise<Handover> {
  const location = await create(one.url, 4 * MIB, false)
  await patch(location, 0, STORED)
  const open = openPatch(location, STORED, MIB)
  open.on('error', () => {})
  open.on('response', (response) => response.resume())
  open.write(someBytes(GATHERED))
  await sleep(250)
  const { pathname } = new URL(location)
  const askedAt = performance.now()
  await takeOver(new URL(pathname, other.url).href)
  const answeredAt = performance.now()
  open.destroy()
  const id = pathname.split('/').at(-1) ?? ''
  const flush = proxy.of('PutObject').findLast(({ key }) => key.includes(id))
  if (flush?.endedAt === undefined) throw new Error('the holder stored nothing')
  return {
    stop: flush.startedAt - askedAt,
    grant: answeredAt - flush.endedAt,
    whole: answeredAt - askedAt,
  }
}

/** An empty PATCH, again and again until it is taken. */
async function takeOver(url: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const req = openPatch(url, STORED + GATHERED, 0)
    req.end()
    const { status } = await answerOf(req)
    if (status === 204) return
    if (status !== 423 && status !== 503) throw new Error(`hand-over: ${status}`)
    await sleep(20)
  }
  throw new Error('hand-over: refused for too long')
}
