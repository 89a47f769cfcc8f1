import type { Kysely } from 'kysely'
import { UploadError } from '../server/uploads/errors.ts'
import { parseUploadId } from '../server/uploads/id.ts'
import type { ListQuery, Page } from '../server/uploads/ports/records.ts'
import type { UploadId } from '../server/uploads/words.ts'
import { toUpload } from './rows.ts'
import type { Tables } from './schema.ts'

/** One page, newest first: ids are UUIDv7, so the last id of a page is where the next one goes on. */
export async function listUploads(db: Kysely<Tables>, query: ListQuery): Promise<Page> {
  const { limit } = query
  if (!Number.isInteger(limit) || limit < 1 || limit > 100) {
    throw new UploadError('query_invalid', `limit is ${limit}; give a whole number from 1 to 100`)
  }
  let select = db.selectFrom('uploads').selectAll().where('tenant', '=', query.tenant)
  if (query.owner !== undefined) select = select.where('owner', '=', query.owner)
  if (query.state !== undefined) select = select.where('state', '=', query.state)
  if (query.contentType !== undefined) select = select.where('content_type', '=', query.contentType)
  if (query.createdAfter !== undefined) select = select.where('created_at', '>', asDate(query.createdAfter))
  if (query.createdBefore !== undefined) select = select.where('created_at', '<', asDate(query.createdBefore))
  if (query.cursor !== undefined) select = select.where('id', '<', parseCursor(query.cursor))
  // One more than asked tells whether there is a next page, without a count.
  const rows = await select
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute()
  const items = rows.slice(0, limit).map(toUpload)
  const last = items.at(-1)
  return { items, nextCursor: last && rows.length > limit ? makeCursor(last.id) : null }
}

function asDate(ms: number): Date {
  const date = new Date(ms)
  if (Number.isNaN(date.getTime())) throw new UploadError('query_invalid', `${ms} is no time in milliseconds`)
  return date
}

function makeCursor(last: UploadId): string {
  return Buffer.from(last.replaceAll('-', ''), 'hex').toString('base64url')
}

function parseCursor(cursor: string): UploadId {
  const hex = Buffer.from(cursor, 'base64url').toString('hex')
  const id = parseUploadId(hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'))
  // Base64 has several spellings of the same bytes; only ours is one of our cursors.
  if (!id || makeCursor(id) !== cursor) {
    throw new UploadError('query_invalid', 'the cursor is not one of ours; take nextCursor of the page before')
  }
  return id
}
