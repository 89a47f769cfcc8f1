/**
 * The process entry: configuration, service, signals; nothing else. `--embedded` (npm start) fills in the embedded
 * defaults; without it (npm run server) the environment says everything.
 */
import { ConfigError, loadConfig } from './config/load.ts'
import { DataLocked } from './data-lock.ts'
import { createLog, type Log } from './observability/log.ts'
import { type Service, startService } from './service.ts'

const embedded = process.argv.includes('--embedded')

/** What a person must read stands alone on standard error; the process ends. */
function refuse(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

function endOnSignals(service: () => Service | null, log: Log): void {
  let stopping = false
  const end = (reason: string, code: number) => {
    // A second signal does not wait.
    if (stopping) process.exit(code === 0 ? 130 : code)
    stopping = true
    const running = service()
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

async function main(): Promise<void> {
  const config = loadConfig(process.env, { embedded })
  const log = createLog({ level: config.log.level })
  let service: Service | null = null
  endOnSignals(() => service, log)
  const onFatal = (error: unknown) => {
    log.fatal(error)
    const end = () => refuse(error instanceof Error ? error.message : String(error))
    if (service) service.stop('cannot go on').finally(end)
    else end()
  }
  service = await startService(config, log, onFatal)
  if (config.embedded) {
    const { storage, coordination, database, queue, dataDir } = config
    process.stdout.write(
      `\nUpload page:  ${service.address}/\ntus endpoint: ${service.address}/api/v1/uploads\n` +
        `Drivers:      storage ${storage.driver}, coordination ${coordination.driver}, database ${database.driver}, queue ${queue.driver}; data in ${dataDir}\n\n`,
    )
  }
}

main().catch((error: unknown) => {
  if (error instanceof ConfigError || error instanceof DataLocked) refuse(error.message)
  refuse(error instanceof Error ? (error.stack ?? error.message) : String(error))
})
