/** What a second process of one instance brings: the same work on WORKERS=1 and WORKERS=2, in turns. */
import { freshWorld } from '../test/support/service.ts'
import type { TestS3 } from '../test/support/services.ts'
import type { Load } from './load/driver.ts'
import type { Work } from './load/works.ts'
import { startOurs } from './servers.ts'

/** Throughput of one work, a figure a round. */
export interface WorkersFigures {
  readonly work: string
  readonly unit: string
  readonly one: readonly number[]
  readonly two: readonly number[]
}

const MIB = 1024 * 1024

interface Measure {
  readonly title: string
  readonly unit: string
  /** How much one run does, in the unit without "/s". */
  readonly amount: number
  work(url: string): Work
}

const MEASURES: readonly Measure[] = [
  {
    title: '10 KiB files in one POST, 32 at once',
    unit: 'uploads/s',
    amount: 1500,
    work: (url) => ({ name: 'files', work: { url, count: 1500, parallel: 32, bytes: 10_240, requests: 1 } }),
  },
  {
    title: '8 PATCHes of 64 MiB at once',
    unit: 'MiB/s',
    amount: 512,
    work: (url) => ({ name: 'uploads', work: { url, count: 8, parallel: 8, bytes: 64 * MIB, patchBytes: 64 * MIB } }),
  },
]

/** Runs each work on an instance of one process and on one of two, in turns. */
export async function measureWorkers(s3: TestS3, load: Load, rounds: number): Promise<WorkersFigures[]> {
  const worlds = [await freshWorld(s3), await freshWorld(s3)] as const
  const pools = { DB_POOL_MIN: '5', DB_POOL_MAX: '20' }
  const one = await startOurs(worlds[0], { ...pools, WORKERS: '1' })
  const two = await startOurs(worlds[1], { ...pools, WORKERS: '2' })
  try {
    const all: WorkersFigures[] = []
    for (const { title, unit, amount, work } of MEASURES) {
      const rate = async (url: string): Promise<number> => {
        const startedAt = performance.now()
        await load.run(work(url))
        return amount / ((performance.now() - startedAt) / 1000)
      }
      // Warm.
      await rate(one.url)
      await rate(two.url)
      const figures = { one: [] as number[], two: [] as number[] }
      for (let round = 0; round < rounds; round++) {
        figures.one.push(await rate(one.url))
        figures.two.push(await rate(two.url))
      }
      all.push({ work: title, unit, ...figures })
    }
    return all
  } finally {
    await one.remove()
    await two.remove()
  }
}
