/**
 * Every way a call to the engine, its ports or the edge can fail. What each code means on the wire
 * (status, title, retryable) is settled in one place: server/errors/table.ts.
 */
export const ERROR_CODES = [
  // protocol and input
  'version_unsupported',
  'method_not_allowed',
  'not_found',
  'upload_gone',
  'length_missing',
  'length_invalid',
  'length_conflict',
  'length_already_known',
  'defer_length_invalid',
  'offset_missing',
  'offset_invalid',
  'offset_mismatch',
  'content_type_unsupported',
  'metadata_invalid',
  'metadata_too_large',
  'upload_too_large',
  'body_exceeds_length',
  'expectation_failed',
  'headers_too_large',
  'request_malformed',
  'request_timeout',
  'query_invalid',
  'body_invalid',
  'body_too_large',
  'upload_finished',
  'upload_not_finished',
  'range_not_satisfiable',
  'precondition_failed',
  'checksum_invalid',
  'checksum_mismatch',
  'concat_invalid',
  'concat_final',
  // who may
  'unauthenticated',
  'forbidden',
  'refused_by_hook',
  // contention and availability
  'upload_busy',
  'hold_lost',
  'finish_pending',
  'body_cut',
  'body_stalled',
  'shutting_down',
  'store_unavailable',
  'coordination_unavailable',
  'records_unavailable',
  'auth_unavailable',
  'content_damaged',
  'internal',
] as const

/** A stable word for one kind of failure. */
export type ErrorCode = (typeof ERROR_CODES)[number]

export interface UploadErrorOptions {
  readonly cause?: unknown
  /** Facts for the answer: the offset a 409 reports, the limit a 413 names, the status a hook chose. */
  readonly facts?: Readonly<Record<string, string | number>>
}

/** A failure with a code. `message` says what is wrong, with which value, and what to do next. */
export class UploadError extends Error {
  readonly code: ErrorCode
  readonly facts: Readonly<Record<string, string | number>>

  constructor(code: ErrorCode, message: string, options: UploadErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'UploadError'
    this.code = code
    this.facts = options.facts ?? {}
  }
}

/** Is this one of ours, and of that code? */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is UploadError {
  return error instanceof UploadError && codes.includes(error.code)
}
