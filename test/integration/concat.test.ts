import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import type { Gatekeeper } from '../../server/uploads/api.ts'
import { hasCode, UploadError } from '../../server/uploads/errors.ts'
import { newUploadId } from '../../server/uploads/id.ts'
import { oneStore } from '../../server/uploads/one-store.ts'
import { sweepOrphans } from '../../server/uploads/orphans.ts'
import type { ByteStore } from '../../server/uploads/ports/byte-store.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import { testServices } from '../support/services.ts'
import {
  ALICE,
  bodyOf,
  bytesOf,
  embeddedWorld,
  MIB,
  OPEN_GATE,
  readAll,
  realWorld,
  SETTINGS,
  sha256,
  type TestEngine,
} from './support/engine.ts'

const worlds = [
  { name: 'files and PGlite', open: embeddedWorld, partBytes: SETTINGS.partBytes },
  ...testServices().s3.map((s3) => ({
    name: `Redis, Postgres and ${s3.name}`,
    open: () => realWorld(s3),
    partBytes: 5 * MIB,
  })),
]

for (const { name, open, partBytes } of worlds) {
  describe(`concatenation: ${name}`, () => {
    let world: Awaited<ReturnType<typeof open>>
    let engine: TestEngine
    before(async () => {
      world = await open()
      engine = await world.engine()
    })
    after(() => world.remove())

    const partial = async (bytes: Buffer) => {
      const request = { length: bytes.length, metadataRaw: null, partial: true }
      const { upload } = await engine.create(ALICE, { ...request, body: bodyOf(bytes), bodyLength: bytes.length })
      assert.equal(upload.state, 'uploaded')
      return upload.id
    }
    const rawOf = (ids: readonly UploadId[]) => `final;${ids.map((id) => `/files/${id}`).join(' ')}`
    const requestOf = (...ids: readonly UploadId[]) => ({ raw: rawOf(ids), partials: ids, metadataRaw: null })
    const content = async (id: UploadId) => readAll(await (await engine.download(ALICE, id)).open())
    const row = async (id: UploadId) => {
      const found = await world.database.records.find(id)
      assert.ok(found)
      return found
    }
    const keysOf = async (id: UploadId) => {
      const keys: string[] = []
      for await (const { key } of world.store.list('uploads')) if (key.includes(id)) keys.push(key)
      return keys
    }
    const settings = { ...SETTINGS, partBytes, rebuildWaitMs: 0 }
    /** An engine whose store fails at the first call that makes the object. */
    const broken = async (change: Partial<ByteStore>, gatekeeper: Gatekeeper = OPEN_GATE) => {
      const store = new Proxy(world.store, {
        get: (target, key) => {
          const replaced: unknown = Reflect.get(change, key)
          if (replaced !== undefined) return replaced
          const value: unknown = Reflect.get(target, key)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
      return world.engine({ stores: oneStore(store), settings: { ...settings, finishWaitMs: 300 }, gatekeeper })
    }

    for (const [title, sizes] of [
      ['small ones', [5, 6]],
      ['one', [3]],
      ['empty ones', [0, 0]],
      ['some empty', [0, 7, 0]],
      ['large ones with odd ends', [partBytes + 77, 2 * partBytes + 5, 3]],
      ['small ones around a large one', [1000, 3 * partBytes + 1, 2000, 3000]],
      ['one large', [partBytes * 2 + 1]],
    ] as const) {
      test(`of ${title}: content, length, CRC-32, one event`, async () => {
        const pieces = sizes.map((size) => bytesOf(size))
        const ids = await Promise.all(pieces.map(partial))
        const { upload, offset } = await engine.concatenate(ALICE, requestOf(...ids))
        const whole = Buffer.concat(pieces)
        assert.deepEqual([upload.state, upload.length, offset], ['uploaded', whole.length, whole.length])
        assert.equal(upload.crc32, crc32(whole))
        assert.equal(sha256(await content(upload.id)), sha256(whole))
        assert.deepEqual(await keysOf(upload.id), [upload.objectKey])
        assert.deepEqual(Object.keys(upload.enteredAt).sort(), ['created', 'finishing', 'uploaded'])
      })
    }

    test('of a hundred, some of them more than once', async () => {
      const pieces = Array.from({ length: 10 }, (_, index) => Buffer.from(`piece ${index} `.repeat(index * 200)))
      const ids = await Promise.all(pieces.map(partial))
      const order = Array.from({ length: 100 }, (_, index) => (index * 7) % 10)
      const list = order.map((index) => ids[index] ?? newUploadId())
      const { upload } = await engine.concatenate(ALICE, requestOf(...list))
      const whole = Buffer.concat(order.map((index) => pieces[index] ?? Buffer.alloc(0)))
      assert.equal(sha256(await content(upload.id)), sha256(whole))
    })

    test('the very same request again answers the same upload, another order makes another', async () => {
      const [a, b] = [await partial(Buffer.from('hello')), await partial(Buffer.from(' world'))]
      const first = await engine.concatenate(ALICE, requestOf(a, b))
      assert.equal((await engine.concatenate(ALICE, requestOf(a, b))).upload.id, first.upload.id)
      const other = await engine.concatenate(ALICE, requestOf(b, a))
      assert.notEqual(other.upload.id, first.upload.id)
      assert.equal((await content(other.upload.id)).toString(), ' worldhello')
      assert.equal((await content(first.upload.id)).toString(), 'hello world')
    })

    test('two at once of the same partial uploads are both right', async () => {
      const pieces = [bytesOf(partBytes + 1), bytesOf(partBytes + 2)]
      const [a = newUploadId(), b = newUploadId()] = await Promise.all(pieces.map(partial))
      const [one, two] = await Promise.all([
        engine.concatenate(ALICE, requestOf(a, b)),
        engine.concatenate(ALICE, requestOf(b, a)),
      ])
      assert.equal(sha256(await content(one.upload.id)), sha256(Buffer.concat(pieces)))
      assert.equal(sha256(await content(two.upload.id)), sha256(Buffer.concat(pieces.reverse())))
    })

    test('what is not the caller’s, not finished, not partial or too much makes nothing', async () => {
      const good = await partial(Buffer.from('hello'))
      const { upload: plain } = await engine.create(ALICE, {
        ...{ length: 0, metadataRaw: null, body: null, bodyLength: 0 },
      })
      const { upload: unfinished } = await engine.create(ALICE, {
        ...{ length: 5, metadataRaw: null, partial: true, body: null, bodyLength: 0 },
      })
      const { upload: final } = await engine.concatenate(ALICE, requestOf(good))
      const before = (await world.database.records.list({ tenant: 'default', limit: 100 })).items.length
      const refused = (ids: readonly UploadId[], code: 'not_found' | 'concat_invalid', who = ALICE) =>
        assert.rejects(engine.concatenate(who, requestOf(...ids)), (error) => hasCode(error, code))
      await refused([good, newUploadId()], 'not_found')
      await refused([good], 'not_found', { ...ALICE, subject: 'bob' })
      await refused([good], 'not_found', { ...ALICE, subject: 'bob', roles: ['admin'] })
      await refused([good], 'not_found', { ...ALICE, tenant: 'other' })
      await refused([good, unfinished.id], 'concat_invalid')
      await refused([good, plain.id], 'concat_invalid')
      await refused([final.id], 'concat_invalid')
      await refused([], 'concat_invalid')
      await refused(Array(1001).fill(good), 'concat_invalid')
      const narrow = await world.engine({ settings: { ...settings, maxBytes: 9 } })
      await assert.rejects(narrow.concatenate(ALICE, requestOf(good, good)), (error) =>
        hasCode(error, 'upload_too_large'),
      )
      assert.equal((await world.database.records.list({ tenant: 'default', limit: 100 })).items.length, before)
    })

    test('a final upload takes no bytes, a partial one is not handed out', async () => {
      const id = await partial(Buffer.from('hello'))
      const { upload } = await engine.concatenate(ALICE, requestOf(id))
      const append = engine.append(ALICE, upload.id, { offset: 5, body: bodyOf(Buffer.from('x')), bodyLength: 1 })
      await assert.rejects(append, (error) => hasCode(error, 'concat_final'))
      await assert.rejects(engine.download(ALICE, id), (error) => hasCode(error, 'upload_not_finished'))
      assert.equal((await content(upload.id)).toString(), 'hello')
    })

    test('a composition that stops is driven on by HEAD and by the same request; its sources stay meanwhile', async () => {
      const pieces = [bytesOf(partBytes + 10), bytesOf(partBytes + 20)]
      const ids = await Promise.all(pieces.map(partial))
      const away = () => Promise.reject(new UploadError('store_unavailable', 'away'))
      const failing = await broken({ completeMultipart: away })
      let id: UploadId | undefined
      await assert.rejects(failing.concatenate(ALICE, requestOf(...ids)), (error) => {
        assert.ok(hasCode(error, 'finish_pending'))
        id = String(error.facts.location_id) as UploadId
        return true
      })
      assert.ok(id)
      assert.equal((await row(id)).state, 'finishing')
      const [first = newUploadId()] = ids
      await assert.rejects(engine.terminate(ALICE, first), (error) => hasCode(error, 'upload_busy'))
      await sweepOrphans({
        ...{ inventory: world.store, records: world.database.housekeeping, store: world.store, keys: SETTINGS.keys },
        ...{ minAgeMs: -1000, windowMs: null, dryRun: false, found: () => {}, stopping: () => false },
      })
      const again = await engine.concatenate(ALICE, requestOf(...ids))
      assert.equal(again.upload.id, id)
      assert.equal((await engine.inspect(ALICE, id)).offset, 2 * partBytes + 30)
      assert.equal(sha256(await content(id)), sha256(Buffer.concat(pieces)))
      const events = await world.database.outbox.undone({ olderThanMs: -1000, limit: 1000 }).catch(() => [])
      assert.ok(events.filter(({ upload, type }) => upload === id && type === 'upload.uploaded').length <= 1)
    })

    test('a long one goes on without its request', async () => {
      const ids = [await partial(bytesOf(partBytes + 10)), await partial(bytesOf(10))]
      let go = () => {}
      const gate = new Promise<void>((resolve) => {
        go = resolve
      })
      const slow = await broken({
        createMultipart: async (...args) => {
          await gate
          return world.store.createMultipart(...args)
        },
      })
      await assert.rejects(slow.concatenate(ALICE, requestOf(...ids)), (error) => hasCode(error, 'finish_pending'))
      await assert.rejects(slow.concatenate(ALICE, requestOf(...ids)), (error) => hasCode(error, 'finish_pending'))
      go()
      for (;;) {
        const answer = await slow.concatenate(ALICE, requestOf(...ids)).catch(() => null)
        if (answer) break
      }
      assert.equal((await row((await row(ids[0] ?? newUploadId())).partialOf ?? newUploadId())).state, 'uploaded')
    })

    test('a hook is asked once, about the final upload alone; its refusal leaves the partial ones', async () => {
      const asked: (string | null)[] = []
      const gatekeeper: Gatekeeper = {
        ...OPEN_GATE,
        async preFinish(upload) {
          asked.push(upload.concatRaw)
          throw new UploadError('refused_by_hook', 'no')
        },
      }
      const strict = await world.engine({ settings, gatekeeper })
      const bytes = bytesOf(partBytes + 1)
      const request = { length: bytes.length, metadataRaw: null, partial: true }
      const { upload } = await strict.create(ALICE, { ...request, body: bodyOf(bytes), bodyLength: bytes.length })
      const small = await strict.create(ALICE, {
        ...{ length: 5, metadataRaw: null, partial: true, body: bodyOf(Buffer.from('hello')), bodyLength: 5 },
      })
      assert.deepEqual([asked, upload.state, small.upload.state], [[], 'uploaded', 'uploaded'])
      const raw = rawOf([upload.id])
      const refused = strict.concatenate(ALICE, { raw, partials: [upload.id], metadataRaw: null })
      await assert.rejects(refused, (error) => hasCode(error, 'refused_by_hook'))
      assert.deepEqual(asked, [raw])
      assert.equal((await keysOf(upload.id)).length, 1, 'the partial upload has its bytes')
      const made = await engine.concatenate(ALICE, requestOf(upload.id))
      assert.equal(sha256(await content(made.upload.id)), sha256(bytes))
    })

    test('partial uploads go after their final one, or when nobody asks for one; the final one stays', async () => {
      const short = await world.engine({ settings: { ...settings, expiresAfterMs: 400 } })
      const create = async (text: string) => {
        const body = { body: bodyOf(Buffer.from(text)), bodyLength: text.length }
        return (await short.create(ALICE, { length: text.length, metadataRaw: null, partial: true, ...body })).upload.id
      }
      const [a, b, forgotten] = [await create('hello'), await create(' world'), await create('never asked for')]
      const { upload } = await short.concatenate(ALICE, requestOf(a, b))
      const states = async () => Promise.all([a, b, forgotten].map(async (id) => (await row(id)).state))
      const deadline = Date.now() + 10_000
      while ((await states()).some((state) => state !== 'erased') && Date.now() < deadline) {
        await sleep(100)
        await short.sweep()
      }
      assert.deepEqual(await states(), ['erased', 'erased', 'erased'])
      for (const id of [a, b, forgotten]) assert.deepEqual(await keysOf(id), [])
      await assert.rejects(engine.inspect(ALICE, a), (error) => hasCode(error, 'upload_gone'))
      assert.equal((await content(upload.id)).toString(), 'hello world')
    })

    test('a final upload whose source vanished from the store is lost, and says so', async () => {
      const ids = [await partial(bytesOf(partBytes + 1)), await partial(bytesOf(partBytes + 1))]
      const key = (await row(ids[0] ?? newUploadId())).objectKey ?? ''
      await world.store.remove([key])
      await assert.rejects(engine.concatenate(ALICE, requestOf(...ids)), (error) => hasCode(error, 'upload_gone'))
      const final = (await row(ids[1] ?? newUploadId())).partialOf ?? newUploadId()
      assert.equal((await row(final)).state, 'lost')
    })
  })
}
