import type { Request, RequestHandler } from 'express'
import { answerTo, toUploadError } from '../../errors/answer.ts'
import { type Problem, problemOf } from '../../errors/forms.ts'
import type { Engine } from '../../uploads/api.ts'
import { UploadError } from '../../uploads/errors.ts'
import type { UploadId } from '../../uploads/id.ts'
import { formatMetadata } from '../../uploads/metadata.ts'
import { requireRole } from '../../uploads/policy.ts'
import type { Principal } from '../../uploads/words.ts'
import { readJson } from '../body.ts'
import { contextOf, principalOf } from '../context.ts'
import { readMetadata } from '../metadata-json.ts'
import type { Locate } from '../ports.ts'

/** Uploads in one call. */
export const MOST_UPLOADS = 100
/** Longest body of one call, bytes. */
export const MANY_BODY_BYTES = 2 * 1024 * 1024
/** Creations of one call that run side by side: it must not take the database from everybody else. */
const AT_ONCE = 8

type Outcome =
  | { readonly status: 201; readonly location: string; readonly id: UploadId }
  | { readonly status: number; readonly problem: Problem }

export interface CreateManyOptions {
  readonly engine: Engine
  readonly locate: Locate
  readonly idleTimeoutMs: number
}

/**
 * `POST /api/v1/uploads/multiple`: up to 100 creations, each on its own: an address or a problem for each, in order.
 * Throws only when the body as a whole is wrong.
 */
export function createMany({ engine, locate, idleTimeoutMs }: CreateManyOptions): RequestHandler {
  return async (req, res) => {
    const principal = principalOf(req)
    requireRole(principal, 'create')
    const items = readItems(await readJson(req, res, { maxBytes: MANY_BODY_BYTES, idleMs: idleTimeoutMs }))
    const outcomes = await mapAtOnce(items, AT_ONCE, (item) => createOne(engine, principal, item, req, locate))
    res.setHeader('Cache-Control', 'no-store')
    res.json(outcomes)
  }
}

function readItems(body: unknown): readonly unknown[] {
  const items = isObject(body) ? body.uploads : undefined
  if (!Array.isArray(items)) throw new UploadError('body_invalid', 'The body is {"uploads": [{"length": …}, …]}.')
  if (items.length < 1 || items.length > MOST_UPLOADS) {
    throw new UploadError('body_invalid', `"uploads" has ${items.length} entries; give 1 to ${MOST_UPLOADS}.`)
  }
  return items
}

async function createOne(
  engine: Engine,
  principal: Principal,
  item: unknown,
  req: Request,
  locate: Locate,
): Promise<Outcome> {
  try {
    const { length, metadataRaw } = readItem(item)
    const { upload } = await engine.create(principal, { length, metadataRaw, body: null, bodyLength: 0 })
    return { status: 201, location: locate(req, upload.id), id: upload.id }
  } catch (error) {
    const answer = answerTo(toUploadError(error), 'POST')
    return { status: answer.status, problem: problemOf(answer, contextOf(req)?.requestId) }
  }
}

/** One entry. Throws body_invalid, length_missing, length_invalid, metadata_invalid. */
function readItem(item: unknown): { readonly length: number | null; readonly metadataRaw: string } {
  if (!isObject(item))
    throw new UploadError('body_invalid', 'An entry of "uploads" is an object like {"length": 1024}.')
  const known = { ...readMetadata(item.metadata) }
  for (const [name, key] of [
    ['filename', 'filename'],
    ['contentType', 'filetype'],
  ] as const) {
    const value = item[name]
    if (value === undefined) continue
    if (typeof value !== 'string') throw new UploadError('body_invalid', `"${name}" is a string.`)
    known[key] ??= value
  }
  return { length: readLength(item.length), metadataRaw: formatMetadata(known) }
}

/** null: not known yet. */
function readLength(value: unknown): number | null {
  if (value === null) return null
  if (value === undefined) {
    throw new UploadError('length_missing', '"length" is missing: give bytes, or null when it is not known yet.')
  }
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new UploadError('length_invalid', '"length" is a whole number of bytes, or null when it is not known yet.')
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

async function mapAtOnce<T, R>(items: readonly T[], atOnce: number, run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index]
      if (item !== undefined) results[index] = await run(item)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker))
  return results
}
