/** What an instance still knows of an upload's row never decides against the database, the session or the store. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hasCode, UploadError } from '../../server/uploads/errors.ts'
import type { Records } from '../../server/uploads/ports/records.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import {
  ALICE,
  bodyOf,
  bytesOf,
  embeddedWorld,
  readAll,
  SETTINGS,
  sha256,
  type TestEngine,
  type World,
} from './support/engine.ts'

describe('rows known for a moment', () => {
  let world: World
  let one: TestEngine
  let two: TestEngine
  let found = 0

  before(async () => {
    world = await embeddedWorld()
    const counting: Records = {
      ...world.database.records,
      find: (id) => {
        found++
        return world.database.records.find(id)
      },
    }
    one = await world.engine({ records: counting })
    two = await world.engine()
  })
  after(() => world.remove())

  const create = async (length: number | null) =>
    (await one.create(ALICE, { length, metadataRaw: null, body: null, bodyLength: 0 })).upload.id
  const append = (id: UploadId, offset: number, bytes: Buffer, engine = one, declaredLength?: number) =>
    engine.append(ALICE, id, {
      offset,
      body: bodyOf(bytes),
      bodyLength: bytes.length,
      ...(declaredLength === undefined ? {} : { declaredLength }),
    })
  /** An upload of which this instance has just stored 1,000 bytes. */
  const begun = async (length: number | null = 3000): Promise<UploadId> => {
    const id = await create(length)
    await append(id, 0, bytesOf(1000))
    return id
  }

  test('a request that follows another does not look the row up', async () => {
    const id = await begun()
    found = 0
    await append(id, 1000, bytesOf(1000))
    assert.equal((await one.inspect(ALICE, id)).offset, 2000)
    assert.equal(found, 0)
    const { upload } = await append(id, 2000, bytesOf(1000))
    assert.equal(upload.state, 'uploaded')
  })

  test('another instance that wrote meanwhile is seen, whatever it wrote', async () => {
    const bytes = bytesOf(1_500_000)
    const id = await create(bytes.length)
    await append(id, 0, bytes.subarray(0, 1000))
    // Full parts: a multipart upload that this instance knows nothing of.
    await append(id, 1000, bytes.subarray(1000, 1_100_000), two)
    assert.equal((await one.inspect(ALICE, id)).offset, 1_100_000)
    await append(id, 1_100_000, bytes.subarray(1_100_000, 1_200_000))
    const { upload } = await append(id, 1_200_000, bytes.subarray(1_200_000), two)
    assert.equal(upload.state, 'uploaded')
    const standing = await one.inspect(ALICE, id)
    assert.deepEqual([standing.upload.state, standing.offset], ['uploaded', bytes.length])
    const download = await one.download(ALICE, id)
    assert.equal(sha256(await readAll(await download.open())), sha256(bytes))
  })

  test('an upload that was ended elsewhere is gone at once', async () => {
    for (const ask of [(id: UploadId) => one.inspect(ALICE, id), (id: UploadId) => append(id, 1000, bytesOf(10))]) {
      const id = await begun()
      await two.terminate(ALICE, id)
      await assert.rejects(ask(id), { code: 'upload_gone' })
    }
  })

  test('an upload that was finished elsewhere takes no more bytes', async () => {
    const id = await begun()
    await append(id, 1000, bytesOf(2000), two)
    await assert.rejects(append(id, 1000, bytesOf(10)), (error) => {
      return hasCode(error, 'offset_mismatch') && error.facts.offset === 3000
    })
  })

  test('a length that was declared elsewhere counts', async () => {
    const id = await begun(null)
    await append(id, 1000, Buffer.alloc(0), two, 1500)
    await assert.rejects(append(id, 1000, bytesOf(600)), { code: 'body_exceeds_length' })
    assert.equal((await append(id, 1000, bytesOf(500))).upload.state, 'uploaded')
  })

  test('with the session lost, what is stored is looked for', async () => {
    for (const ask of [
      (id: UploadId) => one.inspect(ALICE, id),
      (id: UploadId) => append(id, 1000, Buffer.alloc(0)),
      (id: UploadId) => append(id, 1000, bytesOf(500)).then(() => append(id, 1500, Buffer.alloc(0))),
    ]) {
      const id = await begun()
      world.state.forget()
      const { offset } = await ask(id)
      assert.ok(offset === 1000 || offset === 1500, String(offset))
      assert.equal((await two.inspect(ALICE, id)).offset, offset)
    }
  })

  test('what nobody may see stays unseen', async () => {
    const id = await begun()
    const bob = { ...ALICE, subject: 'bob' }
    await assert.rejects(one.inspect(bob, id), (error) => hasCode(error, 'not_found', 'forbidden'))
  })

  test('bytes that were stored and could not be saved never stand behind what another client wrote', async () => {
    const bytes = bytesOf(3000)
    const coordination = world.coordination()
    const save = coordination.save.bind(coordination)
    let away = false
    coordination.save = async (...call) => {
      if (away) throw new UploadError('coordination_unavailable', 'Redis is away')
      return save(...call)
    }
    const unlucky = await world.engine({ coordination, settings: { ...SETTINGS, leaseMs: 300 } })
    const id = await create(bytes.length)
    await append(id, 0, bytes.subarray(0, 1000), unlucky)
    away = true
    await assert.rejects(append(id, 1000, bytesOf(900), unlucky), { code: 'coordination_unavailable' })
    assert.equal((await two.inspect(ALICE, id)).offset, 1000)
    await append(id, 1000, bytes.subarray(1000, 1400), two)
    world.state.forget()
    assert.equal((await two.inspect(ALICE, id)).offset, 1400)
    await append(id, 1400, bytes.subarray(1400), two)
    const download = await two.download(ALICE, id)
    assert.equal(sha256(await readAll(await download.open())), sha256(bytes))
  })

  test('a finish that was interrupted elsewhere counts for nothing behind bytes that were acknowledged since', async () => {
    const { change } = world.database.records
    const interrupted: Records = {
      ...world.database.records,
      change: async (id, what, options) => {
        if (options.enter?.includes('uploaded')) throw new UploadError('records_unavailable', 'Postgres is away')
        return change(id, what, options)
      },
    }
    const unlucky = await world.engine({ records: interrupted })
    const bytes = bytesOf(3000)
    const id = await create(bytes.length)
    await append(id, 0, bytes.subarray(0, 1000))
    await assert.rejects(append(id, 1000, bytesOf(2000), unlucky), { code: 'records_unavailable' })
    // This instance has just seen the row receiving; by now it names an object with the bytes of the other request.
    assert.equal((await append(id, 1000, bytes.subarray(1000, 1500))).offset, 1500)
    assert.equal((await append(id, 1500, bytes.subarray(1500))).upload.state, 'uploaded')
    const download = await one.download(ALICE, id)
    assert.equal(sha256(await readAll(await download.open())), sha256(bytes))
  })

  test('a driver that does not let go with a save is let go of by itself', async () => {
    const coordination = world.coordination()
    const save = coordination.save.bind(coordination)
    coordination.save = (upload, token, session, parts) => save(upload, token, session, parts)
    const plain = await world.engine({ coordination })
    const id = await create(3000)
    await append(id, 0, bytesOf(1000), plain)
    const began = performance.now()
    assert.equal((await append(id, 1000, bytesOf(1000), two)).offset, 2000)
    assert.ok(performance.now() - began < SETTINGS.leaseMs, 'it was let go of, and not waited for')
  })
})
