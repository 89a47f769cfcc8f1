/** Resident memory under many slow uploads, and what creating one takes meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestS3 } from '../test/support/services.ts'
import type { Load } from './load/driver.ts'
import { forgetPeak, residentMiB } from './process-figures.ts'
import { type ServerName, startServer } from './servers.ts'

/** One server under slow uploads; MiB and ms. */
export interface SlowFigures {
  readonly server: ServerName
  readonly idle: number
  /** The mean of the middle third of the time, and of the last. */
  readonly middle: number
  readonly end: number
  readonly peak: number
  readonly posts: readonly number[]
}

export interface SlowLoad {
  readonly count: number
  readonly bytesASecond: number
  readonly seconds: number
  /** The share that stops after 64 KiB. */
  readonly stalled: number
}

const SAMPLE_MS = 200
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** A fresh process, so that nothing is left of other works. Ours is told a limit of 512 MiB. */
export async function measureSlow(name: ServerName, s3: TestS3, load: Load, slow: SlowLoad): Promise<SlowFigures> {
  const server = await startServer(name, s3, { MEMORY_LIMIT_MB: '512' })
  try {
    await load.run({ name: 'posts', work: { url: server.url, count: 50, parallel: 4 } })
    const { now: idle } = await residentMiB(server.pid)
    await forgetPeak(server.pid)
    const samples: number[] = []
    let running = true
    const watching = (async () => {
      while (running) {
        samples.push((await residentMiB(server.pid)).now)
        await sleep(SAMPLE_MS)
      }
    })()
    const posts = await load.run({ name: 'slow', work: { url: server.url, ...slow } }).finally(() => {
      running = false
    })
    await watching
    const third = Math.floor(samples.length / 3)
    const { peak } = await residentMiB(server.pid)
    return {
      server: name,
      idle,
      middle: mean(samples.slice(third, 2 * third)),
      end: mean(samples.slice(2 * third)),
      peak,
      posts,
    }
  } finally {
    await server.remove()
  }
}
