import assert from 'node:assert/strict'
import type { Verification } from '../../../../server/uploads/api.ts'
import { UploadError } from '../../../../server/uploads/errors.ts'
import type { Rule } from '../support/rule.ts'
import { fill, SMALL, type Stage } from '../support/stage.ts'

const OPEN = 'server/uploads/open-upload.ts'
const LIMIT = 'const limit = row.unverifiedFrom ?? Number.POSITIVE_INFINITY\n'
const ROW_FIRST = 'await this.change({ unverifiedFrom: null })\n'
const SESSION = '    await this.#put({ ...this.#session, generation: this.hold.epoch }, this.#uncounted)\n'

const GOOD: Verification = { update() {}, verify() {} }
const BAD: Verification = {
  update() {},
  verify() {
    throw new UploadError('checksum_mismatch', 'not these bytes')
  },
}

export const VERIFICATION: readonly Rule[] = [
  {
    name: 'a rebuild counts nothing at or past unverified_from',
    without: [
      {
        file: 'server/uploads/recovery.ts',
        find: `${LIMIT}  const found`,
        replace: 'const limit = Number.POSITIVE_INFINITY\n  const found',
      },
    ],
    breaks: /bytes count that nobody verified/,
    trace: unverified,
  },
  {
    name: 'the row says from where on bytes are unverified before the first of them is sent',
    without: [{ file: OPEN, find: 'await this.change({ unverifiedFrom: this.offset })', replace: '' }],
    breaks: /bytes count that nobody verified/,
    trace: unverified,
  },
  {
    name: 'unverified_from is cleared in the row before the session moves',
    without: [{ file: OPEN, find: `    ${ROW_FIRST}${SESSION}`, replace: `${SESSION}    ${ROW_FIRST}` }],
    breaks: /offset 0 was told after/,
    async trace(stage) {
      const [a, b, c] = [await stage.instance(), await stage.instance(), await stage.instance()]
      const id = await stage.create(a, null)
      const body = a.stream(id, 0, SMALL + 100, { verification: GOOD })
      const stored = a.gates.hold('store', 'uploadPart')
      body.send(fill('A', SMALL + 50))
      await stored.here()
      stored.go()
      // It asks the holder, is answered, and looks at the session a moment later.
      let looks = 0
      const look = b.gates.hold('coordination', 'peek', () => ++looks === 2)
      const head = b.head(id)
      await look.here()
      const clear = a.gates.hold('records', 'change', ([, it]) => isCleared(it))
      body.send(fill('A', 50))
      body.end()
      await clear.here()
      look.go()
      await head
      a.gates.stop()
      await stage.forget(id)
      await c.head(id)
      await stage.finish(id, c, SMALL)
    },
  },
  {
    name: 'a body that failed its checksum after something was sent leaves an unclean hold',
    without: [
      {
        file: OPEN,
        find: 'if (this.#counted) this.hold.unanswered = true',
        replace: 'if (this.#counted && this.#row.id === "") this.hold.unanswered = true',
      },
    ],
    breaks: /offset 0 was told after/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, null)
      const refused = await a.patch(id, 0, fill('X', SMALL + 100), { verification: BAD })
      assert.equal(refused.code, 'checksum_mismatch')
      await b.patch(id, 0, fill('B', SMALL))
      await stage.forget(id)
      await b.head(id)
      await stage.finish(id, b, SMALL)
    },
  },
]

/** A holder dies while it stores a body whose checksum is at its end, and Redis is empty then. */
async function unverified(stage: Stage): Promise<void> {
  const [a, b] = [await stage.instance(), await stage.instance()]
  const id = await stage.create(a, null)
  const body = a.stream(id, 0, SMALL + 100, { verification: GOOD })
  const stored = a.gates.hold('store', 'uploadPart')
  body.send(fill('X', SMALL + 50))
  await stored.here()
  await stored.land()
  a.gates.stop()
  await stage.forget(id)
  assert.deepEqual(await b.head(id), { code: 'ok', offset: 0 }, 'bytes count that nobody verified')
  await stage.finish(id, b, SMALL)
}

function isCleared(change: unknown): boolean {
  return JSON.stringify(change) === '{"unverifiedFrom":null}'
}
