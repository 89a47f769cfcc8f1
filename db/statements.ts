import { CompiledQuery } from 'kysely'
import { v7 } from 'uuid'
import { UploadError } from '../server/uploads/errors.ts'
import type { NewUpload, UploadChange } from '../server/uploads/ports/records.ts'
import { mayEnter, statesBefore } from '../server/uploads/states.ts'
import type { UploadId, UploadState } from '../server/uploads/words.ts'
import { insertEvents, NOW } from './events.ts'
import { AS_JSON } from './json-rows.ts'
import { toColumns } from './rows.ts'

/**
 * The two statements that write uploads, each one round trip: the row and its events in one go, so one state change is
 * one event without BEGIN and COMMIT. The text depends only on which columns and states take part. Statements are
 * unnamed: named ones do not live through PgBouncer's transaction mode.
 *
 * With `partials` it is a final upload: each of them gets its name and another generation, so that nobody who read one
 * before can end it; no row is written unless all are `uploaded`.
 */
export function insertStatement(
  upload: NewUpload,
  entered: readonly UploadState[],
  partials: readonly UploadId[] | null = null,
): CompiledQuery {
  const state = entered.at(-1)
  if (entered[0] !== 'created' || state === undefined) {
    throw new UploadError('internal', `an upload begins with created, not with [${entered}]`)
  }
  const parameters = new Parameters()
  const columns: [string, string][] = [
    ['id', parameters.add(upload.id)],
    ['state', parameters.add(state)],
    ['next_seq', parameters.add(entered.length + 1)],
    ['updated_at', NOW],
    ...entered.map((each): [string, string] => [`${each}_at`, NOW]),
  ]
  const given = Object.entries(toColumns(upload))
  for (const [column, value] of given) columns.push([column, parameters.add(value)])
  const ids = parameters.add(entered.map(() => v7()))
  const states = parameters.add([...entered])
  if (!partials) {
    const shape = [...entered, ...given.map(([column]) => column)].join()
    return CompiledQuery.raw(
      kept(shape, () => insertText(columns, ids, states, null)),
      parameters.values,
    )
  }
  const named = namePartials(upload.id, [...new Set(partials)], parameters)
  return CompiledQuery.raw(insertText(columns, ids, states, named), parameters.values)
}

type Named = ReturnType<typeof namePartials>

/** `columns` with their expressions, `ids` and `states` of the events as placeholders. */
function insertText(columns: readonly [string, string][], ids: string, states: string, named: Named | null): string {
  const names = columns.map(([column]) => column).join(', ')
  const values = columns.map(([, value]) => value).join(', ')
  return `with ${named?.cte ?? ''}written as (
      insert into uploads (${names})
      ${named ? `select ${values} ${named.condition}` : `values (${values})`}
      returning *
    ), events as (${insertEvents('written', ids, states)})
    select ${AS_JSON('written')} from written`
}

/** A creation costs more to spell than to look up; there are few shapes of one, but nobody has to count on it. */
const MOST_TEXTS = 1000
const texts = new Map<string, string>()

function kept(shape: string, spell: () => string): string {
  const known = texts.get(shape)
  if (known !== undefined) return known
  const text = spell()
  if (texts.size < MOST_TEXTS) texts.set(shape, text)
  return text
}

/** In the order of their ids, so that two finals of the same partials wait for each other and never for good. */
function namePartials(final: UploadId, partials: readonly UploadId[], parameters: Parameters) {
  const ids = parameters.add([...partials])
  return {
    cte: `locked as (
      select id from uploads where id = any(${ids}::uuid[]) and state = 'uploaded' order by id for update
    ), named as (
      update uploads set partial_of = ${parameters.add(final)}, generation = generation + 1, updated_at = ${NOW}
      where id in (select id from locked) returning id
    ), `,
    condition: `where (select count(*) from named) = ${parameters.add(partials.length)}`,
  }
}

export interface ChangeGuard {
  /** null: whatever it is (post-processing, which holds nothing). */
  readonly generation: number | null
  readonly enter: readonly UploadState[]
  readonly from: readonly UploadState[] | null
  readonly raise: boolean
}

/** Changes the row where generation and state are as the guard says; answers the row after the change, or no row. */
export function changeStatement(id: UploadId, change: UploadChange, guard: ChangeGuard): CompiledQuery {
  const { enter } = guard
  requireChain(enter)
  const parameters = new Parameters()
  const where = [`id = ${parameters.add(id)}`]
  if (guard.generation !== null) where.push(`generation = ${parameters.add(guard.generation)}`)
  const from = statesAllowed(guard)
  if (from) where.push(`state = any(${parameters.add(from)}::text[])`)

  const sets = [`updated_at = ${NOW}`]
  for (const [column, value] of Object.entries(toColumns(change))) sets.push(`${column} = ${parameters.add(value)}`)
  if (guard.raise) sets.push('generation = generation + 1')
  const state = enter.at(-1)
  if (state === undefined) {
    return CompiledQuery.raw(
      `update uploads set ${sets.join(', ')} where ${where.join(' and ')}
      returning ${AS_JSON('uploads')}`,
      parameters.values,
    )
  }
  sets.push(`state = ${parameters.add(state)}`, `next_seq = next_seq + ${parameters.add(enter.length)}`)
  for (const each of new Set(enter)) sets.push(`${each}_at = ${NOW}`)
  const ids = parameters.add(enter.map(() => v7()))
  const states = parameters.add([...enter])
  return CompiledQuery.raw(
    `with written as (
      update uploads set ${sets.join(', ')} where ${where.join(' and ')} returning *
    ), events as (${insertEvents('written', ids, states)})
    select ${AS_JSON('written')} from written`,
    parameters.values,
  )
}

/** The table of states is law: a caller's `from` may narrow it and never widens it. null: any state. */
function statesAllowed({ enter, from }: ChangeGuard): UploadState[] | null {
  const first = enter[0]
  if (first === undefined) return from && [...from]
  return statesBefore(first).filter((state) => from?.includes(state) ?? true)
}

function requireChain(states: readonly UploadState[]): void {
  for (const [index, to] of states.entries()) {
    const from = states[index - 1]
    if (from !== undefined && !mayEnter(from, to)) {
      throw new UploadError('internal', `an upload does not go from ${from} to ${to}`)
    }
  }
}

class Parameters {
  readonly values: unknown[] = []

  /** Appends a value; returns its placeholder. */
  add(value: unknown): string {
    this.values.push(value)
    return `$${this.values.length}`
  }
}
