import cluster from 'node:cluster'
import type { Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../db/database.ts'
import { startConsumer } from '../hooks/consumer.ts'
import { type LoadedHooks, loadHooks, noHooks } from '../hooks/load.ts'
import { createRelay } from '../hooks/relay.ts'
import { adminSocketPath, listenOnSocket, ofWorker } from './admin-socket.ts'
import { createAdministration } from './administration.ts'
import { createAuthenticator } from './auth/authenticator.ts'
import type { Link } from './cluster/link.ts'
import type { Config } from './config/config.ts'
import { lockData } from './data-lock.ts'
import { lockedDir, openCoordination, openQueue, openRecords, openStore } from './drivers.ts'
import { startHousekeeping } from './housekeeping.ts'
import { createAdminApp, createApp } from './http/app.ts'
import { noteFailure, principalOf } from './http/context.ts'
import { createLocator } from './http/location.ts'
import { createPages } from './http/pages.ts'
import { UPLOADS_PATH } from './http/paths.ts'
import { createHttpServer } from './http/server.ts'
import { createHealth } from './observability/health.ts'
import type { Drivers, Log } from './observability/log.ts'
import { watchMemory } from './observability/memory-watch.ts'
import { createMetrics, EXPOSITION_TYPE, type Exposition, type Metrics } from './observability/metrics.ts'
import { observedHttpLog } from './observability/observed-http.ts'
import { observedStore } from './observability/observed-store.ts'
import { type Phase, shutDown } from './shutdown.ts'
import { cannotListen, StartFault } from './start-fault.ts'
import { TusServer } from './tus/server.ts'
import { createEngine } from './uploads/engine.ts'
import { hasCode } from './uploads/errors.ts'
import type { UploadId } from './uploads/id.ts'

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
    const address = await assemble(config, log, drivers, phases, onFatal, link)
    return { address, stop }
  } catch (error) {
    await stop('the start failed')
    throw error
  }
}

/** Builds everything and puts the phase that ends it in front of those that it needs. Returns the address. */
async function assemble(
  config: Config,
  log: Log,
  drivers: Drivers,
  phases: Phase[],
  onFatal: (error: unknown) => void,
  link: Link | null,
): Promise<string> {
  const before = (name: string, run: () => Promise<unknown>) => phases.unshift({ name, run })
  const metrics = createMetrics({
    memoryLimitBytes: config.memory.limitBytes,
    ...(link ? { onCount: link.counted } : {}),
  })
  link?.measureWith(metrics.snapshot)
  const database = await openRecords(config)
  before('database', () => database.close())
  const hooks = await hooksOf(config, log, database)
  const { store: bareStore, inventory, ready: storeReady } = await openStore(config)
  before('storage', () => bareStore.close())
  const store = observedStore(bareStore, metrics.storage)
  const {
    coordination,
    ready: coordinationReady,
    connections,
  } = await openCoordination(config, log.child('coordination'))
  before('coordination', () => coordination.close())
  const queue = openQueue(config, log.child('queue'))
  before('queue', () => queue.close())

  const relay = createRelay({ outbox: database.outbox, queue, log: log.child('relay'), metrics: metrics.relay })
  before('relay', () => relay.stop())
  const engine = await createEngine({
    settings: engineSettings(config),
    memoryBytes: config.memory.uploadBytes,
    memoryWarningShare: config.memory.warningThreshold,
    maxWrites: config.uploads.maxConcurrentWrites,
    store,
    coordination,
    records: database.records,
    gatekeeper: hooks.gatekeeper,
    events: { ...metrics.engine, outbox: () => relay.nudge() },
    report: log.background,
  })
  watch(config, metrics, engine.gauges, database, connections)
  const { limitBytes, warningThreshold: threshold } = config.memory
  const unwatch = watchMemory({ limitBytes, threshold, onHigh: log.memoryHigh })
  before('memory watch', async () => unwatch())

  const health = createHealth({
    probes: {
      database: { driver: drivers.database, ping: (signal) => database.records.ping(signal) },
      redis: { driver: drivers.coordination, ping: (signal) => coordination.ping(signal) },
      storage: { driver: drivers.storage, ping: (signal) => store.ping(signal) },
    },
    onChange: (name, state, cause) => log.dependency(name, state, cause ?? undefined),
  })
  const authenticator = createAuthenticator(config.auth)
  const locate = createLocator(config.server)
  const tus = new TusServer({
    engine,
    path: UPLOADS_PATH,
    expires: config.uploads.expiresAfterMs > 0,
    principalOf,
    locate,
    onFailure: noteFailure,
  })
  const httpParts = {
    administration: createAdministration(database),
    log: observedHttpLog(log.http, metrics),
    metrics: link ? { ...metrics.http, expose: () => wholeInstance(link) } : metrics.http,
    settings: {
      cors: config.server.cors,
      trustedProxies: config.server.trustedProxies,
      idleTimeoutMs: config.uploads.idleTimeoutMs,
    },
  }
  const app = createApp({
    ...httpParts,
    engine,
    tus,
    locate,
    authenticate: (req) => authenticator.authenticate(req.headers.authorization),
    health,
    pages: createPages({ ...config.uploads, ...config.server, authMode: config.auth.mode }),
  })
  const http = createHttpServer(app, { maxHeaderBytes: config.server.maxHeaderBytes })
  const { host: hostName, port: wantedPort } = config.server
  const port = await http.listen(wantedPort, hostName).catch((error: unknown) => {
    throw cannotListen(error, hostName, wantedPort)
  })
  before('http', () => http.close(config.server.shutdownTimeoutMs))
  const admin = createHttpServer(createAdminApp(httpParts), { maxHeaderBytes: config.server.maxHeaderBytes })
  before('administration', () => admin.close(ADMIN_CLOSE_MS))
  await listenForAdmins(admin.server, ofWorker(adminSocketPath(config.server.adminSocket, port), cluster.worker?.id))
  // Running bodies flush what they received and end before the server waits for its requests.
  before('engine', async () => {
    health.drain()
    http.drain()
    await engine.close()
  })

  const background = becomeWhole()
  before('background', () => background.stop())
  const host = hostName.includes(':') ? `[${hostName}]` : hostName
  const address = `http://${host}:${port}`
  log.listening({ address, drivers })
  return address

  /** Uploads do not depend on it: where no socket can be made, there is none. */
  async function listenForAdmins(server: Server, path: string): Promise<void> {
    const room = log.child('administration')
    try {
      await listenOnSocket(server, path)
      room.info({ path }, 'administration on a local socket')
    } catch (err) {
      room.warn({ err, path }, 'no local socket for administration: set ADMIN_SOCKET')
    }
  }

  /** Waits for what is away, then serves. */
  function becomeWhole(): { stop(): Promise<void> } {
    const abort = new AbortController()
    const started: { stop(): Promise<unknown> }[] = []
    const running = (async () => {
      await Promise.all([
        database.migrate(config.database.migrate).then((names) => log.migrated(names)),
        whenThere(storeReady, abort.signal, (error) => log.dependency('storage', 'down', error)),
        whenThere(coordinationReady, abort.signal),
      ])
      if (abort.signal.aborted) return
      relay.start()
      started.push(startHousekeeping(config, { engine, database, store, inventory, metrics, log }))
      if (config.worker.inServer) {
        const consumer = startConsumer({
          queue,
          outbox: database.outbox,
          processing: database.processing,
          store,
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
}

/** What all processes of this instance measured. */
async function wholeInstance(link: Link): Promise<Exposition> {
  return { contentType: EXPOSITION_TYPE, body: await link.scrape() }
}

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

export function driversOf(config: Config): Drivers {
  return {
    storage: config.storage.driver,
    coordination: config.coordination.driver,
    database: config.database.driver,
    queue: config.queue.driver,
  }
}

/** A command on the local socket has so long to end when the service stops. */
const ADMIN_CLOSE_MS = 1000
/** A multipart upload of so many parts becomes a segment: 5 GiB, with parts of 8 MiB. */
const SEGMENT_PARTS = 640
/** A HEAD waits this long for row, store or session that are away, before 423. */
const INSPECT_PATIENCE_MS = 5000
/** Longest wait for somebody else's hold: a dead holder's lease and its takeover fit in. */
const HOLD_WAIT_MS = 8000

function engineSettings({ uploads, memory, keys, coordination }: Config) {
  return {
    maxBytes: uploads.maxBytes,
    maxMetadataBytes: uploads.maxMetadataBytes,
    chunkBytes: uploads.chunkBytes,
    partBytes: uploads.partBytes,
    poolBlocks: memory.bufferPoolBlocks,
    leaseMs: uploads.leaseMs,
    holdWaitMs: HOLD_WAIT_MS,
    finishWaitMs: uploads.finishWaitMs,
    idleMs: uploads.idleTimeoutMs,
    inspectStallMs: uploads.inspectStallMs,
    inspectPatienceMs: INSPECT_PATIENCE_MS,
    flushAfterMs: uploads.flushAfterMs,
    expiresAfterMs: uploads.expiresAfterMs > 0 ? uploads.expiresAfterMs : null,
    // In one process there is no second primary that could still serve an old holder.
    rebuildWaitMs: coordination.driver === 'redis' ? uploads.leaseMs : 0,
    segmentParts: SEGMENT_PARTS,
    keys,
  }
}

function watch(
  config: Config,
  metrics: Metrics,
  engine: NonNullable<Parameters<Metrics['watch']>[0]['engine']>,
  database: Database,
  connections: () => { open: number; busy: number } | null,
): void {
  metrics.watch({ engine })
  if (config.database.driver === 'postgres') metrics.watch({ database: () => database.stats() })
  if (config.coordination.driver === 'redis') {
    metrics.watch({
      redis: () => {
        const { open, busy } = connections() ?? { open: 0, busy: 0 }
        return { total: open, idle: open - busy, waiting: 0 }
      },
    })
  }
}
