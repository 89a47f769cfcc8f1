import { UploadError } from '../server/uploads/errors.ts'

/** SQLSTATEs (whole, or the two digits of their class) after which the same call may succeed later. */
const PASSING = new Set([
  '08', // connection exception
  '53', // insufficient resources: too many connections, disk full, out of memory
  '58', // system error outside of Postgres: an I/O error
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now: starting up
  '57P05', // idle_session_timeout
  '57014', // query_canceled: statement_timeout
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available
  '25006', // read_only_sql_transaction: a primary that has become a standby
  '42P01', // undefined_table: reached before the migrations ran
])

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOENT', // the unix socket is not there
])

/** A certificate that is not (yet, any more) right: it is renewed, or set right, while this process runs. */
const TLS = /^(CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|EPROTO$)/

/** What `pg`, its pool (8.23), Kysely and PGlite throw without a code when a connection is not to be had, breaks or was closed. */
const CONNECTION_LOST =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|Client was closed|Cannot use a pool after|The server does not support SSL|driver has already been destroyed|PGlite is closed)/

function codeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null
  return typeof error.code === 'string' ? error.code : null
}

function isPassing(error: unknown): boolean {
  const code = codeOf(error)
  if (code !== null && (NETWORK.has(code) || PASSING.has(code) || PASSING.has(code.slice(0, 2)))) return true
  if (code !== null && TLS.test(code)) return true
  if (error instanceof AggregateError) return error.errors.some(isPassing)
  if (!(error instanceof Error)) return false
  // A caller's signal: it waited as long as it wanted to.
  return error.name === 'AbortError' || error.name === 'TimeoutError' || CONNECTION_LOST.test(error.message)
}

/**
 * Any failure of a driver as one of ours: `records_unavailable` when the database is away, busy or not migrated yet,
 * else `internal`. The driver's error is the cause.
 */
export function asUploadError(error: unknown): UploadError {
  if (error instanceof UploadError) return error
  const code = codeOf(error)
  const detail = code ?? (error instanceof Error ? error.message : String(error))
  if (isPassing(error)) {
    return new UploadError('records_unavailable', `the database does not answer (${detail}); try again`, {
      cause: error,
    })
  }
  return new UploadError('internal', `the database refused a statement (${detail})`, { cause: error })
}

/** Runs one call to the database; what it throws is an UploadError. */
export async function guarded<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw asUploadError(error)
  }
}
