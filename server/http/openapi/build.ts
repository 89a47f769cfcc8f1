import { ERROR_TABLE } from '../../errors/table.ts'
import type { ErrorCode } from '../../uploads/errors.ts'
import { type Action, POLICY } from '../../uploads/policy.ts'
import type { Answer, Header, MediaType, Operation, Parameter, Schema } from './types.ts'

const PROBLEM = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }
const TUS_TEXT = {
  'text/plain': { schema: { type: 'string' }, example: 'offset_mismatch: Offset is not where the upload ends. …' },
}

/** The answers to these failures, by their statuses in the error table. `form`: which shapes they come in. */
export function failures(form: 'problem' | 'tus' | 'both', ...codes: readonly ErrorCode[]): Record<string, Answer> {
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of codes) {
    const { status } = ERROR_TABLE[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  const content = { ...(form === 'tus' ? {} : PROBLEM), ...(form === 'problem' ? {} : TUS_TEXT) }
  const answers = [...byStatus].map(([status, found]): [string, Answer] => [
    String(status),
    { description: found.map((code) => `\`${code}\`: ${ERROR_TABLE[code].title}.`).join(' '), content },
  ])
  return Object.fromEntries(answers)
}

/** The same without bodies, as HEAD answers them. */
export function bodiless(answers: Readonly<Record<string, Answer>>): Record<string, Answer> {
  return Object.fromEntries(
    Object.entries(answers).map(([status, { content: _none, ...answer }]): [string, Answer] => [status, answer]),
  )
}

export function json(schema: Schema, example?: unknown): Record<string, MediaType> {
  return { 'application/json': { schema, ...(example === undefined ? {} : { example }) } }
}

export function ref(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` }
}

export function header(description: string, schema: Schema = { type: 'string' }): Header {
  return { description, schema }
}

export function query(name: string, description: string, schema: Schema): Parameter {
  return { name, in: 'query', description, schema }
}

export function requestHeader(name: string, description: string, schema: Schema, required = false): Parameter {
  return { name, in: 'header', description, schema, required }
}

export const UPLOAD_ID: Parameter = {
  name: 'id',
  in: 'path',
  required: true,
  description: 'The upload.',
  schema: { type: 'string', format: 'uuid' },
}

export const BYTE_COUNT: Schema = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }

type Plain = Omit<Operation, 'security' | 'x-roles'>

/** An operation that everybody may call. */
export function open(operation: Plain): Operation {
  return { ...operation, security: [] }
}

/** An operation for callers with a role that allows one of these actions. */
export function guarded(asks: readonly (Action | 'administer')[], operation: Plain): Operation {
  const roles = Object.entries(POLICY)
    .filter(([, allowed]) => asks.some((action) => allowed[action] !== undefined))
    .map(([role]) => role)
  const responses = {
    ...operation.responses,
    ...failures('problem', 'unauthenticated'),
    403: operation.responses[403] ?? failures('problem', 'forbidden')[403] ?? { description: 'Not allowed.' },
  }
  return { ...operation, responses, security: [{ token: [] }], 'x-roles': roles }
}
