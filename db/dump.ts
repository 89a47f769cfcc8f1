import { type Kysely, sql } from 'kysely'
import type { Tables } from './schema.ts'

/**
 * The schema as text, from the catalogue and not by pg_dump, so that Postgres 15 and PGlite (18) print the same. The
 * golden copy is db/schema.sql; a test compares it on both.
 */
export async function dumpSchema(db: Kysely<Tables>): Promise<string> {
  const tables = await sql<{ name: string }>`
    select relname as name from pg_class
    where relkind = 'r' and relnamespace = 'public'::regnamespace and relname not like 'kysely%' order by relname`.execute(
    db,
  )
  const parts: string[] = []
  for (const { name } of tables.rows) parts.push(await dumpTable(db, name))
  return `${parts.join('\n')}`
}

async function dumpTable(db: Kysely<Tables>, table: string): Promise<string> {
  const columns = await sql<{ line: string }>`
    select quote_ident(attname) || ' ' || format_type(atttypid, atttypmod)
      || case when attnotnull then ' not null' else '' end
      || case attidentity when 'a' then ' generated always as identity' else '' end
      || coalesce(' default ' || pg_get_expr(adbin, adrelid), '') as line
    from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
    where attrelid = ${table}::regclass and attnum > 0 and not attisdropped order by attnum`.execute(db)
  // Postgres 18 lists NOT NULL among the constraints (contype n); it stands with its column here.
  const constraints = await sql<{ line: string }>`
    select 'constraint ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid) as line
    from pg_constraint where conrelid = ${table}::regclass and contype <> 'n' order by conname`.execute(db)
  const indexes = await sql<{ line: string }>`
    select pg_get_indexdef(indexrelid) || ';' as line
    from pg_index where indrelid = ${table}::regclass
      and not exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u'))
    order by indexrelid::regclass::text`.execute(db)
  const lines = [...columns.rows, ...constraints.rows].map((row) => `  ${row.line}`)
  return [`create table ${table} (`, lines.join(',\n'), ');', ...indexes.rows.map((row) => row.line), ''].join('\n')
}
