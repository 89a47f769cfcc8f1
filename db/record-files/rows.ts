import { CompiledQuery, type Kysely, sql } from 'kysely'
import type { UploadId } from '../../server/uploads/words.ts'
import type { Tables } from '../schema.ts'
import type { Columns, UploadRecord } from './format.ts'

/** An upload as the database spells it: what a record is made of. */
export interface RowAsJson {
  readonly id: UploadId
  readonly row: Columns
  readonly events: Columns[]
}

/** Row and events in one statement: they fit each other, whatever is changed meanwhile. */
const READ = `select u.id, to_jsonb(u) as row, coalesce((
    select jsonb_agg(to_jsonb(o) - 'position' - 'claimed_until' - 'published_at' - 'done_at' order by o.seq)
    from outbox o where o.upload_id = u.id and o.done_at is null
  ), '[]'::jsonb) as events
  from uploads u where u.id = any($1::uuid[])`

/** Unknown ids are left out. */
export async function readRows(db: Kysely<Tables>, ids: readonly UploadId[]): Promise<RowAsJson[]> {
  const { rows } = await db.executeQuery<RowAsJson>(rowQuery(ids))
  return rows
}

/** READ answers these three columns: this is where that is said to the compiler. */
function rowQuery(ids: readonly UploadId[]): CompiledQuery<RowAsJson> {
  return CompiledQuery.raw(READ, [[...ids]]) as CompiledQuery<RowAsJson>
}

/** Ids of rows in their order, behind `after`. */
export async function readIds(db: Kysely<Tables>, after: UploadId | null, limit: number): Promise<UploadId[]> {
  let query = db.selectFrom('uploads').select('id').orderBy('id').limit(limit)
  if (after !== null) query = query.where('id', '>', after)
  return (await query.execute()).map(({ id }) => id)
}

/** Whose event it is; null: it was pruned. */
export async function findUploadOfEvent(db: Kysely<Tables>, eventId: string): Promise<UploadId | null> {
  const found = await db.selectFrom('outbox').select('upload_id').where('event_id', '=', eventId).executeTakeFirst()
  return found?.upload_id ?? null
}

export async function findPartialsOf(db: Kysely<Tables>, final: UploadId): Promise<UploadId[]> {
  const found = await db.selectFrom('uploads').select('id').where('partial_of', '=', final).execute()
  return found.map(({ id }) => id)
}

/** Every time in a row is then spelled in one zone, whatever TZ the process has. PGlite is one session. */
export async function spellInUtc(db: Kysely<Tables>): Promise<void> {
  await sql`set time zone 'UTC'`.execute(db)
}

export async function readColumnNames(db: Kysely<Tables>): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ name: string }>`
    select attname as name from pg_attribute
    where attrelid = 'uploads'::regclass and attnum > 0 and not attisdropped`.execute(db)
  return new Set(rows.map(({ name }) => name))
}

/**
 * Makes the row what the record says, and adds its events from `fromSeq` on; one statement. A column that only one of the
 * two has (the record is older than a migration) keeps its value or gets its default.
 */
export async function putRow(
  db: Kysely<Tables>,
  record: UploadRecord,
  known: ReadonlySet<string>,
  fromSeq: number,
): Promise<void> {
  const names = Object.keys(record.row).filter((name) => known.has(name))
  const columns = sql.join(names.map((name) => sql.ref(name)))
  const values = sql.join(names.map((name) => sql.ref(`excluded.${name}`)))
  await sql`
    with written as (
      insert into uploads (${columns})
      select ${columns} from jsonb_populate_record(null::uploads, ${JSON.stringify(record.row)}::jsonb)
      on conflict (id) do update set (${columns}) = row (${values})
    )
    insert into outbox (event_id, upload_id, seq, type, payload, created_at)
    select event_id, upload_id, seq, type, payload, created_at
    from jsonb_populate_recordset(null::outbox, ${JSON.stringify(record.events)}::jsonb)
    where seq >= ${fromSeq}::bigint order by seq
    on conflict do nothing`.execute(db)
}
