/** Answers that come when nobody counts on them any more: found by the property test, told here one by one. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { hasCode, UploadError } from '../../server/uploads/errors.ts'
import type { Coordination } from '../../server/uploads/ports/coordination.ts'
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

const LEASE_MS = 300

describe('answers that come late', () => {
  let world: World
  let one: TestEngine
  let two: TestEngine

  before(async () => {
    world = await embeddedWorld()
    one = await world.engine()
    two = await world.engine()
  })
  after(() => world.remove())

  const create = async (length: number) =>
    (await one.create(ALICE, { length, metadataRaw: null, body: null, bodyLength: 0 })).upload.id
  const append = (id: UploadId, offset: number, bytes: Buffer, engine = one) =>
    engine.append(ALICE, id, { offset, body: bodyOf(bytes), bodyLength: bytes.length })

  test('a change of the row that was given up on is no longer applied once the next request has begun', async () => {
    const bytes = bytesOf(2_000_000)
    const id = await create(bytes.length)
    await append(id, 0, bytes.subarray(0, 1000))
    const { records } = world.database
    const late: (() => Promise<unknown>)[] = []
    const engine = await world.engine({
      records: {
        ...records,
        change: (upload, change, options) => {
          if (typeof change.multipartId !== 'string') return records.change(upload, change, options)
          late.push(() => records.change(upload, change, options))
          return Promise.reject(new UploadError('records_unavailable', 'no answer'))
        },
      },
    })
    const sent = bytes.subarray(1000, 1_200_000)
    await assert.rejects(append(id, 1000, sent, engine), (error) => hasCode(error, 'records_unavailable'))
    const { offset } = await two.inspect(ALICE, id)
    assert.deepEqual(await Promise.all(late.map((apply) => apply())), [null])
    await append(id, offset, bytes.subarray(offset), two)
    const download = await one.download(ALICE, id)
    assert.equal(sha256(await readAll(await download.open())), sha256(bytes))
  })

  test('whoever hears of his hold after its lease was over takes nothing from the one who has it by then', async () => {
    const bytes = bytesOf(3000)
    const id = await create(bytes.length)
    const [asked, ask, taken, hear] = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
    const slow = slowToTake(world.coordination(), async (take) => {
      asked?.resolve()
      await ask?.promise
      const answer = await take()
      taken?.resolve()
      await hear?.promise
      return answer
    })
    const late = await world.engine({ coordination: slow, settings: { ...SETTINGS, leaseMs: LEASE_MS } })
    // It has read the row of an upload without bytes.
    const appending = append(id, 0, bytes.subarray(0, 500), late)
    await asked?.promise
    await append(id, 0, bytes.subarray(0, 1000))
    ask?.resolve()
    await taken?.promise
    const { body, send } = openBody()
    const writing = two.append(ALICE, id, { offset: 1000, body, bodyLength: 2000 })
    const cut = assert.rejects(writing, (error) => hasCode(error, 'upload_busy'))
    send(bytes.subarray(1000, 1100))
    // The lease that nobody knows of runs out, and another instance takes over.
    while ((await one.inspect(ALICE, id)).offset !== 1100) await new Promise(setImmediate)
    hear?.resolve()
    await assert.rejects(appending, (error) => hasCode(error, 'offset_mismatch'))
    await cut
    assert.equal((await one.inspect(ALICE, id)).offset, 1100)
  })
})

type Take = Coordination['take']

/** Coordination whose first `take` goes through `way`. */
function slowToTake(inner: Coordination, way: (take: () => ReturnType<Take>) => ReturnType<Take>): Coordination {
  let first = true
  return {
    instance: inner.instance,
    take(upload, token, leaseMs) {
      const take = () => inner.take(upload, token, leaseMs)
      if (!first) return take()
      first = false
      return way(take)
    },
    renew: (...args) => inner.renew(...args),
    save: (...args) => inner.save(...args),
    parts: (...args) => inner.parts(...args),
    release: (...args) => inner.release(...args),
    drop: (...args) => inner.drop(...args),
    peek: (...args) => inner.peek(...args),
    tell: (...args) => inner.tell(...args),
    listen: (...args) => inner.listen(...args),
    ping: (...args) => inner.ping(...args),
    close: () => inner.close(),
  }
}
