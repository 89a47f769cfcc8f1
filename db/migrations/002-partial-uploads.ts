import { type Kysely, sql } from 'kysely'

/**
 * What concatenation asks: the partial uploads of a final one, and those whose time is over. Runs while an older version
 * serves: it waits for writes to end and keeps new ones waiting while the indexes are built.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  'create index uploads_of_final on uploads (partial_of) where partial_of is not null',
  // Of what is uploaded, only partial uploads expire.
  "create index uploads_partials_due on uploads (expires_at) where state = 'uploaded' and expires_at is not null",
]
