import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hasCode } from '../../server/uploads/errors.ts'
import {
  ALICE,
  bodyOf,
  bytesOf,
  embeddedWorld,
  openBody,
  readAll,
  SETTINGS,
  sha256,
  type World,
} from './support/engine.ts'

const { partBytes } = SETTINGS

describe('a body whose end is the end of the file', () => {
  let world: World
  before(async () => {
    world = await embeddedWorld()
  })
  after(() => world.remove())

  const request = { length: null, bodyLength: null, completesAtEnd: true, metadataRaw: null } as const
  const list = async () => (await world.database.records.list({ tenant: 'default', limit: 100 })).items
  const keys = async () => {
    const found: string[] = []
    for await (const object of world.store.list('uploads')) found.push(object.key)
    for await (const object of world.store.list('uploads-tails')) found.push(object.key)
    return found
  }

  for (const [name, length] of [
    ['nothing', 0],
    ['a small file', 10_000],
    ['exactly a part', partBytes],
    ['a part and a byte', partBytes + 1],
    ['exactly three parts', 3 * partBytes],
    ['three parts and a rest', 3 * partBytes + 12_345],
  ] as const) {
    test(`${name} (${length} bytes) is finished when the body ends`, async () => {
      const engine = await world.engine()
      const bytes = bytesOf(length)
      const { upload, offset } = await engine.create(ALICE, { ...request, body: bodyOf(bytes) })
      assert.deepEqual(
        [upload.state, upload.length, offset, upload.lengthDeferred],
        ['uploaded', length, length, false],
      )
      const download = await engine.download(ALICE, upload.id)
      assert.equal(sha256(await readAll(await download.open())), sha256(bytes))
      assert.equal((await keys()).filter((key) => key.includes(upload.id)).length, 1)
    })
  }

  test('a small file is one object and one row that never was anything but whole', async () => {
    const engine = await world.engine()
    const { upload } = await engine.create(ALICE, { ...request, body: bodyOf(bytesOf(100)) })
    assert.deepEqual(Object.keys(upload.enteredAt).sort(), ['created', 'uploaded'])
  })

  for (const [name, sent] of [
    ['within the first part', 1000],
    ['behind the first part', 2 * partBytes + 1000],
  ] as const) {
    test(`a body that breaks ${name} leaves nothing`, async () => {
      const engine = await world.engine()
      const before = { keys: await keys(), live: (await list()).filter((one) => one.state !== 'terminated').length }
      const { body, send, cut } = openBody()
      const creating = engine.create(ALICE, { ...request, body })
      send(bytesOf(sent))
      setImmediate(cut)
      await assert.rejects(creating, (error) => hasCode(error, 'body_cut') && error.facts.location_id === undefined)
      assert.deepEqual(await keys(), before.keys)
      assert.equal((await list()).filter((one) => one.state !== 'terminated').length, before.live)
    })
  }

  for (const [name, maxBytes] of [
    ['less than a part', 1000],
    ['more than a part', 2 * partBytes + 1000],
  ] as const) {
    test(`a body over the limit, ${name}, leaves nothing`, async () => {
      const engine = await world.engine({ settings: { ...SETTINGS, maxBytes } })
      const before = { keys: await keys(), live: (await list()).filter((one) => one.state !== 'terminated').length }
      await assert.rejects(engine.create(ALICE, { ...request, body: bodyOf(bytesOf(maxBytes + 1)) }), (error) =>
        hasCode(error, 'upload_too_large'),
      )
      assert.deepEqual(await keys(), before.keys)
      assert.equal((await list()).filter((one) => one.state !== 'terminated').length, before.live)
      const { upload } = await engine.create(ALICE, { ...request, body: bodyOf(bytesOf(maxBytes)) })
      assert.equal(upload.state, 'uploaded')
    })
  }

  test('bytes that have to be flushed before the end are no hindrance', async () => {
    const engine = await world.engine({ settings: { ...SETTINGS, flushAfterMs: 100 } })
    const bytes = bytesOf(3000)
    const { body, send, end } = openBody()
    const creating = engine.create(ALICE, { ...request, body })
    send(bytes.subarray(0, 1000))
    const row = async () => (await list()).find((one) => one.state === 'receiving')
    while ((await row()) === undefined) await new Promise((resolve) => setTimeout(resolve, 10))
    send(bytes.subarray(1000))
    end()
    const { upload } = await creating
    assert.deepEqual([upload.state, upload.length], ['uploaded', 3000])
    const download = await engine.download(ALICE, upload.id)
    assert.equal(sha256(await readAll(await download.open())), sha256(bytes))
  })

  test('a body that stands still leaves nothing', async () => {
    const engine = await world.engine({ settings: { ...SETTINGS, idleMs: 100 } })
    const { body, send } = openBody()
    const creating = engine.create(ALICE, { ...request, body })
    send(bytesOf(1000))
    const before = await list()
    await assert.rejects(creating, (error) => hasCode(error, 'body_stalled'))
    assert.equal((await list()).length, before.length)
  })

  test('an instance that stops keeps nothing of a file that has not ended', async () => {
    const engine = await world.engine()
    const { body, send } = openBody()
    const creating = engine.create(ALICE, { ...request, body })
    const refused = assert.rejects(creating, (error) => hasCode(error, 'shutting_down'))
    send(bytesOf(partBytes + 1000))
    while ((await list()).every((one) => one.state !== 'receiving'))
      await new Promise((resolve) => setImmediate(resolve))
    const before = (await list()).find((one) => one.state === 'receiving')
    await engine.close()
    await refused
    const id = before?.id ?? ''
    assert.equal((await list()).find((one) => one.id === id)?.state, 'terminated')
    assert.deepEqual(
      (await keys()).filter((key) => key.includes(id)),
      [],
    )
  })
})
