import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../db/database.ts'
import { type LoadedHooks, loadHooks, noHooks } from '../hooks/load.ts'
import type { Config } from './config/config.ts'
import type { Drivers, Log } from './observability/log.ts'
import { StartFault } from './start-fault.ts'
import { hasCode } from './uploads/errors.ts'
import type { UploadId } from './uploads/id.ts'

/** The lifecycle hooks of HOOKS_MODULE; a module that is wrong stops the start. */
export async function hooksOf(config: Config, log: Log, database: Database): Promise<LoadedHooks> {
  const { module, timeoutMs } = config.hooks
  if (module === null) return noHooks
  const options = { log: log.child('hooks'), find: (id: UploadId) => database.records.find(id), timeoutMs }
  return loadHooks(module, options).catch((error: unknown) => {
    throw error instanceof Error ? new StartFault(`HOOKS_MODULE cannot be used. ${error.message}`, error) : error
  })
}

/** Asks again, each second, while what is asked for is away; the first failure is told to `onAway`. */
export async function whenThere(
  ask: () => Promise<void>,
  signal: AbortSignal,
  onAway: (error: unknown) => void = () => {},
): Promise<void> {
  let told = false
  while (!signal.aborted) {
    try {
      return await ask()
    } catch (error) {
      if (!hasCode(error, 'store_unavailable', 'coordination_unavailable', 'records_unavailable')) throw error
      if (!told) onAway(error)
      told = true
    }
    await sleep(1000, undefined, { signal }).catch(() => {})
  }
}

/** Which driver stands behind each port. */
export function driversOf(config: Config): Drivers {
  return {
    storage: config.storage.driver,
    coordination: config.coordination.driver,
    database: config.database.driver,
    queue: config.queue.driver,
  }
}
