import { startConsumer } from '../hooks/consumer.ts'
import type { Link } from './cluster/link.ts'
import type { Config } from './config/config.ts'
import { lockData } from './data-lock.ts'
import { lockedDir } from './drivers.ts'
import { type Before, type Foundation, layFoundation } from './foundation.ts'
import { openFront } from './front.ts'
import { startHousekeeping } from './housekeeping.ts'
import type { Health } from './observability/health.ts'
import type { Log } from './observability/log.ts'
import { type Phase, shutDown } from './shutdown.ts'
import { driversOf, whenThere } from './start-up.ts'

/** A service that runs. */
export interface Service {
  /** Where it listens. */
  readonly address: string
  /** Stops in order, within SHUTDOWN_TIMEOUT. */
  stop(reason: string): Promise<void>
}

/**
 * Starts the service: opens what the configuration names, brings the schema up to date, listens. Redis, Postgres and
 * S3 may be away: the process listens, says `starting` where it is asked, and becomes whole when they come.
 * `onFatal`: what cannot be waited for (a bucket that does not exist, a Redis that evicts holds, a schema that is behind).
 */
export async function startService(
  config: Config,
  log: Log,
  onFatal: (error: unknown) => void,
  link: Link | null = null,
): Promise<Service> {
  const drivers = driversOf(config)
  for (const warning of config.warnings) log.configWarning(warning)
  log.starting({ environment: config.environment, embedded: config.embedded, drivers })
  const lockDir = lockedDir(config)
  const lock = lockDir === null ? null : await lockData(lockDir)
  const phases: Phase[] = []
  if (lock) phases.unshift({ name: 'data lock', run: () => lock.release() })
  const stop = async (reason: string): Promise<void> => {
    log.stopping(reason)
    await shutDown(phases, config.server.shutdownTimeoutMs, log)
  }
  try {
    const before: Before = (name, run) => phases.unshift({ name, run })
    const foundation = await layFoundation(config, log, link, before)
    const { address, health } = await openFront(config, log, link, foundation, before)
    const background = becomeWhole(config, log, foundation, health, onFatal)
    before('background', () => background.stop())
    log.listening({ address, drivers })
    return { address, stop }
  } catch (error) {
    await stop('the start failed')
    throw error
  }
}

/** Waits for what is away, then serves. */
function becomeWhole(
  config: Config,
  log: Log,
  { metrics, database, hooks, stores, places, queue, relay, engine, ready }: Foundation,
  health: Health,
  onFatal: (error: unknown) => void,
): { stop(): Promise<void> } {
  const abort = new AbortController()
  const started: { stop(): Promise<unknown> }[] = []
  const running = (async () => {
    await Promise.all([
      database.migrate(config.database.migrate).then((names) => log.migrated(names)),
      whenThere(ready.store, abort.signal, (error) => log.dependency('storage', 'down', error)),
      whenThere(ready.coordination, abort.signal),
    ])
    if (abort.signal.aborted) return
    relay.start()
    started.push(startHousekeeping(config, { engine, database, places, metrics, log }))
    if (config.worker.inServer) {
      const consumer = startConsumer({
        queue,
        outbox: database.outbox,
        processing: database.processing,
        readerOf: (upload) => stores.of(upload),
        log: log.child('worker'),
        metrics: metrics.consumer,
        concurrency: config.worker.concurrency,
        listeners: hooks.listeners,
        onCommit: () => relay.nudge(),
      })
      started.push({ stop: () => consumer.close() })
    }
    health.serve()
  })()
  running.catch((error) => {
    if (!abort.signal.aborted) onFatal(error)
  })
  return {
    async stop() {
      abort.abort()
      await Promise.all(started.map((one) => one.stop()))
    },
  }
}
