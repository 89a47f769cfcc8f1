import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import pg from 'pg'
import { type Database, openDatabase } from '../../db/database.ts'
import { newUpload } from '../../db/fixtures.ts'
import { UploadError } from '../../server/uploads/errors.ts'
import { freshDatabase, testServices } from '../support/services.ts'

describe('a pool that is replaced while it is used', { timeout: 60_000 }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let admin: pg.Client
  before(async () => {
    fresh = await freshDatabase()
    admin = new pg.Client({ connectionString: fresh.url })
    await admin.connect()
    const database = await openDatabase({ driver: 'postgres', url: fresh.url, poolMin: 0, poolMax: 1 })
    await database.migrate('auto')
    await database.close()
  })
  after(async () => {
    await admin.end()
    await fresh.drop()
  })

  async function open(t: TestContext, poolMax: number): Promise<Database> {
    const database = await openDatabase({ driver: 'postgres', url: fresh.url, poolMin: 1, poolMax })
    t.after(() => database.close())
    return database
  }
  async function backends(): Promise<number[]> {
    const { rows } = await admin.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and application_name = 'upload-service'`,
    )
    return rows.map(({ pid }) => pid)
  }

  it('waits for calls under way and for those that wait, on the old connections', async (t) => {
    const database = await open(t, 2)
    const upload = newUpload()
    const { generation } = await database.records.insert(upload, ['created'])
    // Both connections wait for this row; two more calls wait for a connection.
    const locker = new pg.Client({ connectionString: fresh.url })
    await locker.connect()
    await locker.query('begin')
    await locker.query('select 1 from uploads where id = $1 for update', [upload.id])
    const change = (offsetSeen: number) => database.records.change(upload.id, { offsetSeen }, { generation })
    const changes = [change(1), change(2), change(3), change(4)]
    while (database.stats().waiting < 2) await new Promise(setImmediate)
    const before = await backends()
    assert.equal(before.length, 2)
    const restarting = database.restartPool()
    // Once the new pool has its first connection, new calls are answered by it at once.
    while (database.stats().waiting > 0) await new Promise(setImmediate)
    await database.records.ping()
    assert.ok((await backends()).length > 2)
    await locker.query('commit')
    await locker.end()
    const said = await restarting
    assert.deepEqual([said.driver, said.restarted, said.before.total], ['postgres', true, 2])
    assert.ok((await Promise.all(changes)).every((row) => row !== null))
    assert.deepEqual(
      (await backends()).filter((pid) => before.includes(pid)),
      [],
    )
  })

  it('keeps the old connections when no new one is to be had', async (t) => {
    const database = await open(t, 2)
    await database.records.ping()
    const before = await backends()
    const outside = new pg.Client({ connectionString: testServices().databaseUrl })
    await outside.connect()
    const name = new URL(fresh.url).pathname.slice(1)
    try {
      await outside.query(`alter database "${name}" allow_connections false`)
      await assert.rejects(database.restartPool(), UploadError)
      await database.records.ping()
      assert.deepEqual((await backends()).sort(), before.sort())
    } finally {
      await outside.query(`alter database "${name}" allow_connections true`)
      await outside.end()
    }
  })

  it('is done once when it is asked for twice, and ends before the database', async (t) => {
    const database = await open(t, 2)
    await database.records.ping()
    const [one, two] = await Promise.all([database.restartPool(), database.restartPool()])
    assert.ok(one.restarted && two.restarted)
    const last = database.restartPool()
    await database.close()
    await last
    // A backend is gone a moment after its connection.
    while ((await backends()).length > 0) await new Promise(setImmediate)
  })

  it('is nothing with PGlite', async () => {
    const database = await openDatabase({ driver: 'pglite', dir: null })
    const said = await database.restartPool()
    assert.deepEqual([said.driver, said.restarted], ['pglite', false])
    await database.close()
  })
})
