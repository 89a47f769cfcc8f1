/**
 * `npm run worker`: post-processing and post-* hooks alone, without HTTP. The same environment as `npm run server`;
 * as many of them as one likes. Each also relays the outbox, so that events flow while no server runs.
 */
import './runtime.ts'
import { startConsumer } from '../hooks/consumer.ts'
import { createRelay } from '../hooks/relay.ts'
import type { Config } from './config/config.ts'
import { ConfigError, loadConfig } from './config/load.ts'
import { openQueue, openRecords, openStore } from './drivers.ts'
import { openEncryption } from './encryption.ts'
import { createLog, type Log } from './observability/log.ts'
import { type Phase, shutDown } from './shutdown.ts'
import { StartFault } from './start-fault.ts'
import { driversOf, hooksOf, whenThere } from './start-up.ts'

async function startWorker(config: Config, log: Log, phases: Phase[]): Promise<void> {
  const before = (name: string, run: () => Promise<unknown>) => phases.unshift({ name, run })
  const database = await openRecords(config, log.rebuilt)
  before('database', () => database.close())
  const { store, stores: bareStores, ready } = await openStore(config, log)
  before('storage', () => store.close())
  const { stores } = openEncryption(config, bareStores, log, () => {})
  const hooks = await hooksOf(config, log, database)
  await whenThere(ready, new AbortController().signal, (error) => log.dependency('storage', 'down', error))
  await database.migrate(config.database.migrate)
  const queue = openQueue(config, log.child('queue'))
  before('queue', () => queue.close())
  const relay = createRelay({ outbox: database.outbox, queue, log: log.child('relay') })
  const consumer = startConsumer({
    queue,
    outbox: database.outbox,
    processing: database.processing,
    readerOf: (upload) => stores.of(upload),
    log: log.child('worker'),
    concurrency: config.worker.concurrency,
    listeners: hooks.listeners,
    onCommit: () => relay.nudge(),
  })
  before('relay', () => relay.stop())
  before('consumer', () => consumer.close())
  relay.start()
}

async function main(): Promise<void> {
  const config = loadConfig(process.env, { embedded: false })
  if (config.queue.driver === 'memory') {
    throw new StartFault(
      'A worker of its own needs QUEUE=redis: with QUEUE=memory the server works itself (WORKER_IN_SERVER).',
      null,
    )
  }
  const log = createLog({ level: config.log.level })
  const phases: Phase[] = []
  let stopping = false
  const end = (reason: string) => {
    if (stopping) process.exit(130)
    stopping = true
    log.stopping(reason)
    void shutDown(phases, config.server.shutdownTimeoutMs, log).then(() => process.exit(0))
  }
  process.on('SIGTERM', () => end('SIGTERM'))
  process.on('SIGINT', () => end('SIGINT'))
  log.starting({ environment: config.environment, embedded: false, drivers: driversOf(config) })
  await startWorker(config, log, phases)
}

main().catch((error: unknown) => {
  const known = error instanceof ConfigError || error instanceof StartFault
  process.stderr.write(
    `${error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error)}\n`,
  )
  process.exit(1)
})
