/**
 * Coordination and queue on a real Redis Sentinel and a real Redis Cluster: both contract suites, a master killed, and
 * a master that freezes (a host that hangs: connections stay, nothing answers).
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createBullQueue } from '../../hooks/queue/bullmq.ts'
import { queueContract } from '../../hooks/queue/contract.ts'
import type { Queue } from '../../hooks/queue/port.ts'
import { coordinationContract } from '../../server/coordination/contract.ts'
import {
  createRedisClient,
  createRedisCoordination,
  type RedisCoordination,
} from '../../server/coordination/redis/index.ts'
import { newUploadId } from '../../server/uploads/id.ts'
import type { Message, Session } from '../../server/uploads/ports/coordination.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import { makeAuthority } from '../support/certificates.ts'
import type { RedisNode } from '../support/redis-node.ts'
import { type RedisTopology, startCluster, startSentinel } from '../support/redis-topologies.ts'
import { freshPrefix } from '../support/services.ts'

const SESSION: Session = { generation: 1, multipartId: 'm', start: 0, offset: 7, tails: [], tailed: false }
const MINUTE = 60_000
/** A busy machine may stop a node for a while: while nothing is to fail over, nobody takes it for dead. */
const PATIENT_MS = 20_000
const QUICK_MS = 1000
const log = { info() {}, warn() {}, error() {} }

function queueOn(url: string, prefix: string, more: { lockMs?: number } = {}): Queue {
  return createBullQueue({
    connection: ({ connectionName }) => createRedisClient(url, { name: connectionName, use: 'queue' }),
    prefix,
    log,
    ...more,
  })
}

/** Repeats until it holds; fails with the last failure. */
async function eventually<T>(look: () => Promise<T>, patienceMs = 20_000): Promise<T> {
  const end = performance.now() + patienceMs
  for (;;) {
    try {
      return await look()
    } catch (error) {
      if (performance.now() > end) throw error
      await sleep(20)
    }
  }
}

/** Says something until it is heard: what is said while the channel reconnects is lost. */
async function heard(speaker: RedisCoordination, to: string, said: readonly Message[]): Promise<void> {
  const upload = newUploadId()
  await eventually(async () => {
    await speaker.tell(to, { type: 'free', upload })
    await sleep(20)
    assert.ok(said.some((message) => message.upload === upload))
  })
}

/** Two instances; everything that matters to them is on `master`, and in a cluster there is an upload elsewhere. */
interface Stage {
  readonly one: RedisCoordination
  readonly two: RedisCoordination
  readonly said: readonly Message[]
  readonly master: RedisNode
  readonly upload: UploadId
  readonly elsewhere: UploadId | null
  readonly queuePrefix: string
}

async function setUp(redis: RedisTopology, t: TestContext, ca?: string): Promise<Stage> {
  const master = await replicated(redis)
  const find = async <T>(make: () => T, keyOf: (it: T) => string, there: boolean): Promise<T> => {
    for (;;) {
      const it = make()
      if (((await redis.masterOf(keyOf(it))) === master) === there) return it
    }
  }
  const prefix = await find(freshPrefix, (word) => `${word}:instance:two`, true)
  const open = (instance: string) =>
    createRedisCoordination({ url: redis.url, ca, prefix, poolMin: 2, poolMax: 4, beatMs: 1000, instance })
  const [one, two] = await Promise.all([open('one'), open('two')])
  t.after(() => Promise.all([one.close(), two.close()]))
  const said: Message[] = []
  await two.listen((message) => said.push(message))
  await heard(one, two.instance, said)
  const sessionOf = (id: UploadId) => `${prefix}:{${id}}:session`
  const upload = await find(newUploadId, sessionOf, true)
  const elsewhere = redis.kind === 'cluster' ? await find(newUploadId, sessionOf, false) : null
  const queuePrefix = await find(freshPrefix, (word) => `{${word}:queue}`, true)
  for (const id of elsewhere === null ? [upload] : [upload, elsewhere]) {
    assert.equal((await one.take(id, 'a', MINUTE)).kind, 'rebuild')
    assert.equal(await one.save(id, 'a', SESSION), 'kept')
  }
  return { one, two, said, master, upload, elsewhere, queuePrefix }
}

/** A master that a replica can follow: one that failed over before has none any more. */
async function replicated(redis: RedisTopology): Promise<RedisNode> {
  return eventually(async () => {
    for (const node of await redis.masters()) {
      if (/^connected_slaves:[1-9]/m.test(await node.admin.info('replication'))) return node
    }
    throw new Error('no master has a replica')
  })
}

/** The hold went with its master, whatever its replica knew; the next one works, and so do messages. */
async function assertTakenOver({ one, two, said, upload, elsewhere }: Stage): Promise<void> {
  assert.equal(await eventually(() => one.save(upload, 'a', SESSION)), 'gone')
  assert.deepEqual(await eventually(() => two.take(upload, 'b', MINUTE)), { kind: 'rebuild' })
  assert.equal(await eventually(() => two.save(upload, 'b', SESSION)), 'kept')
  const peek = await eventually(() => one.peek(upload))
  assert.ok(peek.kind === 'held' && peek.holder === two.instance && peek.session?.offset === SESSION.offset)
  await heard(one, two.instance, said)
  if (elsewhere !== null) assert.equal(await eventually(() => one.save(elsewhere, 'a', SESSION)), 'kept')
}

function contracts(name: string, redis: () => RedisTopology): void {
  coordinationContract(`Redis ${name}`, async () => {
    const prefix = freshPrefix()
    const open = (instance: string) =>
      createRedisCoordination({ url: redis().url, prefix, poolMin: 2, poolMax: 5, instance })
    const [one, two] = await Promise.all([open('one'), open('two')])
    return {
      one,
      two,
      forget: async () => {
        for (const { admin } of await redis().masters()) await admin.flushall()
      },
      end: async () => {
        await one.close()
        await two.close()
      },
    }
  })
  queueContract(`BullMQ on Redis ${name}`, {
    open: (options) => {
      const { url } = redis()
      return createBullQueue({
        ...options,
        connection: ({ connectionName }) => createRedisClient(url, { name: connectionName, use: 'queue' }),
        prefix: freshPrefix(),
        log,
        lockMs: 1000,
      })
    },
  })
}

function failovers(name: string, redis: () => RedisTopology): void {
  test(`${name}: the master is killed: hold, session, messages and queue go on with the next`, async (t) => {
    const stage = await setUp(redis(), t)
    const queue = queueOn(redis().url, stage.queuePrefix, { lockMs: 1000 })
    t.after(() => queue.close())
    const done: string[] = []
    queue.consume(async ({ id }) => void done.push(id), { concurrency: 2 })
    const send = async () => {
      const id = randomUUID()
      await eventually(() => queue.publish([{ id, name: 'upload.created', body: {} }]))
      await eventually(async () => assert.ok(done.includes(id)))
    }
    await send()
    await redis().deadAfter(QUICK_MS)
    await stage.master.kill()
    await Promise.all([redis().failedOver(`{${stage.queuePrefix}:queue}`, stage.master), send()])
    await assertTakenOver(stage)
    await send()
  })

  test(`${name}: the master freezes: hold, session and messages go on with the next`, async (t) => {
    await redis().deadAfter(PATIENT_MS)
    const stage = await setUp(redis(), t)
    await redis().deadAfter(QUICK_MS)
    stage.master.pause()
    await redis().failedOver(`{${stage.queuePrefix}:queue}`, stage.master)
    const from = performance.now()
    await eventually(() => stage.one.peek(stage.upload))
    assert.ok(performance.now() - from < 8000, 'within seconds, not when TCP gives up')
    await assertTakenOver(stage)
    await stage.master.kill()
  })
}

/** Everything encrypted, the bus of the nodes included; only our own authority is trusted. */
async function overTls(t: TestContext): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'tls-cluster-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const { caFile, issue } = await makeAuthority(dir)
  const redis = await startCluster({ tls: { caFile, ...(await issue('node', 'IP:127.0.0.1')) } })
  t.after(() => redis.stop())
  assert.match(redis.url, /^rediss\+cluster:/)
  const ca = await readFile(caFile, 'utf8')
  const stage = await setUp(redis, t, ca)
  await stage.master.kill()
  await redis.failedOver(`{${stage.queuePrefix}:queue}`, stage.master)
  await assertTakenOver(stage)
  const stranger = await createRedisCoordination({ url: redis.url, prefix: 'p', poolMin: 1, poolMax: 1 })
  t.after(() => stranger.close())
  await assert.rejects(stranger.ping(), { code: 'coordination_unavailable' })
}

async function frozenQueue(redis: RedisTopology, t: TestContext): Promise<void> {
  const prefix = freshPrefix()
  const queue = queueOn(redis.url, prefix)
  t.after(() => queue.close())
  const done: string[] = []
  queue.consume(async ({ id }) => void done.push(id), { concurrency: 2 })
  await queue.publish([{ id: randomUUID(), name: 'upload.created', body: {} }])
  await eventually(async () => assert.equal(done.length, 1))
  const master = await redis.masterOf(`{${prefix}:queue}`)
  master.pause()
  const late = randomUUID()
  await eventually(() => queue.publish([{ id: late, name: 'upload.created', body: {} }]), MINUTE)
  await eventually(async () => assert.ok(done.includes(late)), MINUTE)
}

describe('Redis topologies', { concurrency: 2, timeout: 5 * MINUTE }, () => {
  for (const [name, start] of [
    ['Sentinel', startSentinel],
    ['Cluster', startCluster],
  ] as const) {
    describe(name, { concurrency: 1 }, () => {
      let topology: RedisTopology
      before(async () => {
        topology = await start()
        await topology.deadAfter(PATIENT_MS)
      })
      contracts(name, () => topology)
      failovers(name, () => topology)
      // Last, in a test of its own: the contract suites end what they opened after this suite's `after`.
      test('it ends', () => topology.stop())

      if (name === 'Cluster') test('Cluster over TLS, its master killed', overTls)

      if (process.env.TEST_LONG === '1') {
        test(`${name}: the master freezes: the queue goes on (long: its connections are given up after 15 s)`, async (t) => {
          const own = await start()
          t.after(() => own.stop())
          await frozenQueue(own, t)
        })
      }
    })
  }
})
