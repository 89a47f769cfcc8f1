import assert from 'node:assert/strict'
import type { Edit } from '../../support/property/mutations.ts'
import type { Rule } from '../support/rule.ts'
import { fill, SMALL, type Stage } from '../support/stage.ts'

const COMPARE = "if at[2] ~= ARGV[1] then return 'other' end"

/** One script that no longer asks whose hold it is. */
function unasked(script: string): Edit {
  const find = `export const ${script}: Script = script(\`\${HOLDER}`
  return {
    file: 'server/coordination/redis/scripts.ts',
    find,
    replace: find.replace('HOLDER', `HOLDER.replace("${COMPARE}", '')`),
  }
}

/** A save that was on its way when its holder was replaced. */
async function lateSave(stage: Stage): Promise<void> {
  const [a, b] = [await stage.instance(), await stage.instance()]
  const id = await stage.create(a, 1000)
  await a.patch(id, 0, fill('A', 100))
  const save = a.gates.hold('coordination', 'save')
  const old = a.patch(id, 100, fill('A', 50))
  await save.here()
  await stage.leaseEnds(id)
  assert.equal((await b.patch(id, 100, fill('B', 30))).offset, 130)
  save.go()
  await old
  await b.head(id)
  await stage.finish(id, b, 1000)
}

export const TOKEN: readonly Rule[] = [
  {
    name: 'a save compares the token',
    without: [unasked('SAVE')],
    breaks: /offset 130 was told after 150|acknowledged as B, then as A/,
    trace: lateSave,
  },
  {
    name: 'a holder that is told "other" acknowledges nothing',
    without: [
      {
        file: 'server/uploads/open-upload.ts',
        find: "if (kept !== 'kept' && kept !== 'released') {",
        replace: "if (kept !== 'kept' && kept !== 'released' && this.#row.id === '') {",
      },
    ],
    breaks: /offset 130 was told after 150|acknowledged as B, then as A/,
    trace: lateSave,
  },
  {
    name: 'a release compares the token',
    without: [unasked('RELEASE')],
    breaks: /byte 0 was acknowledged as|byte \d+ was acknowledged as C and is B/,
    async trace(stage) {
      const [a, b, c] = [await stage.instance(), await stage.instance(), await stage.instance()]
      const id = await stage.create(a, null)
      // A part's end: what was saved with it, is released in a call of its own.
      const release = a.gates.hold('coordination', 'release')
      const first = a.patch(id, 0, fill('A', SMALL))
      await release.here()
      await stage.leaseEnds(id)
      const put = b.gates.hold('store', 'putObject')
      const second = b.patch(id, SMALL, fill('B', 100))
      await put.here()
      release.go()
      await first
      // Somebody who gets the hold now writes behind a living holder's back, in the same generation.
      const third = await c.patch(id, SMALL, fill('C', 50))
      await put.land()
      put.answer()
      await second
      await stage.forget(id)
      await stage.finish(id, c, SMALL + 200)
      assert.equal(third.code, 'upload_busy')
    },
  },
  {
    name: 'a drop compares the token',
    without: [unasked('DROP')],
    breaks: /the living holder was robbed/,
    async trace(stage) {
      const [a, b, c] = [await stage.instance(), await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      const drop = a.gates.hold('coordination', 'drop')
      const nothing = a.patch(id, 0, fill('A', 0))
      await drop.here()
      await stage.leaseEnds(id)
      const put = b.gates.hold('store', 'putObject')
      const living = b.patch(id, 0, fill('B', 100))
      await put.here()
      drop.go()
      await nothing
      await c.head(id)
      put.go()
      assert.deepEqual(await living, { code: 'ok', offset: 100 }, 'the living holder was robbed')
      await stage.finish(id, c, 1000)
    },
  },
  {
    name: 'a renewal compares the token',
    without: [unasked('RENEW')],
    breaks: /a dead holder keeps the upload/,
    async trace(stage) {
      const lease = { leaseMs: 3000, holdWaitMs: 9000 }
      const [a, b, c] = [await stage.instance(lease), await stage.instance(lease), await stage.instance(lease)]
      const id = await stage.create(a, 1000)
      await a.patch(id, 0, fill('A', 100))
      const living = a.stream(id, 100, 100)
      await stage.isHeld(id)
      await stage.leaseEnds(id)
      // It takes over and dies before the row says so: only the token tells the old holder.
      const raise = b.gates.hold('records', 'change')
      const died = b.patch(id, 100, fill('B', 100))
      await raise.here()
      b.gates.stop()
      assert.deepEqual(
        await c.patch(id, 100, fill('C', 50)),
        { code: 'ok', offset: 150 },
        'a dead holder keeps the upload',
      )
      living.end()
      await living.heard
      await stage.finish(id, c, 1000)
      void died
    },
  },
  {
    name: 'reading the recorded parts compares the token',
    without: [unasked('PARTS')],
    breaks: /offset 0 was told after/,
    async trace(stage) {
      const [o, a, b] = [await stage.instance(), await stage.instance(), await stage.instance()]
      const id = await stage.create(o, null)
      await o.patch(id, 0, fill('O', SMALL))
      const living = o.stream(id, SMALL, 100)
      await stage.isHeld(id)
      o.gates.stop()
      await stage.leaseEnds(id)
      const parts = a.gates.hold('coordination', 'parts')
      const overtaken = a.head(id)
      await parts.here()
      await stage.forget(id)
      const complete = b.gates.hold('store', 'completeMultipart')
      const rebuilt = b.head(id)
      await complete.here()
      // The session is another's by now and has no parts yet: taken for one's own, it says that there is nothing to keep.
      parts.go()
      await overtaken
      complete.go()
      await rebuilt
      await stage.finish(id, b, SMALL + 100)
      void living
    },
  },
]
