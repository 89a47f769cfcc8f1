import { type Kysely, sql } from 'kysely'
import type { HistoryEntry } from '../server/uploads/ports/records.ts'
import type { UploadId } from '../server/uploads/words.ts'
import type { Tables } from './schema.ts'

/** Lines kept of one upload. */
export const HISTORY_LINES = 200

/**
 * Adds a line and drops what is older than the last 200 of that upload: one index range, in the same statement. An
 * unknown upload is no failure: a line of diagnosis must not break what it describes.
 */
export async function noteHistory(db: Kysely<Tables>, entry: HistoryEntry): Promise<void> {
  await sql`
    with trimmed as (
      delete from upload_history where upload_id = ${entry.upload} and id <= (
        select id from upload_history where upload_id = ${entry.upload}
        order by id desc offset ${HISTORY_LINES - 1} limit 1
      )
    )
    insert into upload_history (upload_id, kind, generation, instance, "offset", detail)
    select id, ${entry.kind}, ${entry.generation}::bigint, ${entry.instance}, ${entry.offset}::bigint,
      ${entry.detail ?? null}::text
    from uploads where id = ${entry.upload}`.execute(db)
}

/** The lines of an upload, newest first. */
export async function readHistory(db: Kysely<Tables>, upload: UploadId): Promise<readonly HistoryLine[]> {
  const rows = await db
    .selectFrom('upload_history')
    .selectAll()
    .where('upload_id', '=', upload)
    .orderBy('id', 'desc')
    .execute()
  return rows.map((row) => ({
    at: row.at.getTime(),
    kind: row.kind,
    generation: row.generation,
    instance: row.instance,
    offset: row.offset,
    detail: row.detail,
  }))
}

/** A line as it is read. `at` is milliseconds since 1970. */
export interface HistoryLine {
  readonly at: number
  readonly kind: string
  readonly generation: number
  readonly instance: string
  readonly offset: number
  readonly detail: string | null
}
