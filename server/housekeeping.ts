import { randomUUID } from 'node:crypto'
import type { Database } from '../db/database.ts'
import { type Repeated, repeat } from './background-work.ts'
import type { Config } from './config/config.ts'
import type { Log } from './observability/log.ts'
import type { Metrics } from './observability/metrics.ts'
import type { Engine } from './uploads/api.ts'
import { sweepOrphans } from './uploads/orphans.ts'
import type { ByteStore } from './uploads/ports/byte-store.ts'
import type { Inventory } from './uploads/ports/housekeeping.ts'

const DAY_MS = 86_400_000
/** The lease of the orphan sweep is asked for at least this often. */
const LOOK_MS = 60_000

export interface HousekeepingParts {
  readonly engine: Engine
  readonly database: Pick<Database, 'housekeeping'>
  readonly store: ByteStore
  readonly inventory: Inventory
  readonly metrics: Pick<Metrics, 'orphan'>
  readonly log: Log
}

/** What nobody asks for and has to be done: finishes that stand still, expired uploads, orphans in the store. */
export function startHousekeeping({ uploads, keys }: Config, parts: HousekeepingParts): Repeated {
  const { engine, database, store, inventory, metrics, log } = parts
  const { everyMs, minAgeMs, dryRun } = uploads.orphans
  const abort = new AbortController()
  /** One instance at a time, once in `everyMs`: each try has a name of its own, so the lease ends by time alone. */
  const orphans = async (): Promise<void> => {
    if (!(await database.housekeeping.lease('orphans', randomUUID(), everyMs))) return
    const counts = await sweepOrphans({
      inventory,
      records: database.housekeeping,
      store,
      keys,
      minAgeMs,
      windowMs: uploads.expiresAfterMs > 0 ? uploads.expiresAfterMs + 2 * DAY_MS : null,
      dryRun,
      found: (kind, key) => {
        metrics.orphan(kind)
        log.orphan({ kind, key, dryRun })
      },
      stopping: () => abort.signal.aborted,
    })
    log.orphansSwept(counts)
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
