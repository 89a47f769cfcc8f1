import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUploadId } from '../../server/uploads/id.ts'
import { UPLOAD_STATES } from '../../server/uploads/states.ts'
import type { RecordsSubject, Subject } from '../contract.ts'
import { drain, drainOf, finishingUpload, newTenant, newUpload } from '../fixtures.ts'
import { HISTORY_LINES } from '../history.ts'

const LARGEST = Number.MAX_SAFE_INTEGER
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1')

export function recordsContract(subject: RecordsSubject): void {
  insertContract(subject)
  changeContract(subject)
  readContract(subject)
}

function insertContract(subject: RecordsSubject): void {
  test("insert: what is left out has its default, times are the statement's", async () => {
    const { records } = subject().database
    const before = Date.now()
    const upload = await records.insert(newUpload({ length: null, lengthDeferred: true }), ['created'])
    assert.equal(upload.state, 'created')
    assert.equal(upload.length, null)
    assert.equal(upload.lengthDeferred, true)
    assert.deepEqual(
      [upload.generation, upload.offsetSeen, upload.segmentStart, upload.tailGeneration, upload.nextSeq],
      [0, 0, 0, 0, 2],
    )
    assert.deepEqual([upload.segments, upload.metadata, upload.limits], [[], {}, {}])
    assert.deepEqual([upload.dataKeys, upload.layout], [{}, null])
    assert.deepEqual([upload.metadataRaw, upload.concatRaw, upload.legalHold], [null, null, false])
    assert.ok(Math.abs(upload.createdAt - before) < 5_000, 'a time in milliseconds since 1970')
    assert.deepEqual(upload.enteredAt, { created: upload.createdAt })
    assert.equal(upload.updatedAt, upload.createdAt)
    assert.deepEqual(await records.find(upload.id), upload)
  })

  test('insert: every column comes back as it was given', async () => {
    const { records } = subject().database
    const given = newUpload({
      generation: LARGEST,
      length: LARGEST,
      storedLength: LARGEST,
      offsetSeen: LARGEST,
      segments: [{ key: 'uploads/aa/1-b', start: 0, end: LARGEST, crc32: 7 }],
      multipartId: 'm~1',
      multipartKey: 'uploads/aa/k',
      segmentStart: LARGEST,
      tailGeneration: 7,
      unverifiedFrom: 5,
      partialOf: newUploadId(),
      concatRaw: `final;${ALL_BYTES}`,
      metadataRaw: ALL_BYTES,
      metadata: { filename: 'é.txt', binary: 'base64:AP8=', toString: '', ['__proto__']: 'x' },
      limits: { maxBytes: LARGEST },
      contentType: 'text/plain; charset=utf-8',
      filename: 'a/../"b"\n€.txt',
      crc32: 0xffffffff,
      sha256: 'ab'.repeat(32),
      encoding: 'aes',
      keyId: 'k1',
      dataKeys: { a: 'wrapped', b: 'too' },
      layout: [{ key: 'uploads/aa/1-b', at: 0, bytes: LARGEST, piece: 8, upload: newUploadId() }],
      bucket: 'b',
      objectKey: 'uploads/aa/1-c',
      expiresAt: 1_800_000_000_123,
      legalHold: true,
    })
    const upload = await records.insert(given, ['created'])
    assert.deepEqual({ ...upload, ...given }, upload)
    assert.deepEqual(await records.find(upload.id), upload)
  })

  test('insert: text that Postgres cannot hold is kept as near as it can be, raw characters beyond latin1 are refused', async () => {
    const { records } = subject().database
    const upload = await records.insert(
      newUpload({ metadata: { nul: 'a\0b', half: '\ud800' }, filename: 'a\0b', contentType: 'x/\ud800' }),
      ['created'],
    )
    assert.deepEqual(upload.metadata, { nul: 'base64:YQBi', half: '\ufffd' })
    assert.deepEqual([upload.filename, upload.contentType], ['a\ufffdb', 'x/\ufffd'])
    await assert.rejects(records.insert(newUpload({ metadataRaw: 'a €' }), ['created']), { code: 'metadata_invalid' })
  })

  test('insert: one event for each state entered, in order, with the row in it', async () => {
    const { database } = subject()
    await drain(database)
    const upload = await database.records.insert(
      newUpload({ objectKey: 'k', bucket: 'b', contentType: 'a/b', filename: 'f', metadata: { a: 'b' } }),
      ['created', 'uploaded'],
    )
    assert.equal(upload.state, 'uploaded')
    assert.equal(upload.nextSeq, 3)
    assert.deepEqual(upload.enteredAt, { created: upload.createdAt, uploaded: upload.createdAt })
    const events = await drainOf(database, upload)
    assert.deepEqual(
      events.map(({ seq, type }) => [seq, type]),
      [
        [1, 'upload.created'],
        [2, 'upload.uploaded'],
      ],
    )
    assert.equal(new Set(events.map((event) => event.eventId)).size, 2)
    assert.deepEqual(events[1]?.payload, {
      id: upload.id,
      tenant: 'default',
      owner: 'somebody',
      state: 'uploaded',
      length: 10,
      contentType: 'a/b',
      filename: 'f',
      metadata: { a: 'b' },
      bucket: 'b',
      objectKey: 'k',
      sha256: null,
      at: new Date(upload.createdAt).toISOString(),
    })
  })

  test('insert: the same id twice is a fault, and leaves neither row nor event', async () => {
    const { database } = subject()
    const upload = await database.records.insert(newUpload(), ['created'])
    await drain(database)
    await assert.rejects(database.records.insert(newUpload({ id: upload.id, owner: 'other' }), ['created']), {
      code: 'internal',
    })
    assert.deepEqual(await database.records.find(upload.id), upload)
    assert.deepEqual(await drainOf(database, upload), [])
    await assert.rejects(database.records.insert(newUpload(), []), { code: 'internal' })
  })
}

function changeContract(subject: RecordsSubject): void {
  test('change: columns, states, times and events in one', async () => {
    const { database } = subject()
    const { records } = database
    const upload = await records.insert(newUpload(), ['created'])
    const receiving = await records.change(
      upload.id,
      { multipartId: 'm', multipartKey: 'k', offsetSeen: 3 },
      { generation: 0, enter: ['receiving'], raise: true },
    )
    assert.ok(receiving)
    assert.deepEqual([receiving.state, receiving.generation, receiving.nextSeq], ['receiving', 1, 3])
    assert.deepEqual([receiving.multipartId, receiving.multipartKey, receiving.offsetSeen], ['m', 'k', 3])
    assert.equal(receiving.enteredAt.receiving, receiving.updatedAt)
    assert.equal(receiving.createdAt, upload.createdAt)

    const done = await records.change(
      upload.id,
      { multipartId: null, multipartKey: null, storedLength: 10, crc32: 1, objectKey: 'final' },
      { generation: 1, enter: ['finishing', 'uploaded'] },
    )
    assert.ok(done)
    assert.deepEqual([done.state, done.nextSeq, done.multipartId, done.objectKey], ['uploaded', 5, null, 'final'])
    assert.deepEqual(Object.keys(done.enteredAt), ['created', 'receiving', 'finishing', 'uploaded'])
    assert.deepEqual(await records.find(upload.id), done)
    assert.deepEqual(
      (await drainOf(database, upload)).map(({ seq, type, payload }) => [seq, type, payload.state]),
      [
        [1, 'upload.created', 'created'],
        [2, 'upload.receiving', 'receiving'],
        [3, 'upload.finishing', 'finishing'],
        [4, 'upload.uploaded', 'uploaded'],
      ],
    )
  })

  test('change: without a state entered there is no event', async () => {
    const { database } = subject()
    const upload = await database.records.insert(newUpload(), ['created'])
    await drain(database)
    const segments = [{ key: 's', start: 0, end: 5, crc32: null }]
    const changed = await database.records.change(
      upload.id,
      { segments, segmentStart: 5 },
      { generation: 0, raise: true },
    )
    assert.deepEqual([changed?.segments, changed?.segmentStart, changed?.generation], [segments, 5, 1])
    assert.equal(changed?.nextSeq, upload.nextSeq)
    assert.deepEqual(await drainOf(database, upload), [])
  })

  const refusals = [
    ['another generation', { generation: 1, enter: ['receiving'] }],
    ['another generation, no state entered', { generation: 1 }],
    ['a state that is not demanded', { generation: 0, from: ['receiving'], raise: true }],
    ['a state that may not be left like this', { generation: 0, enter: ['uploaded'] }],
    ['no state at all', { generation: 0, from: [] }],
    ['a demanded state that may not enter it', { generation: 0, from: ['created'], enter: ['available'] }],
  ] as const
  for (const [what, options] of refusals) {
    test(`change: ${what}: null, nothing changed, no event`, async () => {
      const { database } = subject()
      const upload = await database.records.insert(newUpload(), ['created'])
      await drain(database)
      assert.equal(await database.records.change(upload.id, { offsetSeen: 9 }, options), null)
      assert.deepEqual(await database.records.find(upload.id), upload)
      assert.deepEqual(await drainOf(database, upload), [])
    })
  }

  test('change: an unknown upload is null, an impossible order of states is a fault', async () => {
    const { records } = subject().database
    assert.equal(await records.change(newUploadId(), {}, { generation: 0, enter: ['receiving'] }), null)
    const upload = await records.insert(newUpload(), ['created'])
    const impossible = records.change(upload.id, {}, { generation: 0, enter: ['receiving', 'available'] })
    await assert.rejects(impossible, { code: 'internal', message: /receiving to available/ })
    assert.equal((await records.find(upload.id))?.state, 'created')
  })

  test('change: an upload may come back from finishing to receiving; each entry has its event', async () => {
    const { database } = subject()
    await drain(database)
    const upload = await finishingUpload(database)
    const back = await database.records.change(
      upload.id,
      {},
      { generation: 0, from: ['finishing'], enter: ['receiving'] },
    )
    assert.equal(back?.state, 'receiving')
    const types = (await drainOf(database, upload)).map((event) => event.type)
    assert.deepEqual(types, ['upload.created', 'upload.finishing', 'upload.receiving'])
  })

  test('change: of 50 at once exactly one wins each generation', async () => {
    const { database } = subject()
    const { records } = database
    const upload = await records.insert(newUpload(), ['created'])
    await drain(database)
    for (let generation = 0; generation < 3; generation += 1) {
      const tries = Array.from({ length: 50 }, (_, n) =>
        records.change(upload.id, { offsetSeen: n }, { generation, raise: true }),
      )
      const winners = (await Promise.all(tries)).filter((row) => row !== null)
      assert.equal(winners.length, 1)
      assert.equal(winners[0]?.generation, generation + 1)
      assert.deepEqual(await records.find(upload.id), winners[0])
    }
    const finishes = Array.from({ length: 50 }, () =>
      records.change(upload.id, {}, { generation: 3, enter: ['finishing'] }),
    )
    assert.equal((await Promise.all(finishes)).filter((row) => row !== null).length, 1)
    assert.deepEqual(
      (await drainOf(database, upload)).map((event) => [event.seq, event.type]),
      [[2, 'upload.finishing']],
    )
  })
}

function readContract(subject: RecordsSubject): void {
  test('find and generations: unknown ids are null, or left out', async () => {
    const { records } = subject().database
    const [one, other] = [await records.insert(newUpload(), ['created']), await finishingUpload(subject().database)]
    await records.change(one.id, {}, { generation: 0, raise: true })
    const unknown = newUploadId()
    assert.equal(await records.find(unknown), null)
    assert.deepEqual(
      await records.generations([one.id, unknown, other.id]),
      new Map([
        [one.id, 1],
        [other.id, 0],
      ]),
    )
    assert.deepEqual(await records.generations([]), new Map())
  })

  test('due: standing finishes and expired uploads, oldest first, none that is held or past', async () => {
    const { database } = subject()
    const { records } = database
    const tenant = newTenant()
    const standing = await finishingUpload(database, { tenant, expiresAt: 1 })
    const later = await finishingUpload(database, { tenant })
    const expired = [30, 10, 20].map((expiresAt) => records.insert(newUpload({ tenant, expiresAt }), ['created']))
    await Promise.all(expired)
    await records.insert(newUpload({ tenant, expiresAt: 10, legalHold: true }), ['created'])
    await records.insert(newUpload({ tenant, expiresAt: 10 }), ['created', 'uploaded'])
    await records.insert(newUpload({ tenant, expiresAt: 100 }), ['created'])

    const due = await records.due(40, Date.now() + 60_000, 1_000)
    assert.deepEqual(
      due.expired.filter((upload) => upload.tenant === tenant).map((upload) => upload.expiresAt),
      [10, 20, 30],
    )
    assert.deepEqual(
      due.finishing.filter((upload) => upload.tenant === tenant).map((upload) => upload.id),
      [standing.id, later.id],
    )
    assert.equal((await records.due(40, 0, 1)).finishing.length, 0)
    assert.equal((await records.due(40, 0, 1)).expired.length, 1)
  })

  test("note: the last 200 lines of an upload stay, others' are untouched, an unknown upload is no failure", async () => {
    const { database } = subject()
    const [one, other] = [await database.records.insert(newUpload(), ['created']), await finishingUpload(database)]
    const line = { kind: 'hold', generation: 1, instance: 'i' } as const
    await database.records.note({ ...line, upload: other.id, offset: 0, detail: 'why' })
    for (let n = 0; n < HISTORY_LINES + 5; n += 1) await database.records.note({ ...line, upload: one.id, offset: n })
    const offsets = (await database.history(one.id)).map((each) => each.offset)
    assert.equal(offsets.length, HISTORY_LINES)
    assert.deepEqual([offsets[0], offsets.at(-1)], [HISTORY_LINES + 4, 5])
    const [kept] = await database.history(other.id)
    assert.deepEqual([kept?.kind, kept?.generation, kept?.instance, kept?.detail], ['hold', 1, 'i', 'why'])
    await database.records.note({ ...line, upload: newUploadId(), offset: 0 })
  })

  test('ping answers, and an aborted one is unavailable', async () => {
    const { records } = subject().database
    await records.ping()
    await records.ping(AbortSignal.timeout(60_000))
    await assert.rejects(records.ping(AbortSignal.abort()), { code: 'records_unavailable' })
  })
}

/** The database itself guards the states, whoever writes. */
export function statesContract(subject: Subject): void {
  test('the database takes no state that is none', async () => {
    const { driver } = subject()
    const upload = await subject().database.records.insert(newUpload(), ['created'])
    const bad = driver.db
      .updateTable('uploads')
      .set({ state: JSON.parse('"paused"') })
      .where('id', '=', upload.id)
    await assert.rejects(bad.execute(), /uploads_state_known/)
    for (const state of UPLOAD_STATES) {
      await driver.db.updateTable('uploads').set({ state }).where('id', '=', upload.id).execute()
    }
  })
}
