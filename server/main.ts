/**
 * The process entry: configuration, service, signals; nothing else. `--embedded` (npm start) fills in the embedded
 * defaults; without it (npm run server) the environment says everything.
 */
import './runtime.ts'
import cluster from 'node:cluster'
import { linkToPrimary } from './cluster/link.ts'
import { Primary } from './cluster/primary.ts'
import type { Config } from './config/config.ts'
import { ConfigError, loadConfig } from './config/load.ts'
import { DataLocked } from './data-lock.ts'
import { createLog, type Log } from './observability/log.ts'
import { type Service, startService } from './service.ts'
import { StartFault } from './start-fault.ts'

const embedded = process.argv.includes('--embedded')

/** What a person must read stands alone on standard error; the process ends. */
function refuse(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

/** What a signal ends: the service, or the primary of several. */
interface Stoppable {
  stop(reason: string): Promise<void>
  /** At a second signal. */
  kill?(): void
}

function endOnSignals(service: () => Stoppable | null, log: Log): void {
  let stopping = false
  const end = (reason: string, code: number) => {
    // A second signal does not wait.
    const running = service()
    if (stopping) {
      running?.kill?.()
      process.exit(code === 0 ? 130 : code)
    }
    stopping = true
    if (!running) process.exit(code)
    running.stop(reason).then(
      () => process.exit(code),
      (error) => {
        log.fatal(error)
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', () => end('SIGTERM', 0))
  process.on('SIGINT', () => end('SIGINT', 0))
  process.on('uncaughtException', (error) => {
    log.fatal(error)
    end('uncaught exception', 1)
  })
}

/** WORKERS > 1: this process only keeps the others. */
function startPrimary(count: number, log: Log): void {
  const primary = new Primary(count, log)
  endOnSignals(
    () => ({
      async stop(reason) {
        log.stopping(reason)
        await primary.stop()
      },
      kill: () => primary.kill(),
    }),
    log,
  )
  primary.start((message) => {
    primary.kill()
    refuse(message)
  })
}

async function start(config: Config, log: Log): Promise<void> {
  const link = linkToPrimary()
  let service: Service | null = null
  endOnSignals(() => service, log)
  const onFatal = (error: unknown) => {
    log.fatal(error)
    const message = error instanceof Error ? error.message : String(error)
    link?.fatal(message)
    const end = () => refuse(message)
    if (service) service.stop('cannot go on').finally(end)
    else end()
  }
  try {
    service = await startService(config, log, onFatal, link)
  } catch (error) {
    // Another worker would not fare better: the primary ends instead of trying for ever.
    if (error instanceof StartFault) link?.fatal(error.message)
    throw error
  }
  if (config.embedded) greet(config, service.address)
}

function greet({ storage, coordination, database, queue, dataDir }: Config, address: string): void {
  process.stdout.write(
    `\nUpload page:  ${address}/\ntus endpoint: ${address}/api/v1/uploads\n` +
      `Drivers:      storage ${storage.driver}, coordination ${coordination.driver}, database ${database.driver}, queue ${queue.driver}; data in ${dataDir}\n\n`,
  )
}

async function main(): Promise<void> {
  const config = loadConfig(process.env, { embedded })
  const log = createLog({ level: config.log.level })
  const { workers } = config.server
  if (workers > 1 && cluster.isPrimary) startPrimary(workers, log)
  else await start(config, log)
}

main().catch((error: unknown) => {
  if (error instanceof ConfigError || error instanceof DataLocked || error instanceof StartFault) refuse(error.message)
  refuse(error instanceof Error ? (error.stack ?? error.message) : String(error))
})
