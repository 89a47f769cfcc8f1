import { UploadError } from '../../uploads/errors.ts'

/** Error codes of connections that never were: nothing of the request reached the store. */
const NEVER_CONNECTED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'CONNECT_TIMEOUT',
])

/** Answers of S3 that a later try may not get. BadDigest: the bytes were damaged on their way, or the caller is wrong. */
const PASSING_CODES = new Set([
  'SlowDown',
  'RequestTimeout',
  'InternalError',
  'ServiceUnavailable',
  'OperationAborted',
  'RequestTimeTooSkewed',
  'ExpiredToken',
  'BadDigest',
])
const PASSING_STATUS = new Set([408, 429, 500, 502, 503, 504])

/** Refusals that an operator undoes (keys, policy, bucket): the upload stays and goes on afterwards. */
const UNDONE_BY_OPERATOR = new Set(['NoSuchBucket', 'AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch'])

export interface FailureFacts {
  /** HTTP status; null: no answer came. */
  readonly status: number | null
  /** S3's error code (`SlowDown`) or the socket's (`ECONNRESET`). */
  readonly code: string
  readonly message: string
  readonly requestId?: string | undefined
  /** Did any of the request leave this process? */
  readonly sent: boolean
}

/** One try of one request that failed, in plain facts: no driver objects, so that it can be logged as a cause. */
export class S3Failure extends Error {
  readonly status: number | null
  readonly code: string
  readonly requestId: string | undefined
  readonly sent: boolean

  constructor(facts: FailureFacts) {
    super(`${facts.status ?? 'no answer'} ${facts.code}: ${facts.message}`)
    this.name = 'S3Failure'
    this.status = facts.status
    this.code = facts.code
    this.requestId = facts.requestId
    this.sent = facts.sent
  }

  /** May the store still apply it? A gateway's 502 or 504 says nothing about what is behind it. */
  get unanswered(): boolean {
    if (this.status === null) return this.sent
    return this.status === 502 || this.status === 504
  }

  get retryable(): boolean {
    return this.status === null || PASSING_STATUS.has(this.status) || PASSING_CODES.has(this.code)
  }

  /** As the port promises it: `store_unavailable`, or `internal` for an answer that should not be. */
  toUploadError(operation: string): UploadError {
    const away =
      (this.retryable && this.code !== 'BadDigest') ||
      this.status === 401 ||
      this.status === 403 ||
      UNDONE_BY_OPERATOR.has(this.code)
    return new UploadError(away ? 'store_unavailable' : 'internal', `S3 ${operation} failed: ${this.message}`, {
      cause: this,
    })
  }
}

interface SdkErrorShape {
  readonly name: string
  readonly message: string
  readonly code?: unknown
  readonly Code?: unknown
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string }
  readonly $response?: { readonly statusCode?: number }
}

function isErrorShape(error: unknown): error is SdkErrorShape {
  return error instanceof Error
}

/** Any thrown value of a try as an {@link S3Failure}. */
export function asFailure(error: unknown): S3Failure {
  if (error instanceof S3Failure) return error
  if (!isErrorShape(error)) return new S3Failure({ status: null, code: 'Unknown', message: String(error), sent: true })
  const status = error.$metadata?.httpStatusCode ?? error.$response?.statusCode ?? null
  const socketCode = typeof error.code === 'string' ? error.code : undefined
  const bodyCode = typeof error.Code === 'string' ? error.Code : undefined
  const connectTimeout = error.name === 'TimeoutError' && error.message.includes('did not establish a connection')
  const code = connectTimeout
    ? 'CONNECT_TIMEOUT'
    : status === null
      ? (socketCode ?? error.name)
      : (bodyCode ?? error.name)
  const noCredentials = error.name === 'CredentialsProviderError'
  const sent = status !== null || !(NEVER_CONNECTED.has(code) || noCredentials)
  return new S3Failure({ status, code, message: error.message, requestId: error.$metadata?.requestId, sent })
}
