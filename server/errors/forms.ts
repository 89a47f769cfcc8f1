import type { Answer } from './answer.ts'

/** An RFC 9457 problem, as every address outside the tus dialect answers a failure. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly retryable: boolean
  readonly requestId?: string
}

export const PROBLEM_TYPE = 'application/problem+json'

/** The problem that tells `answer`. `type` is a name, not an address: docs/errors.md explains each code. */
export function problemOf(answer: Answer, requestId?: string): Problem {
  return {
    type: `urn:upload-service:error:${answer.code}`,
    title: answer.title,
    status: answer.status,
    detail: answer.detail,
    code: answer.code,
    retryable: answer.retryable,
    ...(requestId === undefined ? {} : { requestId }),
  }
}

/** The tus form: one line of plain text, the code first. */
export function tusTextOf(answer: Answer): string {
  return `${answer.code}: ${answer.title}. ${answer.detail}\n`
}
