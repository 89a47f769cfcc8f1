import { type DiscardStore, difference } from './discard-store.ts'
import type { Load } from './load/driver.ts'
import type { PlannedWork } from './plan.ts'
import { cpuSeconds } from './process-figures.ts'
import type { MeasuredServer, ServerName } from './servers.ts'
import type { BucketCounts } from './sink.ts'

/** One run of one work on one server. */
export interface Run {
  readonly server: ServerName
  /** CPU seconds of the server for one GiB, upload or request. */
  readonly cpu: number
  /** Times of the requests, ms. */
  readonly times: readonly number[]
  /** What the store was asked; null on a store that does not count. */
  readonly store: BucketCounts | null
}

/** All runs of one work. */
export interface Measured {
  readonly work: PlannedWork
  readonly runs: readonly Run[]
}

async function runOnce(
  work: PlannedWork,
  server: MeasuredServer,
  load: Load,
  store: DiscardStore | null,
): Promise<Run> {
  if (work.prepare) await load.run(work.prepare(server.url, server.name))
  const asked = await store?.settled(server.bucket)
  const before = await cpuSeconds(server.pid)
  const times = await load.run(work.work(server.url, server.name))
  // What a server does behind its answer (tails that go) belongs to the work.
  const now = await store?.settled(server.bucket)
  const cpu = ((await cpuSeconds(server.pid)) - before) / work.amount(server.name)
  return { server: server.name, cpu, times, store: now && asked ? difference(now, asked) : null }
}

/** Runs a work on each server in turn, `rounds` times round: what disturbs one disturbs all. */
export async function measure(
  work: PlannedWork,
  servers: readonly MeasuredServer[],
  load: Load,
  store: DiscardStore | null,
  rounds: number,
): Promise<Measured> {
  const runs: Run[] = []
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) runs.push(await runOnce(work, server, load, store))
  }
  return { work, runs }
}
