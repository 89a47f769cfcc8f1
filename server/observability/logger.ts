/** The logger under the named functions of log.ts: one JSON object a line, nothing secret, nothing of a driver's. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'
import { loggableFields } from './log-values.ts'
import { scrub } from './redact.ts'

export type { Logger } from 'pino'

export interface LoggerOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  /** In every line, like `instance`. */
  readonly base?: Readonly<Record<string, string | number>>
  /** Default: standard output. */
  readonly destination?: DestinationStream
}

export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level,
    base: { service: 'upload-service', ...options.base },
    timestamp: stdTimeFunctions.isoTime,
    formatters: {
      level: (label: string) => ({ level: label }),
      bindings: loggableFields,
      log: loggableFields,
    },
    // pino's own would look into errors once more, after loggableFields has reduced them
    serializers: { err: (value: unknown) => value },
    hooks: { streamWrite: scrub },
  }
  return pino(settings, options.destination ?? standardOutput())
}

/**
 * Standard output, written in batches: a write a line was a seventh of the CPU of a small request, one each 4 KiB still a
 * noticeable part. A line waits a quarter of a second at most; at the end of the process what waits is written.
 */
function standardOutput(): DestinationStream {
  const stream = pino.destination({ fd: 1, sync: false, minLength: 12_288, periodicFlush: 250 })
  process.once('exit', () => stream.flushSync())
  return stream
}
