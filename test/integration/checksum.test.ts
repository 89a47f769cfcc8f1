import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Verification } from '../../server/uploads/api.ts'
import { hasCode, UploadError } from '../../server/uploads/errors.ts'
import { oneStore } from '../../server/uploads/one-store.ts'
import type { ByteStore } from '../../server/uploads/ports/byte-store.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import { testServices } from '../support/services.ts'
import {
  ALICE,
  bodyOf,
  bytesOf,
  embeddedWorld,
  MIB,
  openBody,
  readAll,
  realWorld,
  SETTINGS,
  sha256,
  type TestEngine,
} from './support/engine.ts'

const good: Verification = { update() {}, verify() {} }
const bad: Verification = {
  update() {},
  verify() {
    throw new UploadError('checksum_mismatch', 'not these bytes')
  },
}

const worlds = [
  {
    name: 'files and PGlite',
    open: async () => ({ ...(await embeddedWorld()), forget: null }),
    partBytes: SETTINGS.partBytes,
  },
  ...testServices()
    .s3.slice(0, 1)
    .map((s3) => ({ name: `Redis, Postgres and ${s3.name}`, open: () => realWorld(s3), partBytes: 5 * MIB })),
]

for (const { name, open, partBytes } of worlds) {
  describe(`a body that has to be verified: ${name}`, () => {
    let world: Awaited<ReturnType<typeof open>>
    let engine: TestEngine
    let calls: { call: string; unverifiedFrom: number | null | undefined }[] = []
    let current: UploadId | undefined
    const settings = { ...SETTINGS, partBytes, rebuildWaitMs: 0, flushAfterMs: 300 }

    /** The store, with what the row says at the moment of each write. */
    const watched = (): ByteStore =>
      new Proxy(world.store, {
        get: (target, key) => {
          const value: unknown = Reflect.get(target, key)
          if (typeof value !== 'function') return value
          const bound: (...args: unknown[]) => unknown = value.bind(target)
          if (key !== 'putObject' && key !== 'uploadPart') return bound
          return async (...args: unknown[]) => {
            const row = current && (await world.database.records.find(current))
            calls.push({ call: key, unverifiedFrom: row?.unverifiedFrom })
            return bound(...args)
          }
        },
      })

    before(async () => {
      world = await open()
      engine = await world.engine({ settings, stores: oneStore(watched()) })
    })
    after(() => world.remove())

    const create = async (length: number) => {
      const { upload } = await engine.create(ALICE, { length, metadataRaw: null, body: null, bodyLength: 0 })
      current = upload.id
      calls = []
      return upload.id
    }
    const append = (id: UploadId, offset: number, bytes: Buffer, verification?: Verification, bodyLength = true) =>
      engine.append(ALICE, id, {
        ...{ offset, body: bodyOf(bytes), bodyLength: bodyLength ? bytes.length : null },
        ...(verification ? { verification } : {}),
      })
    const mismatch = (work: Promise<unknown>) => assert.rejects(work, (error) => hasCode(error, 'checksum_mismatch'))
    const content = async (id: UploadId) => readAll(await (await engine.download(ALICE, id)).open())
    const row = async (id: UploadId) => world.database.records.find(id)

    test('one that fits a part sends nothing before it matches', async () => {
      const bytes = bytesOf(2 * partBytes)
      const id = await create(bytes.length)
      await append(id, 0, bytes.subarray(0, 1000), good)
      assert.deepEqual(calls, [{ call: 'putObject', unverifiedFrom: null }])
      calls = []
      await mismatch(append(id, 1000, bytes.subarray(1000, partBytes), bad))
      assert.deepEqual(calls, [])
      await append(id, 1000, bytes.subarray(1000, partBytes), good)
      assert.deepEqual(calls, [{ call: 'uploadPart', unverifiedFrom: null }])
      await append(id, partBytes, bytes.subarray(partBytes), good)
      assert.equal(sha256(await content(id)), sha256(bytes))
    })

    test('of a longer one the row says first where it begins; after a mismatch it never was', async () => {
      const bytes = bytesOf(4 * partBytes + 100)
      const id = await create(bytes.length)
      await append(id, 0, bytes.subarray(0, 1000))
      calls = []
      const wrong = bytesOf(3 * partBytes)
      await mismatch(append(id, 1000, wrong, bad))
      assert.ok(calls.length >= 2)
      assert.ok(calls.every(({ unverifiedFrom }) => unverifiedFrom === 1000))
      assert.equal((await engine.inspect(ALICE, id)).offset, 1000)
      assert.equal((await row(id))?.unverifiedFrom, null)
      await append(id, 1000, bytes.subarray(1000, 3 * partBytes), good)
      assert.equal((await row(id))?.unverifiedFrom, null)
      assert.equal((await engine.inspect(ALICE, id)).offset, 3 * partBytes)
      await append(id, 3 * partBytes, bytes.subarray(3 * partBytes), good, false)
      assert.equal(sha256(await content(id)), sha256(bytes))
    })

    test('the last part of the upload is no exception', async () => {
      const bytes = bytesOf(3 * partBytes)
      const id = await create(bytes.length)
      await mismatch(append(id, 0, bytesOf(bytes.length), bad))
      assert.equal((await engine.inspect(ALICE, id)).offset, 0)
      const { upload } = await append(id, 0, bytes, good)
      assert.equal(upload.state, 'uploaded')
      assert.equal(sha256(await content(id)), sha256(bytes))
    })

    test('no flush by age, no offset for a HEAD; one that breaks off counts for nothing', async () => {
      const bytes = bytesOf(3 * partBytes)
      const id = await create(bytes.length)
      const { body, send, cut } = openBody()
      const appending = engine.append(ALICE, id, { offset: 0, body, bodyLength: bytes.length, verification: good })
      const broken = assert.rejects(appending, (error) => hasCode(error, 'body_cut'))
      send(bytes.subarray(0, partBytes + 1000))
      while (!calls.some(({ call }) => call === 'uploadPart')) await sleep(10)
      // Flushed by age it would be by now.
      const deadline = Date.now() + 700
      while (Date.now() < deadline) {
        send(bytes.subarray(0, 1))
        assert.equal((await engine.inspect(ALICE, id)).offset, 0)
        await sleep(50)
      }
      assert.ok(calls.every(({ call }) => call === 'uploadPart'))
      cut()
      await broken
      assert.equal((await engine.inspect(ALICE, id)).offset, 0)
    })

    test('memory that runs short is freed by tails that count only once it matched', async () => {
      const narrow = await world.engine({ settings, stores: oneStore(watched()), memoryBytes: partBytes * 0.75 })
      for (const verification of [bad, good]) {
        const bytes = bytesOf(2 * partBytes)
        const id = await create(bytes.length)
        const request = { offset: 0, body: bodyOf(bytes), bodyLength: bytes.length, verification }
        const appended = narrow.append(ALICE, id, request)
        if (verification === bad) {
          await mismatch(appended)
          assert.ok(
            calls.some(({ call }) => call === 'putObject'),
            'a tail was written',
          )
          assert.ok(calls.every(({ unverifiedFrom }) => unverifiedFrom === 0))
          assert.equal((await engine.inspect(ALICE, id)).offset, 0)
        } else {
          await appended
          assert.equal(sha256(await content(id)), sha256(bytes))
        }
      }
    })

    test('a session that is lost in the middle takes nothing unverified for verified', async (t) => {
      const { forget } = world
      if (!forget) return t.skip('there is no session to lose without the process')
      for (const verified of [0, partBytes + 77]) {
        const bytes = bytesOf(4 * partBytes)
        const id = await create(bytes.length)
        if (verified > 0) await append(id, 0, bytes.subarray(0, verified), good)
        calls = []
        const { body, send } = openBody()
        const request = { offset: verified, body, bodyLength: bytes.length - verified, verification: good }
        const lost = assert.rejects(engine.append(ALICE, id, request), (error) => hasCode(error, 'hold_lost'))
        send(bytesOf(2 * partBytes + 10))
        while (calls.filter(({ call }) => call === 'uploadPart').length < 2) await sleep(10)
        await forget()
        const other: TestEngine = await world.engine({ settings })
        assert.equal((await other.inspect(ALICE, id)).offset, verified)
        await lost
        const rest = bytes.subarray(verified)
        await other.append(ALICE, id, { offset: verified, body: bodyOf(rest), bodyLength: rest.length })
        assert.equal(sha256(await content(id)), sha256(bytes))
      }
    })

    test('segments are made of what is verified, between two bodies', async () => {
      const small = await world.engine({ settings: { ...settings, segmentParts: 2 } })
      const step = Math.floor(partBytes * 2.5)
      const bytes = bytesOf(step * 3)
      const id = await create(bytes.length)
      for (let offset = 0; offset < bytes.length; offset += step) {
        const wrong = { offset, body: bodyOf(bytesOf(step)), bodyLength: step, verification: bad }
        await mismatch(small.append(ALICE, id, wrong))
        const body = bodyOf(bytes.subarray(offset, offset + step))
        await small.append(ALICE, id, { offset, body, bodyLength: step, verification: good })
        const { segments = [], segmentStart = 0, state } = (await row(id)) ?? {}
        if (state !== 'uploaded')
          assert.ok(segmentStart <= offset + step && (segments.at(-1)?.end ?? 0) === segmentStart)
      }
      assert.equal(sha256(await content(id)), sha256(bytes))
      // Without a mismatch in between, so that nothing but the number of parts ends a multipart upload.
      const other = await create(step * 3)
      for (let offset = 0; offset < bytes.length; offset += step) {
        if (offset > step) assert.ok(((await row(other))?.segments.length ?? 0) > 0)
        const body = bodyOf(bytes.subarray(offset, offset + step))
        await small.append(ALICE, other, { offset, body, bodyLength: step, verification: good })
      }
      assert.equal(sha256(await content(other)), sha256(bytes))
    })

    test('a creation whose bytes do not match leaves nothing', async () => {
      const list = async () => (await world.database.records.list({ tenant: 'default', limit: 100 })).items
      const open = async () => (await list()).filter(({ state }) => state === 'created' || state === 'receiving').length
      const before = await open()
      for (const [length, sent] of [
        [100, 100],
        [100, 50],
        [3 * partBytes, 3 * partBytes],
        [3 * partBytes, 2 * partBytes],
      ] as const) {
        const body = { body: bodyOf(bytesOf(sent)), bodyLength: sent }
        await assert.rejects(
          engine.create(ALICE, { length, metadataRaw: null, ...body, verification: bad }),
          (error) => {
            assert.ok(hasCode(error, 'checksum_mismatch'))
            assert.equal(error.facts.location_id, undefined)
            return true
          },
        )
        assert.equal(await open(), before)
      }
    })
  })
}
