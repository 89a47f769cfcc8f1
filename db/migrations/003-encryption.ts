import { type Kysely, sql } from 'kysely'

/** What opens an upload that the service encrypted. Runs while an older version serves, which writes the defaults. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  "alter table uploads add column data_keys jsonb not null default '{}', add column layout jsonb",
  // What a new key has to be wrapped with: as small as the number of encrypted uploads.
  "create index uploads_of_key on uploads (key_id, id) where data_keys <> '{}'",
]
