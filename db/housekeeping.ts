import { type Kysely, sql } from 'kysely'
import type { Housekeeping } from '../server/uploads/ports/housekeeping.ts'
import { guarded } from './failures.ts'
import { toUpload } from './rows.ts'
import type { Tables } from './schema.ts'

/** Leases and look-ups of the sweeper. Failures are `records_unavailable` or `internal`. */
export function createHousekeeping(db: Kysely<Tables>): Housekeeping {
  return {
    lease: (name, holder, forMs) => guarded(() => lease(db, name, holder, forMs)),
    bucketsSince: (time) =>
      guarded(async () => {
        const rows = await db
          .selectFrom('uploads')
          .select('bucket')
          .distinct()
          .where('bucket', 'is not', null)
          // Ids are in the order of their times, and have an index.
          .where(sql<boolean>`id >= ${idAt(time ?? 0)}::uuid`)
          .execute()
        return rows.flatMap(({ bucket }) => bucket ?? [])
      }),
    rowsOf: (ids) =>
      guarded(async () => {
        if (ids.length === 0) return new Map()
        const rows = await db
          .selectFrom('uploads')
          .selectAll()
          .where(sql<boolean>`id = any(${[...ids]}::uuid[])`)
          .execute()
        return new Map(rows.map((row) => [row.id, toUpload(row)]))
      }),
  }
}

/** What every UUIDv7 that was made since then comes behind. */
function idAt(time: number): string {
  const hex = Math.max(0, Math.floor(time)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}

/** By the database's clock. The conflict's row lock lets one of several takers win. */
async function lease(db: Kysely<Tables>, name: string, holder: string, forMs: number): Promise<boolean> {
  const until = sql<Date>`clock_timestamp() + ${forMs} * interval '1 millisecond'`
  const taken = await db
    .insertInto('leases')
    .values({ name, holder, expires_at: until })
    .onConflict((conflict) =>
      conflict
        .column('name')
        .doUpdateSet({ holder, expires_at: until })
        .where((where) =>
          where.or([
            where('leases.holder', '=', holder),
            where('leases.expires_at', '<=', sql<Date>`clock_timestamp()`),
          ]),
        ),
    )
    .returning('name')
    .executeTakeFirst()
  return taken !== undefined
}
