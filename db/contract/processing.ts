import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newUploadId } from '../../server/uploads/id.ts'
import type { Subject } from '../contract.ts'
import { drain, drainOf, newUpload } from '../fixtures.ts'

const SHA256 = 'c0'.repeat(32)

export function processingContract(subject: Subject): void {
  test('processing: uploaded -> processing -> available, each once however often it is asked', async () => {
    const { database } = subject()
    const { processing, records } = database
    const upload = await records.insert(newUpload(), ['created', 'uploaded'])
    await drain(database)

    const begun = await Promise.all(Array.from({ length: 10 }, () => processing.begin(upload.id)))
    assert.equal(begun.filter((result) => result.entered).length, 1)
    assert.ok(begun.every((result) => result.upload?.state === 'processing'))

    const finished = await Promise.all(
      Array.from({ length: 10 }, () => processing.finish(upload.id, { sha256: SHA256 })),
    )
    assert.equal(finished.filter((result) => result.entered).length, 1)
    assert.ok(finished.every((result) => result.upload?.state === 'available' && result.upload.sha256 === SHA256))
    assert.deepEqual(
      (await drainOf(database, upload)).map(({ seq, type, payload }) => [seq, type, payload.sha256]),
      [
        [3, 'upload.processing', null],
        [4, 'upload.available', SHA256],
      ],
    )
  })

  test('processing: an upload in another state stays as it is', async () => {
    const { database } = subject()
    const { processing, records } = database
    const created = await records.insert(newUpload(), ['created'])
    assert.deepEqual(await processing.begin(created.id), { upload: created, entered: false })
    assert.deepEqual(await processing.finish(created.id, { sha256: SHA256 }), { upload: created, entered: false })
    assert.deepEqual(await processing.begin(newUploadId()), { upload: null, entered: false })
  })

  test('processing: a digest that is none is refused', async () => {
    const { database } = subject()
    const upload = await database.records.insert(newUpload(), ['created', 'uploaded', 'processing'])
    await assert.rejects(database.processing.finish(upload.id, { sha256: 'no' }), { code: 'internal' })
    assert.equal((await database.records.find(upload.id))?.state, 'processing')
  })
}
