import type { Database } from '../db/database.ts'
import type { LoadedHooks } from '../hooks/load.ts'
import type { Queue } from '../hooks/queue/port.ts'
import { createRelay, type Relay } from '../hooks/relay.ts'
import type { Link } from './cluster/link.ts'
import type { Config } from './config/config.ts'
import { type OpenStore, openCoordination, openQueue, openRecords, openStore } from './drivers.ts'
import { openEncryption } from './encryption.ts'
import { engineSettings } from './engine-settings.ts'
import type { Log } from './observability/log.ts'
import { watchMemory } from './observability/memory-watch.ts'
import { createMetrics, type Metrics } from './observability/metrics.ts'
import { observedStore, observedStores } from './observability/observed-store.ts'
import { hooksOf } from './start-up.ts'
import { createEngine } from './uploads/engine.ts'
import type { ByteStore, Stores } from './uploads/ports/byte-store.ts'
import type { Coordination } from './uploads/ports/coordination.ts'

/** Names what ends a part; it runs before what was named earlier. */
export type Before = (name: string, run: () => Promise<unknown>) => void

/** Everything under HTTP: the drivers and the engine over them. */
export interface Foundation {
  readonly metrics: Metrics
  readonly database: Database
  readonly hooks: LoadedHooks
  /** For what concerns no upload: probes, the sweeper. */
  readonly store: ByteStore
  readonly stores: Stores
  /** What the sweeper looks through. */
  readonly places: OpenStore['places']
  readonly linkSource: OpenStore['linkSource']
  readonly coordination: Coordination
  readonly queue: Queue
  readonly relay: Relay
  readonly engine: Awaited<ReturnType<typeof createEngine>>
  /** What has to be true before anything is served; each fails as unavailable while its part is away. */
  readonly ready: { readonly store: () => Promise<void>; readonly coordination: () => Promise<void> }
}

/** Opens what the configuration names. Redis, Postgres and S3 may be away. */
export async function layFoundation(config: Config, log: Log, link: Link | null, before: Before): Promise<Foundation> {
  const metrics = createMetrics({
    memoryLimitBytes: config.memory.limitBytes,
    ...(link ? { onCount: link.counted } : {}),
  })
  link?.measureWith(metrics.snapshot)
  const database = await openRecords(config, log.rebuilt)
  before('database', () => database.close())
  const hooks = await hooksOf(config, log, database)
  const opening = await openStore(config, log)
  const { store: bareStore, stores: bareStores, places, linkSource } = opening
  before('storage', () => bareStore.close())
  const store = observedStore(bareStore, metrics.storage)
  const { stores, secretsOf } = openEncryption(
    config,
    observedStores(bareStores, metrics.storage),
    log,
    metrics.damaged,
  )
  const opened = await openCoordination(config, log.child('coordination'))
  const { coordination } = opened
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
    stores,
    secretsOf,
    coordination,
    records: database.records,
    gatekeeper: hooks.gatekeeper,
    events: { ...metrics.engine, outbox: () => relay.nudge() },
    report: log.background,
  })
  watch(config, metrics, engine.gauges, database, opened.connections)
  const { limitBytes, warningThreshold: threshold } = config.memory
  const unwatch = watchMemory({ limitBytes, threshold, onHigh: log.memoryHigh })
  before('memory watch', async () => unwatch())
  const ready = { store: opening.ready, coordination: opened.ready }
  return { metrics, database, hooks, store, stores, places, linkSource, coordination, queue, relay, engine, ready }
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
