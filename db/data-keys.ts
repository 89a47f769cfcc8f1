import { type Kysely, sql } from 'kysely'
import type { Upload, UploadId } from '../server/uploads/words.ts'
import { guarded } from './failures.ts'
import type { Tables } from './schema.ts'

/** The wrapped data keys of one upload, and the key that they are wrapped with. */
export type WrappedKeys = Pick<Upload, 'dataKeys'> & { readonly keyId: string }

/** What a rotation of ENCRYPTION_KEYS does to the rows. Failure: `records_unavailable`. */
export interface DataKeys {
  /** At most `limit` uploads that need another key than `current`, in the order of their ids, from behind `after` on. */
  others(current: string, after: UploadId | null, limit: number): Promise<(WrappedKeys & { readonly id: UploadId })[]>
  /** False: the row changed meanwhile, or the upload ended; nothing was written. */
  replace(id: UploadId, before: WrappedKeys, now: WrappedKeys): Promise<boolean>
  /** How many uploads need each key. */
  uses(): Promise<ReadonlyMap<string, number>>
}

export function createDataKeys(db: Kysely<Tables>): DataKeys {
  return {
    others: (current, after, limit) => guarded(() => findOthers(db, current, after, limit)),
    replace: (id, before, now) => guarded(() => replace(db, id, before, now)),
    uses: () => guarded(() => countUses(db)),
  }
}

async function findOthers(db: Kysely<Tables>, current: string, after: UploadId | null, limit: number) {
  let query = db
    .selectFrom('uploads')
    .select(['id', 'key_id', 'data_keys'])
    .where('key_id', '<>', current)
    .where(sql<boolean>`data_keys <> '{}'`)
    .orderBy('id')
    .limit(limit)
  if (after !== null) query = query.where('id', '>', after)
  const rows = await query.execute()
  return rows.map((row) => ({ id: row.id, keyId: row.key_id ?? '', dataKeys: row.data_keys }))
}

/** An upload that ended meanwhile has no data keys any more, and must not get them back. */
async function replace(db: Kysely<Tables>, id: UploadId, before: WrappedKeys, now: WrappedKeys): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('uploads')
    .set({ key_id: now.keyId, data_keys: JSON.stringify(now.dataKeys) })
    .where('id', '=', id)
    .where('key_id', '=', before.keyId)
    .where(sql<boolean>`data_keys = ${JSON.stringify(before.dataKeys)}::jsonb`)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

async function countUses(db: Kysely<Tables>): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom('uploads')
    .select(['key_id', (count) => count.fn.countAll<number>().as('uploads')])
    .where(sql<boolean>`data_keys <> '{}'`)
    .groupBy('key_id')
    .orderBy('key_id')
    .execute()
  return new Map(rows.map((row) => [row.key_id ?? '', Number(row.uploads)]))
}
