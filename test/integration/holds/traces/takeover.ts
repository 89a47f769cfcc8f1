import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Rule } from '../support/rule.ts'
import { fill, SMALL } from '../support/stage.ts'

const RECOVERY = 'server/uploads/recovery.ts'
const SAVE_RESTATED = '  await open.save({ multipartId: null, start, offset: end, tails, tailed })'

export const TAKEOVER: readonly Rule[] = [
  {
    name: 'the token is in place before anything is read for a takeover',
    without: [
      // Negative: look, and put nothing in place yet.
      {
        file: 'server/uploads/hold-keeper.ts',
        find: 'take(upload, token, leaseMs)',
        replace: 'take(upload, token, -leaseMs)',
      },
      {
        file: 'server/coordination/redis/scripts.ts',
        find: 'local lease = whole(t + tonumber(ARGV[3]))',
        replace: 'local lease = whole(t + math.abs(tonumber(ARGV[3])))',
      },
      {
        file: 'server/coordination/redis/scripts.ts',
        find: "redis.call('HSET', KEYS[1], 't', token, 'h', ARGV[2], 'x', lease, 'c', '0')\nif at[2]",
        replace: `if tonumber(ARGV[3]) < 0 and at[2] ~= '' then
  return {'unclean', at[8], at[9], at[10], at[11], at[12], at[13]}
end
redis.call('HSET', KEYS[1], 't', token, 'h', ARGV[2], 'x', lease, 'c', '0')
if at[2]`,
      },
      {
        file: RECOVERY,
        find: SAVE_RESTATED,
        replace: `  await deps.coordination.take(row.id, hold.token, deps.settings.leaseMs)\n${SAVE_RESTATED}`,
      },
    ],
    breaks: /was acknowledged as A, then as B|was told after/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      await a.patch(id, 0, fill('A', 100))
      const save = a.gates.hold('coordination', 'save')
      const old = a.patch(id, 100, fill('A', 50))
      await save.here()
      await stage.leaseEnds(id)
      const raise = b.gates.hold('records', 'change')
      const next = b.patch(id, 100, fill('B', 30))
      await raise.here()
      save.go()
      await old
      raise.go()
      await next
      await stage.finish(id, b, 1000)
    },
  },
  {
    name: 'a hold with a write that nobody answered is not handed on as clean',
    without: [
      {
        file: 'server/uploads/hold-keeper.ts',
        find: "how === 'clean' && !hold.unanswered",
        replace: "how === 'clean'",
      },
    ],
    breaks: /cannot be finished: internal/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, null)
      const part = a.gates.hold('store', 'uploadPart')
      const old = a.patch(id, 0, fill('A', SMALL))
      await part.here()
      part.lose()
      assert.equal((await old).code, 'store_unavailable')
      await b.patch(id, 0, fill('B', SMALL))
      await part.land()
      await stage.finish(id, b, SMALL)
    },
  },
  {
    name: 'what counts behind the segment is stored again before the row names its generation',
    without: [
      {
        file: RECOVERY,
        find: 'await open.write(bytes, true, (piece, options) =>',
        replace: 'var late = () => open.write(bytes, true, (piece, options) =>',
      },
      { file: RECOVERY, find: '  const tailed = tails', replace: '  await late?.()\n  const tailed = tails' },
    ],
    breaks: /offset 0 was told after 100/,
    async trace(stage) {
      const [a, b, c] = [await stage.instance(), await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      await a.patch(id, 0, fill('A', 100))
      const open = a.stream(id, 100, 100)
      await stage.isHeld(id)
      a.gates.stop()
      await stage.leaseEnds(id)
      const put = b.gates.hold('store', 'putObject')
      const taking = b.head(id)
      await put.here()
      b.gates.stop()
      await stage.leaseEnds(id)
      await c.head(id)
      await stage.finish(id, c, 1000)
      void [open, taking]
    },
  },
  {
    name: 'a holder that is told "gone" does not make its session anew',
    without: [
      {
        file: 'server/uploads/open-upload.ts',
        find: "if (kept !== 'kept' && kept !== 'released') {",
        replace: `if (kept === 'gone') {
      await this.#deps.coordination.take(this.#row.id, this.hold.token, this.#deps.settings.leaseMs)
      await this.#deps.coordination.save(this.#row.id, this.hold.token, session, parts)
    } else if (kept !== 'kept' && kept !== 'released') {`,
      },
    ],
    breaks: /byte 100 was acknowledged as B, then as A/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, 1000)
      await a.patch(id, 0, fill('A', 100))
      const put = a.gates.hold('store', 'putObject')
      const old = a.patch(id, 100, fill('A', 50))
      await put.here()
      await stage.forget(id)
      await b.patch(id, 100, fill('B', 30))
      await stage.forget(id)
      put.go()
      await old
      await stage.finish(id, b, 1000)
    },
  },
  {
    name: 'a session that lacks recorded parts counts for nothing',
    without: [
      {
        file: 'server/coordination/redis/scripts.ts',
        find: "or redis.call('HLEN', KEYS[2]) ~= tonumber(at[7]) then",
        replace: 'then',
      },
      {
        file: 'server/coordination/redis/scripts.ts',
        find: "if redis.call('HLEN', KEYS[2]) ~= tonumber(at[5]) then",
        replace: 'if false then',
      },
    ],
    breaks: /cannot be finished: internal/,
    async trace(stage) {
      const a = await stage.instance()
      const id = await stage.create(a, null)
      await a.patch(id, 0, fill('A', SMALL))
      await stage.ground.redis.admin.del(stage.keys(id).parts)
      await stage.finish(id, a, SMALL)
    },
  },
  {
    name: 'the multipart upload is in the row before its first part is sent',
    without: [
      {
        file: 'server/uploads/appender.ts',
        find: 'await this.#open.change({ multipartId, multipartKey, bucket: store.bucket })',
        replace: 'void this.#open.change({ multipartId, multipartKey, bucket: store.bucket }).catch(() => {})',
      },
    ],
    breaks: /offset 0 was told after/,
    async trace(stage) {
      const [a, b] = [await stage.instance(), await stage.instance()]
      const id = await stage.create(a, null)
      const change = a.gates.hold('records', 'change', ([, it]) => JSON.stringify(it).includes('multipartId'))
      const sent = a.patch(id, 0, fill('A', SMALL))
      await change.here()
      await Promise.race([sent, sleep(3000)]) // without the rule it is acknowledged
      a.gates.stop()
      await stage.forget(id)
      await b.head(id)
      await stage.finish(id, b, SMALL)
    },
  },
]
