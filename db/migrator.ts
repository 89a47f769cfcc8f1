import { type Kysely, sql, type Transaction } from 'kysely'
import { Migrator } from 'kysely/migration'
import { UploadError } from '../server/uploads/errors.ts'
import { guarded } from './failures.ts'
import { MIGRATIONS } from './migrations/index.ts'
import type { Tables } from './schema.ts'

/** One number for all who migrate this database; any other service's locks have other numbers. */
const LOCK = 7_226_117_301

/** Which migrations are in the database. Failure: `records_unavailable`. */
export interface SchemaState {
  readonly applied: readonly string[]
  /** Ours that are missing there. */
  readonly missing: readonly string[]
  /** In the database and unknown to this version: a newer one has been here. */
  readonly unknown: readonly string[]
}

/** Reads without a lock what is applied. */
export function readSchemaState(db: Kysely<Tables>): Promise<SchemaState> {
  return guarded(async () => {
    const names = await appliedNames(db)
    return {
      applied: names,
      missing: Object.keys(MIGRATIONS).filter((name) => !names.includes(name)),
      unknown: names.filter((name) => !Object.hasOwn(MIGRATIONS, name)),
    }
  })
}

/**
 * Brings the schema up to date; returns the names that were applied now. Everything is one transaction under a lock
 * that ends with it (a session's lock would stay behind in PgBouncer's connection), so any number may call at once.
 * A newer database is left alone: during a rolling upgrade old instances start beside new ones.
 */
export function migrateToLatest(db: Kysely<Tables>): Promise<readonly string[]> {
  return guarded(() =>
    db.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(${LOCK})`.execute(transaction)
      const state = await readSchemaState(transaction)
      if (state.missing.length === 0) return []
      if (state.unknown.length > 0) throw diverged(state)
      return runMigrator(transaction)
    }),
  )
}

/** Throws `internal` when the schema is behind this version. */
export async function requireLatest(db: Kysely<Tables>): Promise<void> {
  const { missing } = await readSchemaState(db)
  if (missing.length === 0) return
  throw new UploadError(
    'internal',
    `the database lacks the migrations ${missing.join(', ')}; run \`npm run db:migrate\` or set DB_MIGRATE=auto`,
  )
}

async function runMigrator(transaction: Transaction<Tables>): Promise<readonly string[]> {
  const migrator = new Migrator({ db: transaction, provider: { getMigrations: async () => ({ ...MIGRATIONS }) } })
  const { error, results } = await migrator.migrateToLatest()
  if (error) throw error
  return (results ?? []).map((result) => result.migrationName)
}

async function appliedNames(db: Kysely<Tables>): Promise<string[]> {
  const { rows: tables } = await sql<{
    there: boolean
  }>`select to_regclass('kysely_migration') is not null as there`.execute(db)
  if (!tables[0]?.there) return []
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db)
  return rows.map((row) => row.name)
}

function diverged({ missing, unknown }: SchemaState): UploadError {
  return new UploadError(
    'internal',
    `the database has migrations that this version does not know (${unknown.join(', ')}) and lacks ${missing.join(', ')}; ` +
      'run the version that wrote them',
  )
}
