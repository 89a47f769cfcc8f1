import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { sql } from 'kysely'
import type { Subject } from '../contract.ts'
import { dumpSchema } from '../dump.ts'
import { MIGRATIONS } from '../migrations/index.ts'

/** Runs first: what comes after needs the tables. */
export function schemaContract(subject: Subject): void {
  test('before the migrations: a check refuses, and a call is told to come back', async () => {
    const { database } = subject()
    await assert.rejects(database.migrate('check'), { code: 'internal', message: /001-initial.*db:migrate/ })
    await assert.rejects(database.outbox.pending(), { code: 'records_unavailable' })
    assert.deepEqual((await database.status()).missingMigrations, Object.keys(MIGRATIONS))
  })

  test('several processes migrate at once: each migration is applied once', async () => {
    const { database } = subject()
    const applied = await Promise.all([database.migrate('auto'), database.migrate('auto'), database.migrate('auto')])
    assert.deepEqual(applied.flat(), Object.keys(MIGRATIONS))
    assert.deepEqual(await database.migrate('auto'), [])
    assert.deepEqual(await database.migrate('check'), [])
    assert.deepEqual(await database.migrate('off'), [])
    assert.deepEqual((await database.status()).missingMigrations, [])
  })

  test('a database that a newer version migrated is left alone', async () => {
    const { database, driver } = subject()
    await sql`insert into kysely_migration values ('999-of-tomorrow', now()::text)`.execute(driver.db)
    try {
      assert.deepEqual(await database.migrate('auto'), [])
      assert.deepEqual(await database.migrate('check'), [])
    } finally {
      await sql`delete from kysely_migration where name = '999-of-tomorrow'`.execute(driver.db)
    }
  })

  test('the schema is the one of db/schema.sql', async () => {
    const golden = await readFile(new URL('../schema.sql', import.meta.url), 'utf8')
    assert.equal(await dumpSchema(subject().driver.db), golden)
  })
}
