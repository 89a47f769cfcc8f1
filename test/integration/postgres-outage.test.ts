import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Database, openDatabase } from '../../db/database.ts'
import { newUpload } from '../../db/fixtures.ts'
import { hasCode } from '../../server/uploads/errors.ts'
import { type PostgresProxy, postgresProxy } from '../support/postgres-proxy.ts'
import { freshDatabase } from '../support/services.ts'

const UNAVAILABLE = { code: 'records_unavailable' }

describe('Postgres comes and goes', { timeout: 60_000 }, () => {
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

  /** Through a proxy that is up, unless `down`. */
  async function open(
    t: TestContext,
    options: { poolMin?: number; poolMax?: number; statementTimeoutMs?: number; down?: boolean } = {},
  ): Promise<{ database: Database; proxy: PostgresProxy }> {
    const { down = false, poolMin = 1, poolMax = 4, ...rest } = options
    const proxy = await postgresProxy(fresh.url)
    if (!down) await proxy.up()
    const database = await openDatabase({ driver: 'postgres', url: proxy.url, poolMin, poolMax, ...rest })
    t.after(async () => {
      await database.close()
      await proxy.close()
    })
    return { database, proxy }
  }

  /** Backends of the service under test. */
  async function backends(): Promise<number[]> {
    const { rows } = await admin.query<{ pid: number }>(
      `select pid from pg_stat_activity
       where datname = current_database() and application_name = 'upload-service'`,
    )
    return rows.map((row) => row.pid)
  }

  /** Waits until there are so many backends, none of them one of `but`. */
  async function backendsReach(count: number, but: readonly number[] = []): Promise<void> {
    for (const until = Date.now() + 10_000; ; ) {
      const pids = await backends()
      if (pids.length === count && !pids.some((pid) => but.includes(pid))) return
      assert.ok(Date.now() < until, `connections ${pids} instead of ${count} others than ${but}`)
      await sleep(20)
    }
  }

  /** A row that another transaction has locked until `release`. */
  async function lockedRow(t: TestContext, database: Database) {
    const upload = await database.records.insert(newUpload(), ['created'])
    const other = new pg.Client({ connectionString: fresh.url })
    await other.connect()
    t.after(() => other.end())
    await other.query('begin')
    await other.query('select from uploads where id = $1 for update', [upload.id])
    return { upload, release: () => other.query('rollback') }
  }

  /** Right after an outage a call may still meet a connection whose end has not been heard of. */
  async function recovered<T>(call: () => Promise<T>): Promise<T> {
    for (const until = Date.now() + 10_000; ; ) {
      try {
        return await call()
      } catch (error) {
        if (!hasCode(error, 'records_unavailable') || Date.now() > until) throw error
        await sleep(20)
      }
    }
  }

  async function backendWaits(): Promise<void> {
    for (;;) {
      const { rows } = await admin.query(
        `select from pg_stat_activity where datname = current_database()
         and application_name = 'upload-service' and wait_event_type = 'Lock'`,
      )
      if (rows.length > 0) return
      await sleep(10)
    }
  }

  it('opens while Postgres is away, waits with the migration, and becomes whole when it comes', async (t) => {
    const { database, proxy } = await open(t, { poolMin: 3, down: true })
    await assert.rejects(database.records.ping(), UNAVAILABLE)
    await assert.rejects(database.status(), UNAVAILABLE)
    let migrated = false
    const migration = database.migrate('check').then(() => {
      migrated = true
    })
    await assert.rejects(database.outbox.pending(), UNAVAILABLE)
    assert.equal(migrated, false)
    await proxy.up()
    await migration
    await database.records.ping()
    await backendsReach(3)
  })

  it('gives up a migration that waits when it is closed', async (t) => {
    const { database } = await open(t, { down: true })
    const migration = assert.rejects(database.migrate('auto'), { code: 'shutting_down' })
    await database.close()
    await migration
  })

  it('opens its minimum of connections at the start, never more than its maximum, and leaves none behind', async (t) => {
    const { database } = await open(t, { poolMin: 3, poolMax: 5 })
    await backendsReach(3)
    assert.equal(database.stats().total, 3)
    let most = 0
    const calls = Array.from({ length: 60 }, async () => {
      await database.records.insert(newUpload(), ['created'])
      most = Math.max(most, database.stats().total)
    })
    await Promise.all(calls)
    assert.ok(most > 3 && most <= 5, `${most} connections`)
    assert.ok((await backends()).length <= 5)
    await database.close()
    await backendsReach(0)
  })

  it('refills its minimum when the server ends the connections', async (t) => {
    const { database } = await open(t, { poolMin: 3 })
    await backendsReach(3)
    const ended = await backends()
    await admin.query('select pg_terminate_backend(pid) from unnest($1::int[]) as pid', [ended])
    await backendsReach(3, ended)
    await database.records.ping()
  })

  it('a call whose backend is terminated is unavailable, changes nothing, and the next one succeeds', async (t) => {
    const { database } = await open(t)
    const { upload, release } = await lockedRow(t, database)
    const change = assert.rejects(database.records.change(upload.id, {}, { generation: 0, raise: true }), UNAVAILABLE)
    await backendWaits()
    await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'upload-service'`,
    )
    await change
    await release()
    assert.deepEqual(await recovered(() => database.records.find(upload.id)), upload)
    assert.equal((await database.records.change(upload.id, {}, { generation: 0, raise: true }))?.generation, 1)
  })

  it('is unavailable at once while Postgres is away, and whole again when it is back', async (t) => {
    const { database, proxy } = await open(t)
    const upload = await database.records.insert(newUpload(), ['created'])
    await proxy.down()
    const began = Date.now()
    await assert.rejects(database.records.find(upload.id), UNAVAILABLE)
    await assert.rejects(database.records.insert(newUpload(), ['created']), UNAVAILABLE)
    await assert.rejects(database.processing.begin(upload.id), UNAVAILABLE)
    assert.ok(Date.now() - began < 3_000, 'refused connections are not waited for')
    await proxy.up()
    assert.deepEqual(await recovered(() => database.records.find(upload.id)), upload)
  })

  it('a server that falls silent is given up after the statement timeout, and connections to it as well', async (t) => {
    const { database, proxy } = await open(t, { statementTimeoutMs: 500 })
    const upload = await database.records.insert(newUpload(), ['created'])
    proxy.freeze()
    const began = Date.now()
    await assert.rejects(database.records.find(upload.id), UNAVAILABLE)
    await assert.rejects(database.records.find(upload.id), UNAVAILABLE)
    assert.ok(Date.now() - began < 15_000)
    await proxy.down()
    await proxy.up()
    assert.deepEqual(await recovered(() => database.records.find(upload.id)), upload)
  })

  it('a statement that waits for a lock for too long is cancelled', async (t) => {
    const { database } = await open(t, { statementTimeoutMs: 300 })
    const { upload, release } = await lockedRow(t, database)
    const late = database.records.change(upload.id, {}, { generation: 0, raise: true })
    await assert.rejects(late, { ...UNAVAILABLE, message: /57014/ })
    await release()
    assert.equal((await database.records.find(upload.id))?.generation, 0)
  })

  it('takes one round trip for each write', async (t) => {
    const { database, proxy } = await open(t, { poolMin: 1, poolMax: 1 })
    await database.records.ping()
    const count = async <T>(call: () => Promise<T>): Promise<T> => {
      const before = proxy.roundTrips()
      const result = await call()
      assert.equal(proxy.roundTrips() - before, 1)
      return result
    }
    const upload = await count(() => database.records.insert(newUpload(), ['created']))
    await count(() => database.records.change(upload.id, {}, { generation: 0, enter: ['receiving'], raise: true }))
    await count(() => database.records.change(upload.id, {}, { generation: 1, enter: ['finishing', 'uploaded'] }))
    await count(() => database.records.change(upload.id, {}, { generation: 0 }))
    await count(() => database.processing.begin(upload.id))
    await count(() =>
      database.records.note({ upload: upload.id, kind: 'hold', generation: 1, instance: 'i', offset: 0 }),
    )
    const events = await count(() => database.outbox.claim(100, 60_000))
    await count(() => database.outbox.markPublished(events.map((event) => event.eventId)))
    await count(() => database.records.generations([upload.id]))
  })
})
