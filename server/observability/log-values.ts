/**
 * What a log line may hold: plain fields and failures in our own words. Objects of drivers (clients, sockets, requests,
 * command arguments) never get in: an error is reduced to what it says, and anything that is not plain to its kind.
 */
import { HIDDEN, isSecretName } from './redact.ts'

const DEEPEST = 4
const MOST_ITEMS = 50
const LONGEST_TEXT = 2000

export interface LoggedError {
  readonly type: string
  readonly message: string
  readonly code?: string | number
  /** Status that the other side answered. */
  readonly status?: number
  /** The store's own name of the request, for its support. */
  readonly requestId?: string
  readonly facts?: unknown
  readonly stack?: string
  readonly cause?: LoggedError
  readonly errors?: readonly LoggedError[]
}

/** Codes of failures that nobody foresaw: only there does a stack say more than the message. */
function wantsStack(error: Error): boolean {
  return error.name !== 'UploadError' || property(error, 'code') === 'internal'
}

/** An error in a few words. `stack`: where it is of use, with it (none below an error of ours that explains itself). */
export function loggedError(error: unknown, stack = true, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: cut(String(error)) }
  const withStack = stack && wantsStack(error)
  const code = property(error, 'code')
  const metadata = property(error, '$metadata')
  const status = property(metadata, 'httpStatusCode')
  const requestId = property(metadata, 'requestId')
  const facts = error.name === 'UploadError' ? property(error, 'facts') : undefined
  const deeper = depth < DEEPEST
  return {
    type: error.name,
    message: cut(error.message),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof status === 'number' ? { status } : {}),
    ...(typeof requestId === 'string' ? { requestId } : {}),
    ...(facts === undefined ? {} : { facts: loggable(facts) }),
    ...(withStack && error.stack !== undefined ? { stack: error.stack } : {}),
    ...(error.cause !== undefined && deeper ? { cause: loggedError(error.cause, withStack, depth + 1) } : {}),
    ...(error instanceof AggregateError && deeper
      ? { errors: error.errors.slice(0, 5).map((one) => loggedError(one, false, depth + 1)) }
      : {}),
  }
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function cut(text: string): string {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text
}

/** A value as it may be logged. */
export function loggable(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return cut(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? '[function]' : value
  if (value instanceof Error) return loggedError(value, true, depth)
  if (value instanceof Date || value instanceof URL) return value.toJSON()
  if (depth >= DEEPEST) return '[…]'
  if (Array.isArray(value)) return value.slice(0, MOST_ITEMS).map((item) => loggable(item, depth + 1))
  return isPlain(value) ? loggableFields(value, depth) : `[${value.constructor?.name ?? 'object'}]`
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The same for the fields of a plain object; those with the name of a secret are hidden. */
export function loggableFields(fields: object, depth = 0): Record<string, unknown> {
  const safe: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    safe[name] = isSecretName(name) && value !== null && value !== undefined ? HIDDEN : loggable(value, depth + 1)
  }
  return safe
}
