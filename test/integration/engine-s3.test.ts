import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { hasCode } from '../../server/uploads/errors.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import { testServices } from '../support/services.ts'
import {
  ALICE,
  bodyOf,
  bytesOf,
  MIB,
  openBody,
  readAll,
  realWorld,
  SETTINGS,
  sha256,
  type TestEngine,
} from './support/engine.ts'

for (const s3 of testServices().s3) {
  describe(`engine on Redis, Postgres and ${s3.name}`, () => {
    let world: Awaited<ReturnType<typeof realWorld>>
    let one: TestEngine
    let two: TestEngine

    before(async () => {
      world = await realWorld(s3)
      one = await world.engine()
      two = await world.engine({
        settings: { ...SETTINGS, partBytes: 5 * MIB, rebuildWaitMs: 100, segmentParts: 2, leaseMs: 1000 },
      })
    })
    after(() => world.remove())

    const create = async (length: number) =>
      (await one.create(ALICE, { length, metadataRaw: null, body: null, bodyLength: 0 })).upload.id
    const append = (engine: TestEngine, id: UploadId, offset: number, bytes: Buffer) =>
      engine.append(ALICE, id, { offset, body: bodyOf(bytes), bodyLength: bytes.length })
    const content = async (id: UploadId) => readAll(await (await one.download(ALICE, id)).open())
    const keysOf = async (id: UploadId) => {
      const keys: string[] = []
      for await (const { key } of world.store.list('uploads')) if (key.includes(id)) keys.push(key)
      return keys
    }

    test('segments that were rolled, frozen and composed are one object with the CRC-32 of the whole', async () => {
      const bytes = bytesOf(33 * MIB + 77)
      const id = await create(bytes.length)
      await append(two, id, 0, bytes.subarray(0, 17 * MIB))
      assert.equal((await world.database.records.find(id))?.segments.length, 1)
      await world.forget()
      assert.equal((await one.inspect(ALICE, id)).offset, 17 * MIB)
      assert.equal((await world.database.records.find(id))?.segments.length, 2)
      await append(one, id, 17 * MIB, bytes.subarray(17 * MIB, 30 * MIB))
      await world.forget()
      const { upload } = await append(two, id, 30 * MIB, bytes.subarray(30 * MIB))
      assert.equal(upload.state, 'uploaded')
      assert.equal(upload.crc32, crc32(bytes))
      assert.equal(sha256(await content(id)), sha256(bytes))
      await one.close()
      await two.close()
      one = await world.engine()
      two = await world.engine()
      assert.deepEqual(await keysOf(id), [upload.objectKey], 'segments and tails are gone')
    })

    test('an upload that somebody aborted in the store is lost, not finished', async () => {
      const bytes = bytesOf(12 * MIB)
      const id = await create(bytes.length)
      await append(one, id, 0, bytes.subarray(0, 6 * MIB))
      const row = await world.database.records.find(id)
      await world.store.abortMultipart(row?.multipartKey ?? '', row?.multipartId ?? '')
      await assert.rejects(append(two, id, 6 * MIB, bytes.subarray(6 * MIB)), (error) =>
        hasCode(error, 'hold_lost', 'store_unavailable'),
      )
      await assert.rejects(two.inspect(ALICE, id), (error) => hasCode(error, 'upload_gone'))
      assert.equal((await world.database.records.find(id))?.state, 'lost')
    })

    test('a live holder hands over cleanly: nothing is listed, copied or raised', async () => {
      const bytes = bytesOf(12 * MIB)
      const id = await create(bytes.length)
      const { body, send } = openBody()
      const appending = assert.rejects(one.append(ALICE, id, { offset: 0, body, bodyLength: bytes.length }), (error) =>
        hasCode(error, 'upload_busy'),
      )
      send(bytes.subarray(0, 7 * MIB))
      let offset = 0
      while (offset < 7 * MIB) offset = (await two.inspect(ALICE, id)).offset
      const before = await world.database.records.find(id)
      await append(two, id, offset, bytes.subarray(offset))
      await appending
      const row = await world.database.records.find(id)
      assert.equal(row?.generation, before?.generation)
      assert.equal(sha256(await content(id)), sha256(bytes))
    })
  })
}
