import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { UploadId } from '../../../../server/uploads/words.ts'
import type { Instance, Stream } from '../support/instance.ts'
import type { Rule } from '../support/rule.ts'
import { fill, SMALL, type Stage } from '../support/stage.ts'

/** Longer than any hand-over takes on a busy machine. */
const PATIENT = { holdWaitMs: 6000 }
const KEEPER = 'server/uploads/hold-keeper.ts'

export const WAITING: readonly Rule[] = [
  {
    name: 'nobody takes an upload while the lease of its holder runs',
    without: [
      {
        file: 'server/coordination/redis/scripts.ts',
        find: "return {'held', at[3], whole(tonumber(at[4]) - t)}",
        replace: 'at[2] = at[2]',
      },
    ],
    breaks: /what had arrived is lost/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance(PATIENT)]
      const id = await stage.create(a, 1000)
      const body = await flowing(stage, a, id)
      assert.deepEqual(await b.patch(id, 150, fill('B', 50)), { code: 'ok', offset: 200 }, 'what had arrived is lost')
      assert.equal((await body.heard).code, 'upload_busy')
      await stage.finish(id, b, 1000)
    },
  },
  {
    name: 'a living holder renews its lease',
    without: [
      {
        file: KEEPER,
        find: 'await Promise.all([this.#renew(holds), this.#look(holds).catch(() => {})])',
        replace: 'await this.#look(holds).catch(() => {})',
      },
    ],
    breaks: /what had arrived is lost/,
    async trace(stage) {
      const lease = { leaseMs: 3000, ...PATIENT }
      const [a, b] = [await stage.instance(lease), await stage.instance(lease)]
      const id = await stage.create(a, 1000)
      const body = await flowing(stage, a, id)
      await sleep(4500)
      assert.deepEqual(await b.patch(id, 150, fill('B', 50)), { code: 'ok', offset: 200 }, 'what had arrived is lost')
      await body.heard
      await stage.finish(id, b, 1000)
    },
  },
  {
    name: 'who waits asks again, because a message may be lost',
    without: [
      {
        file: KEEPER,
        find: "await this.tell(taken.holder, { type: 'release'",
        replace: "if (askedAt - startedAt < 500) await this.tell(taken.holder, { type: 'release'",
      },
    ],
    breaks: /the holder never heard of it/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance(PATIENT)]
      const id = await stage.create(a, 1000)
      const body = await flowing(stage, a, id)
      const told = b.gates.hold('coordination', 'tell')
      const next = b.patch(id, 150, fill('B', 50))
      await told.here()
      told.lose()
      assert.deepEqual(await next, { code: 'ok', offset: 200 }, 'the holder never heard of it')
      await body.heard
      await stage.finish(id, b, 1000)
    },
  },
  {
    name: 'what a hand-over has to store does not queue behind large parts',
    without: [
      {
        file: 'server/uploads/write-gate.ts',
        find: 'return urgent && this.#limit > 1 ? this.#limit + 1 : this.#limit',
        replace: 'return this.#limit',
      },
    ],
    breaks: /the hand-over waits for other uploads/,
    async trace(stage) {
      const [a, b] = [await stage.instance({ maxWrites: 2 }), await stage.instance(PATIENT)]
      const id = await stage.create(a, 1000)
      const body = await flowing(stage, a, id)
      // Two writes that do not end, and 25 that wait for them.
      const parts = [a.gates.hold('store', 'uploadPart'), a.gates.hold('store', 'uploadPart')]
      const others = await Promise.all(Array.from({ length: 27 }, () => stage.create(a, null)))
      const writing = others.map((other) => a.patch(other, 0, fill('O', SMALL)))
      await Promise.all(parts.map((part) => part.here()))
      assert.deepEqual(
        await b.patch(id, 150, fill('B', 50)),
        { code: 'ok', offset: 200 },
        'the hand-over waits for other uploads',
      )
      for (const part of parts) part.go()
      await Promise.all([...writing, body.heard])
      await stage.finish(id, b, 1000)
    },
  },
]

/** A body of which 100 bytes came and are not stored; before them the upload has 50. */
async function flowing(stage: Stage, by: Instance, id: UploadId): Promise<Stream> {
  await by.patch(id, 0, fill('A', 50))
  const body = by.stream(id, 50, 200)
  body.send(fill('A', 100))
  await by.hasGot(150)
  await stage.isHeld(id)
  return body
}
