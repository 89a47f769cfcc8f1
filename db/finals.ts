import { type Kysely, sql } from 'kysely'
import type { Upload, UploadId, UploadState } from '../server/uploads/words.ts'
import { toUpload } from './rows.ts'
import type { Tables } from './schema.ts'

/** Does a final upload that is being made have the object among its segments? Few rows are in finishing at a time. */
export async function isSource(db: Kysely<Tables>, key: string): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (
      select from uploads where state = 'finishing' and segments @> ${JSON.stringify([{ key }])}::jsonb
    ) as found`.execute(db)
  return rows[0]?.found ?? false
}

/** Of what is uploaded, only partial uploads have a time to expire at. */
export async function findDuePartials(db: Kysely<Tables>, now: number, limit: number): Promise<Upload[]> {
  const rows = await db
    .selectFrom('uploads')
    .selectAll()
    // A literal, so that the planner sees that the partial index fits.
    .where('state', '=', sql<UploadState>`'uploaded'`)
    .where('expires_at', '<=', new Date(now))
    .where('legal_hold', '=', false)
    .orderBy('expires_at')
    .limit(limit)
    .execute()
  return rows.map(toUpload)
}

export async function releasePartials(db: Kysely<Tables>, final: UploadId, expiresAt: number): Promise<void> {
  const until = new Date(expiresAt)
  await db
    .updateTable('uploads')
    // `least` leaves out what is null.
    .set({ expires_at: sql<Date>`least(expires_at, ${until}::timestamptz)` })
    .where('partial_of', '=', final)
    .where('state', '=', 'uploaded')
    .execute()
}
