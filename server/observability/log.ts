/** Every line that the service logs, by name and with fixed fields, so that what searches them can rely on it. */
import type { UploadError } from '../uploads/errors.ts'
import { createLogger, type Logger, type LoggerOptions } from './logger.ts'

/** One answered (or abandoned) request, as the HTTP room reports it. */
export interface RequestFields {
  readonly requestId: string
  /** Never an address: operations are a closed set. */
  readonly operation: string
  readonly method: string
  /** 0: the client left before any answer. */
  readonly status: number
  readonly durationMs: number
  readonly uploadId: string | null
  readonly tenant: string | null
  readonly owner: string | null
  readonly remote: string
  readonly code: string | null
  readonly aborted: boolean
}

export type Dependency = 'database' | 'redis' | 'storage'

/** What the service runs on, for the first line. */
export interface Drivers {
  readonly storage: string
  readonly coordination: string
  readonly database: string
  readonly queue: string
}

const BUCKET_LEVELS = { danger: 'error', warning: 'warn', unknown: 'info' } as const

/** Rows put back, rows brought forward, records written; and the files that are no records, a line each. */
export interface Rebuilt {
  readonly rebuilt: number
  readonly broughtForward: number
  readonly recorded: number
  readonly unknown: number
  readonly unreadable: readonly { readonly path: string; readonly reason: string }[]
}

export interface Log {
  /** For rooms that log by themselves; lines get `room`. */
  child(room: string): Logger
  /** For what happens because of one request; lines get its `requestId`. */
  forRequest(requestId: string): Logger
  readonly http: {
    request(fields: RequestFields): void
    failure(error: UploadError, fields: RequestFields): void
  }
  configWarning(warning: string): void
  starting(fields: { readonly environment: string; readonly embedded: boolean; readonly drivers: Drivers }): void
  migrated(migrations: readonly string[]): void
  /** What an embedded database had lost and its record files gave back. */
  rebuilt(found: Rebuilt): void
  listening(fields: { readonly address: string; readonly drivers: Drivers }): void
  /** A dependency went away or came back. */
  dependency(name: Dependency, state: 'up' | 'down', cause?: unknown): void
  /** What the bucket's own configuration does to uploads, or that it does not say. */
  bucket(fields: { readonly bucket: string; readonly kind: 'danger' | 'warning' | 'unknown' }, message: string): void
  swept(fields: { readonly finished: number; readonly expired: number }): void
  /** One thing that no row names; removed, unless it is a dry run. */
  orphan(fields: { readonly kind: string; readonly key: string; readonly dryRun: boolean }): void
  /** A stored object is not what service encryption wrote; nothing of it was given out. */
  damaged(fields: { readonly uploadId: string; readonly key: string }, error: unknown): void
  orphansSwept(fields: { readonly object: number; readonly tail: number; readonly multipart: number }): void
  /** The process nears MEMORY_LIMIT_MB. */
  memoryHigh(fields: { readonly residentBytes: number; readonly limitBytes: number }): void
  /** Something failed that no request waits for. */
  background(work: string, error: unknown): void
  /** One of WORKERS ended without being told to; another takes its place. */
  workerExited(fields: { readonly pid: number; readonly code: number | null; readonly signal: string | null }): void
  stopping(reason: string): void
  /** One phase of the stop; `error` when it failed or ran out of time. */
  stopPhase(phase: string, durationMs: number, error?: unknown): void
  stopped(durationMs: number): void
  /** The process cannot go on. */
  fatal(error: unknown): void
}

/** Requests that probes make all day. */
const QUIET = new Set(['livez', 'readyz', 'health', 'metrics'])

function levelOf({ operation, status }: RequestFields): 'debug' | 'info' | 'warn' {
  // "Not ready" is what /readyz is asked for: it says so each second of a start or a stop.
  if (operation === 'readyz') return 'debug'
  if (status >= 500) return 'warn'
  return QUIET.has(operation) ? 'debug' : 'info'
}

/** The log of a process; lines go to standard output. */
export function createLog(options: LoggerOptions): Log {
  const logger = createLogger(options)
  return {
    child: (room) => logger.child({ room }),
    forRequest: (requestId) => logger.child({ requestId }),
    http: httpLog(logger),
    configWarning: (warning) => logger.warn({ event: 'config.warning' }, warning),
    starting: (fields) => logger.info({ event: 'process.starting', ...fields, node: process.version }, 'starting'),
    migrated: (migrations) => logger.info({ event: 'database.migrated', migrations }, 'the schema is up to date'),
    rebuilt({ unreadable, ...counts }) {
      for (const { path, reason } of unreadable) {
        logger.warn({ event: 'records.unreadable', path, reason }, `${path} is no record of an upload: ${reason}`)
      }
      const idle = counts.rebuilt + counts.broughtForward + counts.recorded + counts.unknown === 0
      logger[idle ? 'debug' : 'warn']({ event: 'records.rebuilt', ...counts }, 'rows and their records were compared')
    },
    bucket: (fields, message) => logger[BUCKET_LEVELS[fields.kind]]({ event: 'storage.bucket', ...fields }, message),
    listening: (fields) => logger.info({ event: 'process.listening', ...fields }, `listening on ${fields.address}`),
    dependency(name, state, cause) {
      const fields = { event: `dependency.${state}`, dependency: name }
      if (state === 'up') logger.info(fields, `${name} answers`)
      else logger.warn(cause === undefined ? fields : { ...fields, err: cause }, `${name} is away`)
    },
    swept(fields) {
      const idle = fields.finished === 0 && fields.expired === 0
      logger[idle ? 'debug' : 'info']({ event: 'uploads.swept', ...fields }, 'swept')
    },
    orphan: (fields) => logger.info({ event: 'uploads.orphan', ...fields }, 'nothing names it'),
    damaged: (fields, error) =>
      logger.error({ event: 'storage.damaged', ...fields, err: error }, 'stored bytes are damaged'),
    orphansSwept: (fields) => logger.info({ event: 'uploads.orphans_swept', ...fields }, 'looked for orphans'),
    memoryHigh: (fields) => logger.warn({ event: 'memory.high', ...fields }, 'memory nears its limit'),
    background: (work, error) => logger.error({ event: 'background.failed', work, err: error }, `${work} failed`),
    workerExited: (fields) =>
      logger.error({ event: 'process.worker_exited', ...fields }, 'a worker ended; it is replaced'),
    stopping: (reason) => logger.info({ event: 'process.stopping', reason }, `stopping: ${reason}`),
    stopPhase(phase, durationMs, error) {
      const fields = { event: 'process.stop_phase', phase, durationMs: rounded(durationMs) }
      if (error === undefined) logger.debug(fields, `${phase} is done`)
      else logger.warn({ ...fields, err: error }, `${phase} did not end well`)
    },
    stopped: (durationMs) => logger.info({ event: 'process.stopped', durationMs: rounded(durationMs) }, 'stopped'),
    fatal: (error) => logger.fatal({ event: 'process.fatal', err: error }, 'cannot go on'),
  }
}

function httpLog(logger: Logger): Log['http'] {
  return {
    request(fields) {
      logger[levelOf(fields)]({ event: 'http.request', ...fields, durationMs: rounded(fields.durationMs) }, 'request')
    },
    failure(error, { requestId, operation, uploadId }) {
      const fields = { event: 'http.failure', requestId, operation, uploadId, code: error.code, err: error }
      // a dependency that is away is not a fault of this process; what nobody foresaw is
      logger[error.code === 'internal' ? 'error' : 'warn'](fields, error.message)
    },
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10
}
