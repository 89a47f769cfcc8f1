import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { sql } from 'kysely'
import { newUploadId } from '../../server/uploads/id.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import { databaseContract } from '../contract.ts'
import { createDatabase, type Database } from '../database.ts'
import type { Driver } from '../driver.ts'
import { drain, finishingUpload, newTenant, newUpload } from '../fixtures.ts'
import { openPglite } from '../pglite.ts'
import { parseRecord, spellRecord } from './format.ts'
import type { RebuildReport } from './rebuild.ts'
import { withRecordFiles } from './recorded.ts'

const NOTHING: RebuildReport = { rebuilt: 0, broughtForward: 0, recorded: 0, unreadable: [], unknown: 0 }

const freshFolder = () => mkdtemp(join(tmpdir(), 'record-files-'))

databaseContract('PGlite with record files', async () => {
  const driver = await openPglite({ dir: null })
  const folder = await freshFolder()
  const database = await withRecordFiles(createDatabase('pglite', driver), driver, { folder })
  return { driver, database, remove: () => rm(folder, { recursive: true }) }
})

/** Two databases: rows are written through the first, and the second knows nothing of them yet. */
describe('record files', () => {
  const drivers: Driver[] = []
  let folder = ''
  let database: Database

  before(async () => {
    drivers.push(await openPglite({ dir: null }), await openPglite({ dir: null }))
    await Promise.all(drivers.map((driver) => createDatabase('pglite', driver).migrate('auto')))
  })
  after(() => Promise.all(drivers.map((driver) => driver.close())))

  function driverOf(which: 'first' | 'second'): Driver {
    const driver = drivers[which === 'first' ? 0 : 1]
    assert.ok(driver)
    return driver
  }

  /** As a start does it. */
  async function start(which: 'first' | 'second'): Promise<{ database: Database; report: RebuildReport }> {
    const driver = driverOf(which)
    const reports: RebuildReport[] = []
    const opened = await withRecordFiles(createDatabase('pglite', driver), driver, {
      folder,
      onRebuilt: (report) => reports.push(report),
    })
    await opened.migrate('auto')
    const [report] = reports
    assert.ok(report)
    return { database: opened, report }
  }

  async function begin(t: TestContext): Promise<void> {
    for (const { db } of drivers) await sql`truncate uploads, outbox cascade`.execute(db)
    folder = await freshFolder()
    t.after(() => rm(folder, { recursive: true }))
    const first = await start('first')
    assert.deepEqual(first.report, NOTHING)
    database = first.database
  }

  const fileOf = (id: UploadId) => join(folder, id.slice(-2), `${id}.record`)

  test('a database that lost everything gets it back: rows as they were, events that are not done, none that is', async (t) => {
    await begin(t)
    const tenant = newTenant()
    const { records, outbox, processing } = database
    const created = await records.insert(
      newUpload({
        tenant,
        metadataRaw: 'a\xff',
        metadata: { n: '\u0000' },
        limits: { a: 1 },
        expiresAt: 1_900_000_000_123,
      }),
      ['created'],
    )
    const receiving = await records.insert(newUpload({ tenant }), ['created'])
    const segments = [{ key: 'k/1', start: 0, end: 7, crc32: 0xffffffff }]
    await records.change(
      receiving.id,
      { multipartId: 'm', multipartKey: 'k', segments, segmentStart: 7, unverifiedFrom: 8 },
      { generation: 0, enter: ['receiving'], raise: true },
    )
    const whole = await records.insert(newUpload({ tenant, objectKey: 'k/2' }), ['created', 'uploaded'])
    const gone = await finishingUpload(database, { tenant })
    await records.change(gone.id, {}, { generation: 0, enter: ['terminated'] })
    for (const event of (await drain(database)).filter(({ upload }) => upload === whole.id)) {
      if (event.type === 'upload.created') await outbox.markDone(event.eventId)
    }
    await processing.begin(whole.id)
    await processing.finish(whole.id, { sha256: 'ab'.repeat(32) })

    const second = await start('second')
    assert.deepEqual(second.report, { ...NOTHING, rebuilt: 4 })
    const page = { tenant, limit: 10 }
    assert.deepEqual(await second.database.records.list(page), await records.list(page))
    assert.deepEqual(await second.database.records.find(created.id), created)
    assert.equal((await second.database.records.find(gone.id))?.state, 'terminated')
    const expected = await sql`select event_id, seq, type, payload, created_at from outbox where done_at is null
      order by upload_id, seq`.execute(driverOf('first').db)
    const told = await sql`select event_id, seq, type, payload, created_at from outbox
      order by upload_id, seq`.execute(driverOf('second').db)
    assert.equal(told.rows.length, 10 - 1, 'ten events, of which one is done')
    assert.deepEqual(told.rows, expected.rows)
    assert.equal((await second.database.outbox.pending()).count, 9)

    assert.deepEqual((await start('second')).report, NOTHING)
  })

  test('a final upload and its partial ones come back with their ties, and with the time that is left to them', async (t) => {
    await begin(t)
    const { records } = database
    const part = () => records.insert(newUpload({ concatRaw: 'partial', objectKey: 'k' }), ['created', 'uploaded'])
    const partials = [(await part()).id, (await part()).id]
    const final = await records.insertFinal(newUpload({ concatRaw: 'final;' }), partials)
    assert.ok(final)
    await records.releasePartials(final.id, 1_900_000_000_000)
    const { database: second } = await start('second')
    assert.equal((await second.records.find(final.id))?.state, 'finishing')
    for (const id of partials) {
      const found = await second.records.find(id)
      assert.deepEqual(found, await records.find(id))
      assert.deepEqual([found?.partialOf, found?.expiresAt], [final.id, 1_900_000_000_000])
    }
  })

  test('a data key that was wrapped anew does not come back as it was', async (t) => {
    await begin(t)
    const before = { keyId: 'old', dataKeys: { a: 'wrapped' } }
    const upload = await database.records.insert(newUpload(before), ['created'])
    const now = { keyId: 'new', dataKeys: { a: 'wrapped anew' } }
    assert.equal(await database.dataKeys.replace(upload.id, before, now), true)
    assert.deepEqual((await start('first')).report, NOTHING)
    const { database: second } = await start('second')
    const found = await second.records.find(upload.id)
    assert.deepEqual({ keyId: found?.keyId, dataKeys: found?.dataKeys }, now)
  })

  test('a database that lost its last transactions is brought forward, and tells of what it had lost once', async (t) => {
    await begin(t)
    const { records } = database
    const upload = await finishingUpload(database)
    const finished = await records.change(
      upload.id,
      { objectKey: 'k' },
      { generation: 0, enter: ['uploaded'], raise: true },
    )
    const known = await drain(database)
    const { db } = driverOf('first')
    await sql`update uploads set state = 'finishing', generation = 0, next_seq = 3, object_key = null, uploaded_at = null
      where id = ${upload.id}`.execute(db)
    await sql`delete from outbox where upload_id = ${upload.id} and seq = 3`.execute(db)

    const again = await start('first')
    assert.deepEqual(again.report, { ...NOTHING, broughtForward: 1 })
    assert.deepEqual(await again.database.records.find(upload.id), finished)
    const told = await drain(again.database)
    assert.deepEqual(
      told,
      known.filter(({ seq }) => seq === 3),
      'the same event, with the same id',
    )
  })

  test('an event that was done and pruned is not told of again', async (t) => {
    await begin(t)
    const { records } = database
    const upload = await records.insert(newUpload(), ['created'])
    await drain(database)
    const { db } = driverOf('first')
    await sql`delete from outbox where upload_id = ${upload.id}`.execute(db)
    await sql`update uploads set owner = 'older' where id = ${upload.id}`.execute(db)
    const again = await start('first')
    assert.equal(again.report.broughtForward, 1)
    assert.deepEqual(await drain(again.database), [])
  })

  test('a row that is newer than its record, or has none, stays; its record is written', async (t) => {
    await begin(t)
    const plain = createDatabase('pglite', driverOf('first'))
    const behind = await database.records.insert(newUpload(), ['created'])
    const ahead = await plain.records.change(behind.id, {}, { generation: 0, enter: ['receiving'], raise: true })
    const alone = await plain.records.insert(newUpload(), ['created'])
    const again = await start('first')
    assert.deepEqual(again.report, { ...NOTHING, recorded: 2 })
    const second = await start('second')
    assert.deepEqual(second.report, { ...NOTHING, rebuilt: 2 })
    assert.deepEqual(await second.database.records.find(behind.id), ahead)
    assert.deepEqual(await second.database.records.find(alone.id), alone)
  })

  test('of a row and a record that no event tells apart, the record is what somebody was told', async (t) => {
    await begin(t)
    const upload = await database.records.insert(newUpload({ expiresAt: 1_900_000_000_000 }), ['created'])
    const plain = createDatabase('pglite', driverOf('first'))
    await plain.records.change(upload.id, { expiresAt: 1 }, { generation: 0 })
    const again = await start('first')
    assert.equal(again.report.broughtForward, 1)
    assert.deepEqual(await again.database.records.find(upload.id), upload)
  })

  test('what is no record is named and left alone, and stops nothing', async (t) => {
    await begin(t)
    const { records } = database
    const torn = await records.insert(newUpload(), ['created'])
    const lost = await records.insert(newUpload(), ['created'])
    const impossible = await records.insert(newUpload(), ['created'])
    const good = await records.insert(newUpload(), ['created'])
    const half = (await readFile(fileOf(torn.id), 'utf8')).slice(0, 300)
    await writeFile(fileOf(torn.id), half)
    await writeFile(fileOf(lost.id), '')
    const { row } = parseRecord(await readFile(fileOf(impossible.id), 'utf8'))
    await writeFile(fileOf(impossible.id), spellRecord({ ...row, state: 'eaten' }, []))
    const another = newUploadId()
    await mkdir(join(folder, another.slice(-2)), { recursive: true })
    await writeFile(fileOf(another), spellRecord(row, []))
    await writeFile(join(folder, 'notes.txt'), 'x')
    await writeFile(join(folder, good.id.slice(-2), `${newUploadId()}.new`), 'half')

    const { database: second, report } = await start('second')
    assert.deepEqual([report.rebuilt, report.recorded, report.broughtForward], [1, 0, 0])
    assert.equal(report.unknown, 4)
    assert.equal(await second.housekeeping.lease('orphans', 'me', 1000), false, "their bytes are nobody's to remove")
    const named = new Map(report.unreadable.map(({ path, reason }) => [path, reason]))
    assert.equal(named.size, 5)
    assert.match(named.get(fileOf(torn.id)) ?? '', /torn/)
    assert.match(named.get(fileOf(lost.id)) ?? '', /does not begin/)
    assert.match(named.get(fileOf(impossible.id)) ?? '', /23514/)
    assert.match(named.get(fileOf(another)) ?? '', new RegExp(`record of upload ${impossible.id}`))
    assert.match(named.get(join(folder, 'notes.txt')) ?? '', /not called/)
    assert.deepEqual(await second.records.find(good.id), good)
    assert.equal(await readFile(fileOf(torn.id), 'utf8'), half)
    assert.deepEqual(
      (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.new')),
      [],
    )

    const first = await start('first')
    assert.equal(first.report.unknown, 1)
    assert.equal(first.report.recorded, 3, 'where the row is there, its record is written anew')
    assert.equal(parseRecord(await readFile(fileOf(torn.id), 'utf8')).id, torn.id)
  })

  test('a record that is older than a migration: the new column keeps its value, or gets its default', async (t) => {
    await begin(t)
    const upload = await database.records.insert(newUpload({ legalHold: true }), ['created'])
    const { legal_hold: _, ...row } = parseRecord(await readFile(fileOf(upload.id), 'utf8')).row
    await writeFile(fileOf(upload.id), spellRecord({ ...row, of_a_dropped_column: 1 }, []))
    assert.deepEqual((await start('first')).report, NOTHING)
    assert.deepEqual(await database.records.find(upload.id), upload)
    const { database: second } = await start('second')
    assert.deepEqual(await second.records.find(upload.id), { ...upload, legalHold: false })
  })

  test('nobody is told anything before rows and records agree', async (t) => {
    await begin(t)
    const upload = await database.records.insert(newUpload(), ['created'])
    const driver = driverOf('second')
    const early = await withRecordFiles(createDatabase('pglite', driver), driver, { folder })
    const away = { code: 'records_unavailable' }
    await assert.rejects(early.records.find(upload.id), away)
    await assert.rejects(early.records.ping(), away)
    await assert.rejects(early.outbox.claim(1, 1), away)
    await assert.rejects(early.processing.begin(upload.id), away)
    await assert.rejects(early.housekeeping.rowsOf([upload.id]), away)
    await Promise.all([early.migrate('auto'), early.migrate('auto')])
    assert.deepEqual(await early.records.find(upload.id), upload)
  })

  test('a change whose record cannot be written is not acknowledged', async (t) => {
    await begin(t)
    const upload = await database.records.insert(newUpload(), ['created'])
    await rm(join(folder, upload.id.slice(-2)), { recursive: true })
    const raise = { generation: 0, raise: true }
    await assert.rejects(database.records.change(upload.id, {}, raise), {
      code: 'records_unavailable',
      message: /ENOENT/,
    })
  })

  test('an event whose record cannot be written is not told of, until it can', async (t) => {
    await begin(t)
    const upload = await database.records.insert(newUpload(), ['created'])
    const shard = join(folder, upload.id.slice(-2))
    await rm(shard, { recursive: true })
    await writeFile(shard, 'in the way')
    const receiving = { generation: 0, enter: ['receiving'] } as const
    await assert.rejects(database.records.change(upload.id, {}, receiving), { code: 'records_unavailable' })
    await assert.rejects(database.outbox.claim(10, 0), { code: 'records_unavailable' })
    await rm(shard)
    await mkdir(shard)
    assert.equal((await drain(database)).length, 2)
    const { database: second } = await start('second')
    assert.equal((await second.records.find(upload.id))?.state, 'receiving')
  })

  test('many changes of one upload at once: the record is the last of them', async (t) => {
    await begin(t)
    const upload = await database.records.insert(newUpload(), ['created'])
    const changes = Array.from({ length: 60 }, (_, n) =>
      database.records.change(upload.id, { offsetSeen: n }, { generation: 0 }),
    )
    await Promise.all(changes)
    assert.deepEqual((await start('first')).report, NOTHING)
    const { database: second } = await start('second')
    assert.deepEqual(await second.records.find(upload.id), await database.records.find(upload.id))
  })
})
