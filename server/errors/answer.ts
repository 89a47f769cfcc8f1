import type { ErrorCode } from '../uploads/errors.ts'
import { UploadError } from '../uploads/errors.ts'
import { ERROR_TABLE, type ErrorRule } from './table.ts'

/** What the error itself knows: the offset a 409 reports, the limit a 413 names, the status a hook chose. */
export type Facts = Readonly<Record<string, string | number>>

/** A failure as it goes over the wire; the form (problem+json, tus text) is the surface's choice. */
export interface Answer {
  readonly code: ErrorCode
  readonly status: number
  readonly title: string
  /** What is wrong with which value; for our own faults only what a stranger may know. */
  readonly detail: string
  readonly retryable: boolean
  /** Headers that belong to the code, e.g. `Retry-After`, `Allow`, `Content-Range`. */
  readonly headers: Readonly<Record<string, string>>
  /** End the connection with this answer. */
  readonly closes: boolean
}

/** Statuses of HEAD that make tus-js-client start from 0 although the upload is fine. */
function mustBeLockedOnHead(status: number): boolean {
  return status >= 500 || status === 429 || status === 408
}

function statusOf(code: ErrorCode, rule: ErrorRule, facts: Facts): number {
  if (code === 'refused_by_hook') {
    const chosen = Number(facts.status)
    return Number.isInteger(chosen) && chosen >= 400 && chosen <= 499 ? chosen : rule.status
  }
  if (code === 'upload_not_finished') {
    const state = facts.state
    return state === 'uploaded' || state === 'processing' || state === 'rejected' ? 409 : rule.status
  }
  return rule.status
}

/**
 * Code and verb to status and headers: nothing else chooses a status. HEAD never answers 5xx, 429 or 408: what would
 * be one is 423 with `Retry-After` (data-path: "What a client hears when something is away").
 *
 * @param verb the effective method, after any override
 */
export function answerFor(code: ErrorCode, verb: string, facts: Facts = {}): Omit<Answer, 'detail'> {
  const rule: ErrorRule = ERROR_TABLE[code]
  const own = statusOf(code, rule, facts)
  const status = verb === 'HEAD' && mustBeLockedOnHead(own) ? 423 : own
  const headers: Record<string, string> = { 'Cache-Control': 'no-store' }
  if (rule.retryAfterSeconds !== undefined) headers['Retry-After'] = String(rule.retryAfterSeconds)
  else if (status === 423) headers['Retry-After'] = '1'
  addFacts(headers, code, verb, facts)
  // A HEAD has no body whose rest could be in the way.
  const closes = rule.closes === true && (verb !== 'HEAD' || code === 'shutting_down')
  return { code, status, title: rule.title, retryable: rule.retryable, headers, closes }
}

function addFacts(headers: Record<string, string>, code: ErrorCode, verb: string, facts: Facts): void {
  if (code === 'version_unsupported') headers['Tus-Version'] = '1.0.0'
  if (code === 'method_not_allowed' && facts.allow !== undefined) headers.Allow = String(facts.allow)
  if (code === 'unauthenticated') headers['WWW-Authenticate'] = 'Bearer'
  if (code === 'range_not_satisfiable' && facts.bytes !== undefined) {
    headers['Content-Range'] = `bytes */${facts.bytes}`
  }
  if (code === 'offset_mismatch' && verb !== 'HEAD' && facts.offset !== undefined) {
    headers['Upload-Offset'] = String(facts.offset)
  }
}

/** `error` as one of ours. Whatever nobody foresaw is `internal`, with the original as its cause. */
export function toUploadError(error: unknown): UploadError {
  if (error instanceof UploadError) return error
  return new UploadError('internal', 'Unforeseen failure', { cause: error })
}

/** The whole answer to a failure of a request with this verb. */
export function answerTo(error: unknown, verb: string): Answer {
  const known = toUploadError(error)
  const answer = answerFor(known.code, verb, known.facts)
  const ours = ERROR_TABLE[known.code].status >= 500
  return { ...answer, detail: ours ? ERROR_TABLE[known.code].meaning : known.message }
}
