/** The log of requests, from which the failures are counted too: one place knows the code of each answer. */
import type { UploadError } from '../uploads/errors.ts'
import type { Metrics } from './metrics.ts'

export interface HttpLines<Fields> {
  request(fields: Fields): void
  failure(error: UploadError, fields: Fields): void
}

/** `log`, with the error code of each request counted. */
export function observedHttpLog<Fields extends { readonly code: string | null }>(
  log: HttpLines<Fields>,
  metrics: Pick<Metrics, 'failed'>,
): HttpLines<Fields> {
  return {
    request(fields) {
      log.request(fields)
      if (fields.code !== null) metrics.failed(fields.code)
    },
    failure: (error, fields) => log.failure(error, fields),
  }
}
