import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Failover } from '../support/ground.ts'
import type { Rule } from '../support/rule.ts'
import { fill, type Stage } from '../support/stage.ts'

const RECOVERY = 'server/uploads/recovery.ts'
const KEEPER = 'server/uploads/hold-keeper.ts'
/** A rebuild waits so long here, and the old holder acknowledges within it, also on a busy machine. */
const WAIT_MS = 5000
const SHORT_LEASE_MS = 1500

function failoverOf(stage: Stage): Failover {
  const { failover } = stage.ground
  assert.ok(failover)
  return failover
}

/** Redis fails over and forgets the last that it was told. */
export const STALE_SESSION: Rule = {
  name: 'a session that another primary wrote counts for nothing',
  without: [{ file: 'server/coordination/redis/scripts.ts', find: "here = '1:' .. here", replace: "here = '1:'" }],
  breaks: /offset 100 was told after 200/,
  async trace(stage) {
    const { nextUrl, replicated, part, over } = failoverOf(stage)
    const a = await stage.instance()
    const id = await stage.create(a, 1000)
    await a.patch(id, 0, fill('A', 100))
    const { session } = stage.keys(id)
    await replicated(session)
    await part(session)
    await a.patch(id, 100, fill('A', 100))
    await over(session)
    const b = await stage.instance({ redisUrl: nextUrl })
    await stage.offsetIs(id, b, 200)
    await stage.finish(id, b, 1000)
  },
}

/** An old primary goes on serving the old holder. */
export const SPLIT: readonly Rule[] = [
  {
    name: 'a rebuild waits for a lease before it looks at the store',
    without: [
      {
        file: RECOVERY,
        find: 'if (!trusted && deps.settings.rebuildWaitMs > 0) await sleep',
        replace: 'if (!read) await sleep',
      },
    ],
    breaks: /offset 100 was told after 200/,
    trace: acknowledgedByOld,
  },
  {
    name: 'a rebuild looks at the store after the generation was raised',
    without: [
      {
        file: RECOVERY,
        find: '  const row = await raise(deps, read, hold)',
        replace:
          "  Reflect.set(hold, 'listed', await listTails(deps, read))\n  const row = await raise(deps, read, hold)",
      },
      { file: RECOVERY, find: 'await listTails(deps, row)', replace: "Reflect.get(hold, 'listed')" },
    ],
    breaks: /offset 100 was told after 200/,
    trace: acknowledgedByOld,
  },
  {
    name: 'a holder acknowledges only while its last look at the row is younger than the lease',
    without: [
      {
        file: KEEPER,
        find: 'if (Date.now() - hold.rowSeenAt >= this.#options.leaseMs * share) await',
        replace: 'if (share < 0) await',
      },
      {
        file: KEEPER,
        find: 'if (Date.now() - hold.rowSeenAt < this.#options.leaseMs) return',
        replace: 'if (hold.rowSeenAt > 0) return',
      },
    ],
    breaks: /offset 100 was told after 200/,
    async trace(stage) {
      const { nextUrl, part } = failoverOf(stage)
      const a = await stage.instance({ leaseMs: SHORT_LEASE_MS })
      const b = await stage.instance({
        ...{ redisUrl: nextUrl, leaseMs: SHORT_LEASE_MS, rebuildWaitMs: SHORT_LEASE_MS, holdWaitMs: 10_000 },
      })
      const id = await stage.create(a, 1000)
      await a.patch(id, 0, fill('A', 100))
      const look = a.gates.hold('records', 'generations')
      const put = a.gates.hold('store', 'putObject')
      const old = a.patch(id, 100, fill('A', 100))
      await put.here()
      await part(stage.keys(id).session)
      await look.here() // and is not answered: the database is slow for it
      await b.head(id)
      put.go()
      await old
      await b.head(id)
      await stage.finish(id, b, 1000)
    },
  },
]

/** The old holder stores and acknowledges within a lease of its last look at the row, while its successor rebuilds. */
async function acknowledgedByOld(stage: Stage): Promise<void> {
  const { nextUrl, part } = failoverOf(stage)
  const a = await stage.instance()
  const b = await stage.instance({ redisUrl: nextUrl, rebuildWaitMs: WAIT_MS, holdWaitMs: 4 * WAIT_MS })
  const id = await stage.create(a, 1000)
  await a.patch(id, 0, fill('A', 100))
  await part(stage.keys(id).session)
  const put = a.gates.hold('store', 'putObject')
  const old = a.patch(id, 100, fill('A', 100))
  await put.here()
  const raise = b.gates.hold('records', 'change')
  const head = b.head(id)
  await raise.here()
  raise.go()
  await Promise.race([head, sleep(500)])
  put.go()
  await old
  await head
  await b.head(id)
  await stage.finish(id, b, 1000)
}
