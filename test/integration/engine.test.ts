import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { hasCode, UploadError } from '../../server/uploads/errors.ts'
import { oneStore } from '../../server/uploads/one-store.ts'
import type { ByteStore } from '../../server/uploads/ports/byte-store.ts'
import type { Message } from '../../server/uploads/ports/coordination.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import {
  ALICE,
  bodyOf,
  bytesOf,
  embeddedWorld,
  openBody,
  readAll,
  SETTINGS,
  sha256,
  type TestEngine,
  type World,
} from './support/engine.ts'

describe('engine on the embedded drivers', () => {
  let world: World
  let one: TestEngine
  let two: TestEngine

  before(async () => {
    world = await embeddedWorld()
    one = await world.engine()
    two = await world.engine()
  })
  after(() => world.remove())

  const create = async (length: number | null, engine = one) =>
    (await engine.create(ALICE, { length, metadataRaw: null, body: null, bodyLength: 0 })).upload.id
  const append = (id: UploadId, offset: number, bytes: Buffer, engine = one, declaredLength?: number) =>
    engine.append(ALICE, id, {
      offset,
      body: bodyOf(bytes),
      bodyLength: bytes.length,
      ...(declaredLength === undefined ? {} : { declaredLength }),
    })
  const content = async (id: UploadId) => {
    const download = await one.download(ALICE, id)
    return readAll(await download.open())
  }
  const events = async (id: UploadId) => {
    const all = await world.database.outbox.claim(10_000, 1)
    return all.filter((event) => event.payload.id === id).map((event) => event.type)
  }

  test('a whole file with its creation is one object and one row', async () => {
    const bytes = bytesOf(10_240)
    const { upload, offset } = await one.create(ALICE, {
      length: bytes.length,
      metadataRaw: null,
      body: bodyOf(bytes),
      bodyLength: bytes.length,
    })
    assert.equal(offset, bytes.length)
    assert.equal(upload.state, 'uploaded')
    assert.equal(sha256(await content(upload.id)), sha256(bytes))
    assert.equal((await one.inspect(ALICE, upload.id)).offset, bytes.length)
  })

  test('an empty file is finished at its creation', async () => {
    const { upload } = await one.create(ALICE, { length: 0, metadataRaw: null, body: null, bodyLength: 0 })
    assert.equal(upload.state, 'uploaded')
    assert.equal((await content(upload.id)).length, 0)
  })

  for (const size of [1, 100, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 1024 * 1024, 5_000_000]) {
    test(`one append of ${size} bytes`, async () => {
      const bytes = bytesOf(size)
      const id = await create(size)
      const { offset, upload } = await append(id, 0, bytes)
      assert.equal(offset, size)
      assert.equal(upload.state, 'uploaded')
      assert.equal(sha256(await content(id)), sha256(bytes))
    })

    test(`appends of 100,000 bytes through two instances, ${size} bytes in all`, async () => {
      const bytes = bytesOf(size)
      const id = await create(size)
      let offset = 0
      for (let turn = 0; offset < size; turn++) {
        const piece = bytes.subarray(offset, offset + 100_000)
        const engine = turn % 2 === 0 ? one : two
        const standing = await append(id, offset, piece, engine)
        assert.equal(standing.offset, offset + piece.length)
        offset = standing.offset
        assert.equal((await (turn % 2 === 0 ? two : one).inspect(ALICE, id)).offset, offset)
      }
      assert.equal(sha256(await content(id)), sha256(bytes))
    })
  }

  test('a deferred length, declared with the last bytes, and with none', async () => {
    for (const last of [300_000, 0]) {
      const bytes = bytesOf(900_000 + last)
      const id = await create(null)
      await append(id, 0, bytes.subarray(0, 900_000))
      assert.equal((await one.inspect(ALICE, id)).upload.length, null)
      const { upload } = await append(id, 900_000, bytes.subarray(900_000), two, bytes.length)
      assert.equal(upload.state, 'uploaded')
      assert.equal(sha256(await content(id)), sha256(bytes))
    }
  })

  test('what came before a cut is kept', async () => {
    const bytes = bytesOf(2_000_000)
    const id = await create(bytes.length)
    const { body, send, cut } = openBody()
    const appending = one.append(ALICE, id, { offset: 0, body, bodyLength: bytes.length })
    send(bytes.subarray(0, 700_001))
    setTimeout(cut, 50)
    await assert.rejects(appending, (error) => hasCode(error, 'body_cut'))
    const { offset } = await two.inspect(ALICE, id)
    assert.equal(offset, 700_001)
    await append(id, offset, bytes.subarray(offset), two)
    assert.equal(sha256(await content(id)), sha256(bytes))
  })

  test('an append elsewhere takes over a flowing one, which keeps what it got', async () => {
    const bytes = bytesOf(2_000_000)
    const id = await create(bytes.length)
    const { body, send } = openBody()
    const appending = one.append(ALICE, id, { offset: 0, body, bodyLength: bytes.length })
    const cut = assert.rejects(appending, (error) => hasCode(error, 'upload_busy'))
    send(bytes.subarray(0, 600_000))
    let offset = 0
    while (offset < 600_000) offset = (await two.inspect(ALICE, id)).offset
    await append(id, offset, bytes.subarray(offset), two)
    await cut
    assert.equal(sha256(await content(id)), sha256(bytes))
  })

  test('a session that is gone is rebuilt from row and store', async () => {
    const bytes = bytesOf(2_000_000)
    const id = await create(bytes.length)
    await append(id, 0, bytes.subarray(0, 1_300_000))
    world.state.forget()
    const { offset } = await two.inspect(ALICE, id)
    assert.equal(offset, 1_300_000)
    assert.equal((await world.database.records.find(id))?.generation, 3)
    await append(id, offset, bytes.subarray(offset, 1_400_000), one)
    world.state.forget()
    await append(id, 1_400_000, bytes.subarray(1_400_000), two)
    assert.equal(sha256(await content(id)), sha256(bytes))
    assert.deepEqual(await events(id), ['upload.created', 'upload.receiving', 'upload.finishing', 'upload.uploaded'])
  })

  test('an upload of many segments, rolled and frozen, becomes one object', async () => {
    const engine = await world.engine({ settings: { ...SETTINGS, segmentParts: 2 } })
    const bytes = bytesOf(6_000_001)
    const id = await create(bytes.length)
    await append(id, 0, bytes.subarray(0, 2_300_000), engine)
    assert.equal((await world.database.records.find(id))?.segments.length, 1)
    world.state.forget()
    assert.equal((await two.inspect(ALICE, id)).offset, 2_300_000)
    await append(id, 2_300_000, bytes.subarray(2_300_000, 3_400_000), engine)
    world.state.forget()
    await append(id, 3_400_000, bytes.subarray(3_400_000), engine)
    assert.equal(sha256(await content(id)), sha256(bytes))
    const row = await world.database.records.find(id)
    assert.deepEqual(row?.segments, [])
    assert.equal(row?.crc32, crc32(bytes))
  })

  test('a segment that is rolled while a tail waits behind its last part keeps the tail', async () => {
    const engine = await world.engine({ settings: { ...SETTINGS, segmentParts: 2 } })
    const bytes = bytesOf(3_000_000)
    const id = await create(bytes.length)
    for (let offset = 0; offset < bytes.length; offset += 700_000) {
      const { offset: now } = await append(id, offset, bytes.subarray(offset, offset + 700_000), engine)
      assert.equal(now, Math.min(bytes.length, offset + 700_000))
    }
    assert.equal(sha256(await content(id)), sha256(bytes))
  })

  test('a HEAD while parts are on their way: what fills a part meanwhile is a part, no tail crosses its end', async () => {
    const gate = Promise.withResolvers<void>()
    const store: ByteStore = Object.create(world.store)
    store.uploadPart = async (...call) => {
      await gate.promise
      return world.store.uploadPart(...call)
    }
    for (const method of [
      'putObject',
      'createMultipart',
      'completeMultipart',
      'listParts',
      'remove',
      'list',
    ] as const) {
      Object.assign(store, { [method]: world.store[method].bind(world.store) })
    }
    const engine = await world.engine({ stores: oneStore(store) })
    const bytes = bytesOf(3 * 512 * 1024 + 1000)
    const id = await create(bytes.length)
    const { body, send, end } = openBody()
    const appending = engine.append(ALICE, id, { offset: 0, body, bodyLength: bytes.length })
    send(bytes.subarray(0, 600_000))
    await new Promise((resolve) => setTimeout(resolve, 50))
    const asked = engine.inspect(ALICE, id)
    await new Promise((resolve) => setTimeout(resolve, 50))
    send(bytes.subarray(600_000, 1_200_000))
    await new Promise((resolve) => setTimeout(resolve, 50))
    gate.resolve()
    assert.ok([524_288, 600_000, 1_048_576].includes((await asked).offset))
    send(bytes.subarray(1_200_000))
    end()
    await appending
    assert.equal(sha256(await content(id)), sha256(bytes))
  })

  test('a last part that is full and was flushed as a tail finishes the file', async () => {
    const bytes = bytesOf(1024 * 1024)
    const id = await create(bytes.length)
    const { body, send, end } = openBody()
    const appending = one.append(ALICE, id, { offset: 0, body, bodyLength: bytes.length })
    send(bytes)
    await new Promise((resolve) => setTimeout(resolve, 50))
    const asked = two.inspect(ALICE, id)
    await new Promise((resolve) => setTimeout(resolve, 50))
    end()
    assert.equal((await appending).offset, bytes.length)
    assert.equal((await asked).offset, bytes.length)
    assert.equal(sha256(await content(id)), sha256(bytes))
  })

  test('a row that was read before others wrote says nothing once their session is there', async () => {
    const id = await create(1000)
    const gate = Promise.withResolvers<void>()
    const late = world.coordination()
    const take = late.take.bind(late)
    const asked = Promise.withResolvers<void>()
    late.take = async (...call) => {
      asked.resolve()
      await gate.promise
      return take(...call)
    }
    const waiting = (await world.engine({ coordination: late })).append(ALICE, id, {
      offset: 0,
      body: null,
      bodyLength: 0,
    })
    await asked.promise
    // A process that wrote, acknowledged, and died before it let go.
    const mute = world.coordination()
    mute.release = async () => 'gone'
    const dead = await world.engine({ coordination: mute, settings: { ...SETTINGS, leaseMs: 100 } })
    assert.equal((await append(id, 0, bytesOf(300), dead)).offset, 300)
    await new Promise((resolve) => setTimeout(resolve, 150))
    gate.resolve()
    await assert.rejects(waiting, (error) => hasCode(error, 'offset_mismatch') && error.facts.offset === 300)
  })

  test('a tail that was stored and not saved never counts behind what another client wrote', async () => {
    const coordination = world.coordination()
    const save = coordination.save.bind(coordination)
    coordination.save = async (upload, token, session, parts) => {
      if (session.tails.length > 0) throw new UploadError('coordination_unavailable', 'Redis is away')
      return save(upload, token, session, parts)
    }
    const unlucky = await world.engine({ coordination })
    const [bytes, others] = [bytesOf(600_000), bytesOf(1000)]
    const id = await create(600_000)
    await assert.rejects(append(id, 0, bytes.subarray(0, 599_999), unlucky), { code: 'coordination_unavailable' })
    assert.equal((await two.inspect(ALICE, id)).offset, 524_288)
    await append(id, 524_288, others, two)
    world.state.forget()
    assert.equal((await two.inspect(ALICE, id)).offset, 525_288)
    await append(id, 525_288, bytes.subarray(525_288), two)
    const expected = Buffer.concat([bytes.subarray(0, 524_288), others, bytes.subarray(525_288)])
    assert.equal(sha256(await content(id)), sha256(expected))
  })

  test('a late message about an earlier offset is no answer to a HEAD', async () => {
    const id = await create(1_000_000)
    const coordination = world.coordination()
    const { listen, tell } = {
      listen: coordination.listen.bind(coordination),
      tell: coordination.tell.bind(coordination),
    }
    let hear: (message: Message) => void = () => {}
    coordination.listen = async (handler) => {
      hear = handler
      return listen(handler)
    }
    coordination.tell = async (instance, message) => {
      if (message.type === 'flush') hear({ type: 'offset', upload: id, offset: 5 })
      return tell(instance, message)
    }
    const asking = await world.engine({ coordination })
    const { body, send, end } = openBody()
    const bytes = bytesOf(1_000_000)
    const appending = one.append(ALICE, id, { offset: 0, body, bodyLength: bytes.length })
    send(bytes.subarray(0, 600_000))
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.ok((await asking.inspect(ALICE, id)).offset >= 524_288)
    send(bytes.subarray(600_000))
    end()
    await appending
  })

  test('an append that read the row amid a rebuild writes tails that the next rebuild counts', async () => {
    const bytes = bytesOf(1000)
    const id = await create(bytes.length)
    await append(id, 0, bytes.subarray(0, 300))
    world.state.forget()
    const [listing, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const store: ByteStore = Object.create(world.store)
    for (const method of ['read', 'putObject', 'head'] as const) {
      Object.assign(store, { [method]: world.store[method].bind(world.store) })
    }
    store.list = async function* (prefix) {
      listing.resolve()
      await goOn.promise
      yield* world.store.list(prefix)
    }
    const rebuilding = (await world.engine({ stores: oneStore(store) })).inspect(ALICE, id)
    await listing.promise
    const appending = append(id, 300, bytes.subarray(300, 400), two)
    await new Promise((resolve) => setTimeout(resolve, 50))
    goOn.resolve()
    assert.equal((await rebuilding).offset, 300)
    assert.equal((await appending).offset, 400)
    world.state.forget()
    assert.equal((await one.inspect(ALICE, id)).offset, 400)
    await append(id, 400, bytes.subarray(400))
    assert.equal(sha256(await content(id)), sha256(bytes))
  })

  test('a store that lost the open multipart upload ends the upload as lost', async () => {
    const bytes = bytesOf(2_000_000)
    const id = await create(bytes.length)
    await append(id, 0, bytes.subarray(0, 1_200_000))
    const row = await world.database.records.find(id)
    await world.store.abortMultipart(row?.multipartKey ?? '', row?.multipartId ?? '')
    await assert.rejects(append(id, 1_200_000, bytes.subarray(1_200_000), two), (error) => hasCode(error, 'hold_lost'))
    await assert.rejects(two.inspect(ALICE, id), (error) => hasCode(error, 'upload_gone'))
    assert.equal((await world.database.records.find(id))?.state, 'lost')
  })

  test('a finished upload refuses another length than its own', async () => {
    const id = await create(100)
    await append(id, 0, bytesOf(100))
    await assert.rejects(append(id, 100, bytesOf(0), two, 200), (error) => hasCode(error, 'length_already_known'))
    assert.equal((await append(id, 100, bytesOf(0), two, 100)).offset, 100)
  })

  test('1,000 appends of 1 KiB: tails stay few', async () => {
    const bytes = bytesOf(1_024_000)
    const id = await create(bytes.length)
    for (let offset = 0; offset < bytes.length; offset += 1024) {
      await append(id, offset, bytes.subarray(offset, offset + 1024), offset % 2048 === 0 ? one : two)
    }
    assert.equal(sha256(await content(id)), sha256(bytes))
  })

  test('refusals change nothing', async () => {
    const id = await create(500)
    const before = await world.database.records.find(id)
    await assert.rejects(
      append(id, 3, bytesOf(5)),
      (error) => hasCode(error, 'offset_mismatch') && error.facts.offset === 0,
    )
    await assert.rejects(append(id, 0, bytesOf(501)), (error) => hasCode(error, 'body_exceeds_length'))
    const chunked = one.append(ALICE, id, { offset: 0, body: bodyOf(bytesOf(501)), bodyLength: null })
    await assert.rejects(chunked, (error) => hasCode(error, 'body_exceeds_length'))
    assert.deepEqual(await world.database.records.find(id), before)
    assert.equal((await world.coordination().peek(id)).kind, 'missing')
  })

  test('a terminated upload is gone, its running append is cut', async () => {
    const id = await create(1_000_000)
    const { body, send } = openBody()
    const appending = one.append(ALICE, id, { offset: 0, body, bodyLength: 1_000_000 })
    const cut = assert.rejects(appending)
    send(bytesOf(600_000))
    await new Promise((resolve) => setTimeout(resolve, 50))
    await two.terminate(ALICE, id)
    await cut
    await assert.rejects(one.inspect(ALICE, id), (error) => hasCode(error, 'upload_gone'))
    const left: string[] = []
    for await (const object of world.store.list('')) if (object.key.includes(id)) left.push(object.key)
    assert.deepEqual(left, [])
  })

  test('a holder that dies is replaced after its lease', async () => {
    const bytes = bytesOf(1_500_000)
    const id = await create(bytes.length)
    const dead = await world.engine({ settings: { ...SETTINGS, leaseMs: 300 } })
    const { body, send } = openBody()
    const appending = dead.append(ALICE, id, { offset: 0, body, bodyLength: bytes.length })
    const lost = assert.rejects(appending)
    send(bytes.subarray(0, 1_100_000))
    // What a killed process leaves: its token and its session, and nobody who renews.
    for (let parts = 0; parts < 1_048_576; await new Promise(setImmediate)) {
      const peek = await world.coordination().peek(id)
      parts = peek.kind === 'held' ? (peek.session?.offset ?? 0) : 0
    }
    world.state.forget()
    const { offset } = await two.inspect(ALICE, id)
    assert.equal(offset, 1_048_576)
    await append(id, offset, bytes.subarray(offset), two)
    await lost
    assert.equal(sha256(await content(id)), sha256(bytes))
  })
})
