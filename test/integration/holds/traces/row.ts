import assert from 'node:assert/strict'
import type { Rule } from '../support/rule.ts'
import { FULL, fill, SMALL, type Stage } from '../support/stage.ts'

const RAISE = "if (guard.raise) sets.push('generation = generation + 1')"

export const ROW: readonly Rule[] = [
  {
    name: 'a change of the row says which generation it knows',
    without: [
      {
        file: 'db/statements.ts',
        find: 'if (guard.generation !== null) where.push(',
        replace: 'if (guard.generation === -1) where.push(',
      },
    ],
    breaks: /cannot be finished: internal/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, null)
      const change = a.gates.hold('records', 'change', ([, it]) => isMultipart(it))
      const old = a.patch(id, 0, fill('A', SMALL))
      await change.here()
      await stage.leaseEnds(id)
      await b.patch(id, 0, fill('B', SMALL))
      change.go()
      assert.equal((await old).offset, null)
      await stage.finish(id, b, SMALL)
    },
  },
  {
    name: 'the generation is in the row and the token is random: a counter in Redis starts again after FLUSHALL',
    without: [
      // Its value would be token and generation: after FLUSHALL both are what they were before.
      {
        file: 'server/uploads/hold-keeper.ts',
        find: "const token = randomBytes(16).toString('hex')",
        replace: 'const token = String(await Reflect.get(coordination, "count")(upload))',
      },
      {
        file: 'server/coordination/redis/coordination.ts',
        find: '  connections(): { open: number; busy: number } {',
        replace:
          "  count = (id: UploadId) => this.#pool.run((c) => c.incr(this.#keys(id)[0].replace('session', 'counter')))\n\n  connections(): { open: number; busy: number } {",
      },
      { file: 'db/statements.ts', find: RAISE, replace: "if (guard.raise) sets.push('generation = generation')" },
    ],
    breaks: /byte 0 was acknowledged as B, then as A/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      const put = a.gates.hold('store', 'putObject')
      const old = a.patch(id, 0, fill('A', 100))
      await put.here()
      await stage.forget(id)
      const writing = b.stream(id, 0, 100)
      writing.send(fill('B', 50))
      await stage.offsetIs(id, b, 50)
      stage.ledger.acknowledged(id, 0, fill('B', 50), 50)
      put.go()
      await old
      writing.send(fill('B', 50))
      writing.end()
      await writing.heard
      await stage.finish(id, b, 1000)
    },
  },
  {
    name: 'a takeover raises the generation',
    without: [
      {
        file: 'server/uploads/recovery.ts',
        find: 'generation: read.generation, raise: true, from',
        replace: 'generation: read.generation, from',
      },
    ],
    breaks: /byte \d+ was acknowledged as B and is A/,
    trace: lateTail,
  },
  {
    name: 'a rebuild counts only tails of the generation that the row names',
    without: [
      {
        file: 'server/uploads/recovery.ts',
        find: 'tail.generation !== row.tailGeneration || ',
        replace: '',
      },
    ],
    breaks: /byte \d+ was acknowledged as B and is A/,
    trace: lateTail,
  },
  {
    name: 'the generation is raised where it is still the one that was read',
    without: [
      {
        file: 'server/uploads/recovery.ts',
        find: 'const row = await deps.records.change(read.id, {}, { generation: read.generation, raise: true, from })',
        replace: `const now = await deps.records.find(read.id)
  const row = now && (await deps.records.change(read.id, {}, { generation: now.generation, raise: true, from }))`,
      },
    ],
    breaks: /offset 150 was told after 250/,
    trace: overtaken,
  },
  {
    name: 'the row is read before the token is put in place',
    without: [
      {
        file: 'server/uploads/opening.ts',
        find: "return recover(deps, row, hold, taken.kind === 'unclean' ? taken.session : null)",
        replace: `const now = await deps.records.find(row.id)
  return now && recover(deps, now, hold, taken.kind === 'unclean' ? taken.session : null)`,
      },
    ],
    breaks: /offset 150 was told after 250/,
    trace: overtaken,
  },
  {
    name: 'a clean session is gone on with only when generation, multipart upload and start are those of the row',
    without: [
      {
        file: 'server/uploads/opening.ts',
        find: 'if (settled && agrees(taken.session, row))',
        replace: 'if (settled)',
      },
    ],
    breaks: /cannot be finished|was acknowledged/,
    async trace(stage) {
      const parts = { partBytes: FULL }
      const [a, c] = [await stage.instance(parts), await stage.instance(parts)]
      const id = await stage.create(a, null)
      await a.patch(id, 0, fill('A', 10))
      // It reads the row before the first part opens a multipart upload, and asks for the hold after it.
      const find = c.gates.hold('records', 'find')
      const next = c.patch(id, FULL, fill('C', FULL))
      await find.here()
      await find.land()
      await a.patch(id, 10, fill('A', FULL - 10))
      find.answer()
      await next
      await stage.finish(id, c, 2 * FULL + 10)
    },
  },
  {
    name: 'a row that was read amid a takeover is read again',
    without: [
      {
        file: 'server/uploads/opening.ts',
        find: 'if (settled && agrees(taken.session, row))',
        replace: 'if (agrees(taken.session, row))',
      },
    ],
    breaks: /offset 100 was told after 150/,
    async trace(stage) {
      const [a, b, c] = [await stage.instance(), await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      await a.patch(id, 0, fill('A', 100))
      const open = a.stream(id, 100, 100)
      await stage.isHeld(id)
      a.gates.stop()
      await stage.leaseEnds(id)
      const commit = b.gates.hold('records', 'change', ([, it]) => has(it, 'tailGeneration'))
      const taking = b.head(id)
      await commit.here()
      const find = c.gates.hold('records', 'find')
      const next = c.patch(id, 100, fill('C', 50))
      await find.here()
      await find.land()
      commit.go()
      await taking
      find.answer()
      await next
      await stage.forget(id)
      await b.head(id)
      await stage.finish(id, b, 1000)
      void open
    },
  },
]

/** An old holder's tail gets there when its successor has written, and Redis is empty then. */
async function lateTail(stage: Stage): Promise<void> {
  const [a, b] = [await stage.instance(), await stage.instance()]
  const id = await stage.create(a, 1000)
  const put = a.gates.hold('store', 'putObject')
  const old = a.patch(id, 0, fill('A', 100))
  await put.here()
  await stage.leaseEnds(id)
  assert.equal((await b.patch(id, 0, fill('B', 50))).offset, 50)
  await put.land()
  await stage.forget(id)
  await stage.finish(id, b, 1000)
  void old
}

/** One that takes over stands still in the middle, is overtaken, and goes on while the other one writes. */
async function overtaken(stage: Stage): Promise<void> {
  const [a, b, c] = [await stage.instance(), await stage.instance(), await stage.instance()]
  const id = await stage.create(a, 1000)
  await a.patch(id, 0, fill('A', 100))
  await stage.forget(id)
  const take = b.gates.hold('coordination', 'take')
  const slow = b.head(id)
  await take.here()
  await take.land()
  await stage.leaseEnds(id)
  const writing = c.stream(id, 100, 150)
  writing.send(fill('C', 50))
  await stage.offsetIs(id, c, 150)
  const put = b.gates.hold('store', 'putObject')
  take.answer()
  await Promise.race([put.here(), slow])
  writing.send(fill('C', 100))
  writing.end()
  await writing.heard
  put.go()
  await slow
  await b.head(id)
  await stage.finish(id, b, 1000)
}

function has(value: unknown, field: string): boolean {
  return typeof value === 'object' && value !== null && field in value
}

function isMultipart(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'multipartId' in value && typeof value.multipartId === 'string'
}
