/** The log of requests, from which the failures are counted too: one place knows the code of each answer. */
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'

/** `log`, with the error code of each request counted. */
export function observedHttpLog(log: Log['http'], metrics: Pick<Metrics, 'failed'>): Log['http'] {
  return {
    request(fields) {
      log.request(fields)
      if (fields.code !== null) metrics.failed(fields.code)
    },
    failure: (error, fields) => log.failure(error, fields),
  }
}
