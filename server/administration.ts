import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Database } from '../db/database.ts'
import type { Administration, MemoryReading } from './http/ports.ts'

/** What operators may do to this process. */
export function createAdministration(database: Pick<Database, 'status' | 'restartPool'>): Administration {
  return {
    collectGarbage,
    databaseStatus: () => database.status(),
    restartDatabasePool: () => database.restartPool(),
  }
}

async function collectGarbage(): ReturnType<Administration['collectGarbage']> {
  const collect = collector()
  const before = memory()
  const startedAt = performance.now()
  collect()
  // What buffers hold outside the heap goes once their objects are finalized, after a turn of the loop.
  await setImmediate()
  collect()
  const durationMs = performance.now() - startedAt
  const after = memory()
  return {
    before,
    after,
    freed: {
      rssBytes: before.rssBytes - after.rssBytes,
      heapUsedBytes: before.heapUsedBytes - after.heapUsedBytes,
    },
    durationMs: Math.round(durationMs * 10) / 10,
  }
}

/** V8's own `gc`, which shows in contexts made after the flag was set: no flag at the start is needed. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  const gc: unknown = runInNewContext('gc')
  if (typeof gc !== 'function') throw new Error('this Node has no garbage collection that can be called')
  return () => void Reflect.apply(gc, undefined, [])
}

function memory(): MemoryReading {
  const { rss, heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage()
  return {
    rssBytes: rss,
    heapUsedBytes: heapUsed,
    heapTotalBytes: heapTotal,
    externalBytes: external,
    arrayBuffersBytes: arrayBuffers,
  }
}
