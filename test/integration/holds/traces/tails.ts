import type { Rule } from '../support/rule.ts'
import { fill, type Stage } from '../support/stage.ts'

const KEYS = 'server/uploads/keys.ts'
const HOLD = `\${tail.generation}-\${tail.token}`
const END = `\${tail.end}`
const nameOf = (hold: string, end: string) => `\${tailPrefix(template, id)}${hold}-\${tail.start}-${end}`

export const TAILS: readonly Rule[] = [
  {
    name: 'a tail is named by the hold that wrote it',
    without: [{ file: KEYS, find: nameOf(HOLD, END), replace: nameOf('0-0', END) }],
    breaks: /byte 0 was acknowledged as B and is A/,
    async trace(stage) {
      const [a, b, c] = [await stage.instance(), await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      const put = a.gates.hold('store', 'putObject')
      const old = a.patch(id, 0, fill('A', 100))
      await put.here()
      await stage.leaseEnds(id)
      await b.patch(id, 0, fill('B', 100))
      await put.land()
      // Another instance, which has no copy in memory.
      await stage.finish(id, c, 1000)
      void old
    },
  },
  {
    name: 'the end is in the name of a tail: a merged one is an object of its own',
    without: [{ file: KEYS, find: nameOf(HOLD, END), replace: nameOf(HOLD, '0') }],
    breaks: /cannot be finished: internal/,
    trace: interruptedMerge,
  },
  {
    name: 'merged tails stay until the session has moved past them',
    without: [
      {
        file: 'server/uploads/appender.ts',
        find: '    this.#position = end\n    const moved',
        replace: `    await store.remove(absorbed.map((each) => tailKey(this.#deps.settings.keys, row.id, each)))
    this.#position = end\n    const moved`,
      },
    ],
    breaks: /cannot be finished: internal/,
    trace: interruptedMerge,
  },
]

/** Sixteen small tails of one request become one, and their holder dies before the session says so. */
async function interruptedMerge(stage: Stage): Promise<void> {
  const [a, b] = [await stage.instance({ flushAfterMs: 100 }), await stage.instance()]
  const id = await stage.create(a, 1000)
  const body = a.stream(id, 0, 100)
  const save = a.gates.hold('coordination', 'save', ([, , session]) => JSON.stringify(session).includes('"offset":16'))
  for (let bytes = 1; bytes <= 15; bytes++) {
    body.send(fill('A', 1))
    await stage.saved(id, bytes)
  }
  body.send(fill('A', 1))
  await save.here()
  a.gates.stop()
  await stage.leaseEnds(id)
  await stage.finish(id, b, 1000)
}
