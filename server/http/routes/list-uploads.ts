import type { RequestHandler } from 'express'
import type { Engine } from '../../uploads/api.ts'
import { UploadError } from '../../uploads/errors.ts'
import type { ListQuery } from '../../uploads/ports/records.ts'
import { UPLOAD_STATES, type UploadState } from '../../uploads/states.ts'
import { principalOf } from '../context.ts'
import { uploadJson } from '../upload-json.ts'

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 100

/** `GET /api/v1/uploads`: the caller's uploads, newest first, a page at a time. */
export function listUploads(engine: Engine): RequestHandler {
  return async (req, res) => {
    const page = await engine.list(principalOf(req), readListQuery(new URL(req.originalUrl, 'http://localhost')))
    res.setHeader('Cache-Control', 'no-store')
    res.json({ items: page.items.map(uploadJson), nextCursor: page.nextCursor })
  }
}

/** The query of a list. Throws query_invalid. */
export function readListQuery(url: URL): Omit<ListQuery, 'tenant'> {
  const one = (name: string): string | undefined => {
    const values = url.searchParams.getAll(name)
    if (values.length > 1) throw new UploadError('query_invalid', `${name} was given more than once.`)
    return values[0]
  }
  const filters = {
    owner: one('owner'),
    cursor: one('cursor'),
    contentType: one('contentType'),
    state: readState(one('state')),
    createdAfter: readTime('createdAfter', one('createdAfter')),
    createdBefore: readTime('createdBefore', one('createdBefore')),
  }
  return { limit: readLimit(one('limit')), ...defined(filters) }
}

type Defined<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> }

/** The same without what is undefined. */
function defined<T extends object>(values: T): Defined<T> {
  const kept: Defined<T> = {}
  for (const key in values) {
    const value = values[key]
    if (value !== undefined) Object.assign(kept, { [key]: value })
  }
  return kept
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LIMIT
  const limit = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0
  if (limit >= 1 && limit <= MAX_LIMIT) return limit
  throw new UploadError('query_invalid', `limit is a whole number from 1 to ${MAX_LIMIT}.`)
}

function readState(text: string | undefined): UploadState | undefined {
  if (text === undefined) return undefined
  const state = UPLOAD_STATES.find((known) => known === text)
  if (state !== undefined) return state
  throw new UploadError('query_invalid', `state is one of ${UPLOAD_STATES.join(', ')}.`)
}

/** An ISO 8601 time, as the records show it, or milliseconds since 1970. */
function readTime(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const time = /^[0-9]{1,15}$/.test(text) ? Number(text) : Date.parse(text)
  if (Number.isFinite(time)) return time
  throw new UploadError('query_invalid', `${name} is a time such as 2026-01-31T12:00:00Z.`)
}
