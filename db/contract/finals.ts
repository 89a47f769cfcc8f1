import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUploadId } from '../../server/uploads/id.ts'
import type { RecordsSubject } from '../contract.ts'
import { drain, drainOf, newUpload } from '../fixtures.ts'

/** Final uploads and the partial ones that they are made of. */
export function finalsContract(subject: RecordsSubject): void {
  const partial = async (fields: Partial<ReturnType<typeof newUpload>> = {}) =>
    subject().database.records.insert(newUpload({ concatRaw: 'partial', objectKey: `k/${newUploadId()}`, ...fields }), [
      'created',
      'uploaded',
    ])
  const finalOf = (keys: readonly string[]) =>
    newUpload({
      concatRaw: 'final;/a /b',
      length: 10 * keys.length,
      segments: keys.map((key, index) => ({ key, start: index * 10, end: index * 10 + 10, crc32: null })),
    })

  test('a final upload is inserted in finishing, and named by its partial ones, once each', async () => {
    const { database } = subject()
    const { records } = database
    await drain(database)
    const [a, b] = [await partial(), await partial()]
    const given = finalOf([a.objectKey ?? '', b.objectKey ?? '', a.objectKey ?? ''])
    const final = await records.insertFinal(given, [a.id, b.id, a.id])
    assert.equal(final?.state, 'finishing')
    assert.deepEqual(final.segments, given.segments)
    for (const { id, generation } of [a, b]) {
      const row = await records.find(id)
      assert.deepEqual([row?.partialOf, row?.generation, row?.state], [final.id, generation + 1, 'uploaded'])
    }
    const events = await drain(database)
    const typesOf = (id: string) => events.filter(({ upload }) => upload === id).map(({ type }) => type)
    assert.deepEqual(typesOf(final.id), ['upload.created', 'upload.finishing'])
    assert.deepEqual(typesOf(a.id), ['upload.created', 'upload.uploaded'])
    const flags = events.filter(({ upload }) => upload === a.id || upload === final.id)
    assert.deepEqual(
      flags.map(({ payload }) => payload.partial),
      flags.map(({ upload }) => (upload === a.id ? true : undefined)),
    )
  })

  test('no final upload of what is not uploaded, and no event', async () => {
    const { database } = subject()
    const { records } = database
    const a = await partial()
    const unfinished = await records.insert(newUpload({ concatRaw: 'partial' }), ['created'])
    const given = finalOf([a.objectKey ?? ''])
    assert.equal(await records.insertFinal(given, [a.id, unfinished.id]), null)
    assert.equal(await records.insertFinal(given, [a.id, newUploadId()]), null)
    assert.equal(await records.find(given.id), null)
    assert.deepEqual(
      (await drainOf(database, a)).map(({ type }) => type),
      ['upload.created', 'upload.uploaded'],
    )
  })

  test('an object is a source while a final upload is being made of it', async () => {
    const { records } = subject().database
    const a = await partial()
    const key = a.objectKey ?? ''
    assert.equal(await records.isSource(key), false)
    const final = await records.insertFinal(finalOf([key]), [a.id])
    assert.equal(await records.isSource(key), true)
    await records.change(final?.id ?? a.id, {}, { generation: final?.generation ?? 0, enter: ['uploaded'] })
    assert.equal(await records.isSource(key), false)
  })

  test('partial uploads are due when their time is over; a final one only ever makes it earlier', async () => {
    const { records } = subject().database
    const soon = Date.now() + 1_000_000
    const [a, b, held] = [
      await partial({ expiresAt: null }),
      await partial({ expiresAt: soon - 500 }),
      await partial({ expiresAt: soon - 500, legalHold: true }),
    ]
    const unnamed = await partial({ expiresAt: soon - 200 })
    const final = await records.insertFinal(finalOf([]), [a.id, b.id])
    await records.releasePartials(final?.id ?? a.id, soon)
    const expiries = await Promise.all([a, b, held].map(async ({ id }) => (await records.find(id))?.expiresAt))
    assert.deepEqual(expiries, [soon, soon - 500, soon - 500])
    const due = async (now: number) => {
      const ids = (await records.duePartials(now, 100)).map(({ id }) => id)
      return ids.filter((id) => [a.id, b.id, held.id, unnamed.id].includes(id))
    }
    assert.deepEqual(await due(soon), [b.id, unnamed.id, a.id])
    assert.deepEqual(await due(soon - 1), [b.id, unnamed.id])
    assert.deepEqual(await due(soon - 501), [])
  })
}
