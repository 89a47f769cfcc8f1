/**
 * What the service counts. Everybody gets the few functions that it needs (their shapes are those rooms' own ports);
 * nobody else touches prom-client.
 */
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { EngineEvents } from '../uploads/api.ts'
import type { CountStep, Snapshot } from './aggregate.ts'
import { FailureRate } from './failure-rate.ts'
import type { STORE_OPERATIONS, STORE_OUTCOMES } from './metric-table.ts'
import { cappedNames, createInstruments, type Instruments } from './registry.ts'

/** What the engine says of itself when the metrics are read. */
export interface EngineReadings {
  readonly holds: number
  readonly appends: number
  readonly memoryBytes: number
  readonly memoryBudgetBytes: number
  readonly socketsWaiting: number
  readonly writesInFlight: number
  readonly writesWaiting: number
  readonly poolBlocks: number
}

/** Connections of a pool; `waiting`: calls that wait for one. */
export interface PoolReadings {
  readonly total: number
  readonly idle: number
  readonly waiting: number
}

/** Asked each time that the metrics are read; what is left out is not shown. */
export interface Sources {
  readonly engine?: () => EngineReadings
  readonly database?: () => PoolReadings
  readonly redis?: () => PoolReadings
}

export interface MetricsOptions {
  /** MEMORY_LIMIT_MB in bytes. */
  readonly memoryLimitBytes: number
  /** Told of each step of a counter, for an instance of several processes. */
  readonly onCount?: (step: CountStep) => void
  /** CPU, event loop, heap and garbage collection of Node too. Default true. */
  readonly nodeMetrics?: boolean
  /** Monotonic, milliseconds; for tests. */
  readonly now?: () => number
  /** Resident memory, bytes; for tests. */
  readonly residentBytes?: () => number
}

export interface Exposition {
  readonly contentType: string
  readonly body: string
}

export interface Metrics {
  /** The engine's counters. `outbox` does nothing here: spread these and put the relay's nudge in its place. */
  readonly engine: EngineEvents
  readonly http: {
    started(): void
    /** `status` 0: the client left before any answer. `method`: the effective one. */
    finished(operation: string, method: string, status: number, seconds: number): void
    expose(): Promise<Exposition>
  }
  /** The orphan sweep found something that no row names. */
  orphan(kind: 'object' | 'tail' | 'multipart'): void
  /** A read ended because what is stored is not what was written. */
  damaged(): void
  /** A request for uploads was answered with this code. */
  failed(code: string): void
  readonly storage: {
    called(
      operation: (typeof STORE_OPERATIONS)[number],
      outcome: (typeof STORE_OUTCOMES)[number],
      seconds: number,
    ): void
  }
  readonly relay: {
    published(count: number, again: boolean): void
    lag(ms: number): void
    failed(): void
  }
  readonly consumer: {
    handled(type: string, outcome: 'done' | 'failed' | 'later' | 'dead', ms: number): void
    step(name: string, ms: number): void
  }
  /** Who is asked for the gauges; later calls add to earlier ones. */
  watch(sources: Sources): void
  /** All that this process measured, for {@link Ledger}. */
  snapshot(): Promise<Snapshot>
  /** The text that Prometheus reads. */
  render(): Promise<string>
}

/** The media type of what {@link Metrics.render} gives. */
export const EXPOSITION_TYPE = Registry.PROMETHEUS_CONTENT_TYPE

const FAILURE_WINDOW_MS = 5 * 60_000

/** One a process; nothing is registered globally. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry()
  const instruments = createInstruments(registry, options.onCount)
  if (options.nodeMetrics ?? true) collectDefaultMetrics({ register: registry })
  const rate = new FailureRate(FAILURE_WINDOW_MS, options.now ?? (() => performance.now()))
  const residentBytes = options.residentBytes ?? (() => process.memoryUsage.rss())
  let sources: Sources = {}

  function read(): void {
    readSources(instruments, sources)
    instruments.gauge('upload_failure_rate').set(rate.value())
    instruments.gauge('memory_usage_percent').set((100 * residentBytes()) / options.memoryLimitBytes)
  }

  async function render(): Promise<string> {
    read()
    return registry.metrics()
  }

  const failed = instruments.counter('upload_failed_total')
  const codes = cappedNames()
  return {
    engine: engineEvents(instruments),
    http: httpMetrics(instruments, rate, async () => ({ contentType: registry.contentType, body: await render() })),
    orphan: (kind) => instruments.counter('upload_orphans_total').inc({ kind }),
    damaged: () => instruments.counter('storage_damaged_total').inc(),
    failed: (code) => failed.inc({ code: codes(code) }),
    storage: storageMetrics(instruments),
    relay: relayMetrics(instruments),
    consumer: consumerMetrics(instruments),
    watch(more) {
      sources = { ...sources, ...more }
    },
    async snapshot() {
      read()
      return registry.getMetricsAsJSON()
    },
    render,
  }
}

function engineEvents(instruments: Instruments): EngineEvents {
  const created = instruments.counter('upload_created_total')
  const finished = instruments.counter('upload_finished_total')
  const finishedBytes = instruments.counter('upload_finished_bytes_total')
  const terminated = instruments.counter('upload_terminated_total')
  const expired = instruments.counter('upload_expired_total')
  const received = instruments.counter('upload_received_bytes_total')
  const acquired = instruments.counter('hold_acquired_total')
  const waited = instruments.histogram('hold_wait_seconds')
  const flushes = instruments.counter('hold_flush_total')
  const flushedBytes = instruments.counter('hold_flushed_bytes_total')
  return {
    created: () => created.inc(),
    finished(_upload, bytes) {
      finished.inc()
      finishedBytes.inc(bytes)
    },
    terminated: () => terminated.inc(),
    expired: () => expired.inc(),
    received: (bytes) => received.inc(bytes),
    held(kind, waitedMs) {
      acquired.inc({ kind })
      waited.observe(waitedMs / 1000)
    },
    flushed(reason, bytes) {
      flushes.inc({ reason })
      flushedBytes.inc({ reason }, bytes)
    },
    outbox() {},
  }
}

function httpMetrics(instruments: Instruments, rate: FailureRate, expose: () => Promise<Exposition>): Metrics['http'] {
  const active = instruments.gauge('http_requests_active')
  const duration = instruments.histogram('http_request_duration_seconds')
  const operations = cappedNames()
  active.set(0)
  return {
    started: () => active.inc(),
    finished(operation, method, status, seconds) {
      active.dec()
      duration.observe({ operation: operations(operation), status: statusClass(status) }, seconds)
      if (method === 'POST' || method === 'PATCH') rate.count(status >= 500)
    },
    expose,
  }
}

function statusClass(status: number): string {
  return status >= 200 && status < 600 ? `${Math.floor(status / 100)}xx` : 'none'
}

function storageMetrics(instruments: Instruments): Metrics['storage'] {
  const duration = instruments.histogram('storage_request_duration_seconds')
  return { called: (operation, outcome, seconds) => duration.observe({ operation, outcome }, seconds) }
}

function relayMetrics(instruments: Instruments): Metrics['relay'] {
  const published = instruments.counter('queue_published_total')
  const republished = instruments.counter('queue_republished_total')
  const failures = instruments.counter('queue_publish_failures_total')
  const lag = instruments.gauge('queue_lag_seconds')
  return {
    published: (count, again) => (again ? republished : published).inc(count),
    lag: (ms) => lag.set(ms / 1000),
    failed: () => failures.inc(),
  }
}

function consumerMetrics(instruments: Instruments): Metrics['consumer'] {
  const jobs = instruments.counter('queue_jobs_total')
  const duration = instruments.histogram('queue_job_duration_seconds')
  const steps = instruments.histogram('queue_step_duration_seconds')
  const names = cappedNames()
  return {
    handled(_type, outcome, ms) {
      jobs.inc({ outcome })
      duration.observe({ outcome }, ms / 1000)
    },
    step: (name, ms) => steps.observe({ step: names(name) }, ms / 1000),
  }
}

function readSources(instruments: Instruments, { engine, database, redis }: Sources): void {
  if (engine) readEngine(instruments, engine())
  if (database) readPool(instruments, 'db_pool_connections', database())
  if (redis) readPool(instruments, 'redis_connections', redis())
}

function readEngine({ gauge }: Instruments, readings: EngineReadings): void {
  gauge('hold_active').set(readings.holds)
  gauge('upload_active').set(readings.appends)
  gauge('upload_memory_bytes').set(readings.memoryBytes)
  gauge('upload_memory_budget_bytes').set(readings.memoryBudgetBytes)
  gauge('upload_sockets_waiting').set(readings.socketsWaiting)
  gauge('upload_buffer_pool_blocks').set(readings.poolBlocks)
  gauge('storage_writes_in_flight').set(readings.writesInFlight)
  gauge('storage_writes_waiting').set(readings.writesWaiting)
}

function readPool({ gauge }: Instruments, name: 'db_pool_connections' | 'redis_connections', pool: PoolReadings): void {
  gauge(name).set({ state: 'idle' }, pool.idle)
  gauge(name).set({ state: 'active' }, pool.total - pool.idle)
  gauge(name).set({ state: 'waiting' }, pool.waiting)
}
