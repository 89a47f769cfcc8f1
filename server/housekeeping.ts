import { randomUUID } from 'node:crypto'
import type { Database } from '../db/database.ts'
import { type Repeated, repeat } from './background-work.ts'
import type { Config } from './config/config.ts'
import type { Log } from './observability/log.ts'
import type { Metrics } from './observability/metrics.ts'
import type { Engine } from './uploads/api.ts'
import { sweepOrphans } from './uploads/orphans.ts'
import type { Place } from './uploads/ports/housekeeping.ts'

const DAY_MS = 86_400_000
/** The lease of the orphan sweep is asked for at least this often. */
const LOOK_MS = 60_000

export interface HousekeepingParts {
  readonly engine: Engine
  readonly database: Pick<Database, 'housekeeping'>
  /** Where new uploads go, and these buckets. */
  readonly places: (buckets: readonly string[]) => readonly Place[]
  readonly metrics: Pick<Metrics, 'orphan'>
  readonly log: Log
}

/** What nobody asks for and has to be done: finishes that stand still, expired uploads, orphans in the store. */
export function startHousekeeping({ uploads, keys }: Config, parts: HousekeepingParts): Repeated {
  const { engine, database, places, metrics, log } = parts
  const { everyMs, minAgeMs, dryRun } = uploads.orphans
  const abort = new AbortController()
  /** One instance at a time, once in `everyMs`: each try has a name of its own, so the lease ends by time alone. */
  const orphans = async (): Promise<void> => {
    if (!(await database.housekeeping.lease('orphans', randomUUID(), everyMs))) return
    const windowMs = uploads.expiresAfterMs > 0 ? uploads.expiresAfterMs + 2 * DAY_MS : null
    const sum = { object: 0, tail: 0, multipart: 0 }
    const named = await database.housekeeping.bucketsSince(windowMs === null ? null : Date.now() - windowMs)
    for (const { store, inventory } of places(named)) {
      const sweeping = sweepOrphans({
        inventory,
        records: database.housekeeping,
        store,
        keys,
        minAgeMs,
        windowMs,
        dryRun,
        found: (kind, key) => {
          metrics.orphan(kind)
          log.orphan({ kind, key, dryRun })
        },
        stopping: () => abort.signal.aborted,
      })
      // A bucket that is gone must not keep the others from being swept.
      const work = `sweeping orphans${store.bucket === null ? '' : ` of bucket ${store.bucket}`}`
      const counts = await sweeping.catch((error: unknown) => log.background(work, error))
      for (const kind of ['object', 'tail', 'multipart'] as const) sum[kind] += counts?.[kind] ?? 0
    }
    log.orphansSwept(sum)
  }
  const jobs = [
    repeat('sweeping', uploads.sweepEveryMs, log, async () => log.swept(await engine.sweep())),
    repeat('sweeping orphans', Math.min(everyMs, LOOK_MS), log, orphans),
  ]
  return {
    async stop() {
      abort.abort()
      await Promise.all(jobs.map((job) => job.stop()))
    },
  }
}
