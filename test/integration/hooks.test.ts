/** From the outbox to an available upload, on real Postgres and Redis, with workers and Redis killed on the way. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import pg from 'pg'
import { type Database, openDatabase } from '../../db/database.ts'
import { startConsumer } from '../../hooks/consumer.ts'
import type { ObjectReader } from '../../hooks/ports.ts'
import { createBullQueue } from '../../hooks/queue/bullmq.ts'
import type { Queue } from '../../hooks/queue/port.ts'
import { createRelay, type RelayOptions } from '../../hooks/relay.ts'
import { newUploadId, type UploadId } from '../../server/uploads/id.ts'
import { privateRedis } from '../support/private-redis.ts'
import { freshDatabase, freshPrefix, testServices } from '../support/services.ts'

const log = { info() {}, warn() {}, error() {} }
const WORKER = join(import.meta.dirname, 'fixtures', 'hanging-worker.ts')

interface World {
  readonly databaseUrl: string
  readonly database: Database
  readonly store: ObjectReader
  /** A whole file in one request: its object and its row. */
  upload(bytes: Buffer): Promise<UploadId>
  /** The events of an upload, in order, and which are done. */
  events(id: UploadId): Promise<{ readonly types: readonly string[]; readonly done: boolean }>
}

async function world(t: TestContext): Promise<World> {
  const { url, drop } = await freshDatabase()
  const dir = await mkdtemp(join(tmpdir(), 'hooks-test-'))
  const database = await openDatabase({ driver: 'postgres', url, poolMin: 1, poolMax: 5 })
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.after(async () => {
    await client.end()
    await database.close()
    await drop()
    await rm(dir, { recursive: true })
  })
  await database.migrate('auto')
  return {
    databaseUrl: url,
    database,
    store: { read: async (key) => createReadStream(join(dir, key)) },
    async upload(bytes) {
      const id = newUploadId()
      await writeFile(join(dir, id), bytes)
      await database.records.insert(
        {
          id,
          tenant: 'default',
          owner: 'alice',
          length: bytes.length,
          storedLength: bytes.length,
          lengthDeferred: false,
          partBytes: 8_388_608,
          objectKey: id,
        },
        ['created', 'uploaded'],
      )
      return id
    },
    async events(id) {
      const text = 'select type, done_at from outbox where upload_id = $1 order by seq'
      const { rows } = await client.query<{ type: string; done_at: Date | null }>(text, [id])
      return { types: rows.map(({ type }) => type), done: rows.every(({ done_at }) => done_at !== null) }
    },
  }
}

/** `after` runs last in, first out, so that workers go before the world they work in. */
function closing(t: TestContext, ...closers: readonly (() => Promise<unknown>)[]): void {
  t.after(async () => {
    for (const close of closers) await close()
  })
}

function relayOf(database: Database, queue: Queue, options: Partial<RelayOptions> = {}) {
  const relay = createRelay({ outbox: database.outbox, queue, log, pollMs: 100, maxBackoffMs: 500, ...options })
  relay.start()
  return relay
}

async function eventually(what: string, ask: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await ask()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(`did not come true: ${what}`)
}

async function allDone({ events }: World, ids: readonly UploadId[]): Promise<boolean> {
  for (const id of ids) {
    const { types, done } = await events(id)
    if (!done || types.at(-1) !== 'upload.available') return false
  }
  return true
}

const LIFE = ['upload.created', 'upload.uploaded', 'upload.processing', 'upload.available']

describe('what happens because of an upload', { timeout: 120_000 }, () => {
  it('an upload becomes available with its SHA-256, each event once and done', async (t) => {
    const w = await world(t)
    const queue = createBullQueue({ connection: testServices().redisUrl, prefix: freshPrefix(), log })
    const relay = relayOf(w.database, queue)
    const consumer = startConsumer({
      queue,
      ...w.database,
      readerOf: () => w.store,
      log,
      onCommit: () => relay.nudge(),
    })
    closing(
      t,
      () => relay.stop(),
      () => consumer.close(),
      () => queue.close(),
    )

    const bytes = randomBytes(3_000_000)
    const id = await w.upload(bytes)
    relay.nudge()
    await eventually('available and told', () => allDone(w, [id]))
    const upload = await w.database.records.find(id)
    assert.equal(upload?.state, 'available')
    assert.equal(upload?.sha256, createHash('sha256').update(bytes).digest('hex'))
    assert.deepEqual((await w.events(id)).types, LIFE)
    assert.deepEqual(await queue.counts(), { waiting: 0, active: 0, delayed: 0, dead: 0 })
  })

  it('three relays and two workers do no event twice', async (t) => {
    const w = await world(t)
    const connection = testServices().redisUrl
    const prefix = freshPrefix()
    const queues = [0, 1, 2].map(() => createBullQueue({ connection, prefix, log }))
    const ids = await Promise.all(Array.from({ length: 30 }, (_, i) => w.upload(Buffer.from(`file ${i}`))))
    const relays = queues.map((queue) => relayOf(w.database, queue, { batch: 7 }))
    const consumers = queues
      .slice(1)
      .map((queue) => startConsumer({ queue, ...w.database, readerOf: () => w.store, log }))
    closing(
      t,
      () => Promise.all(relays.map((relay) => relay.stop())),
      () => Promise.all(consumers.map((consumer) => consumer.close())),
      () => Promise.all(queues.map((queue) => queue.close())),
    )
    await eventually('all available', () => allDone(w, ids))
    for (const id of ids) assert.deepEqual((await w.events(id)).types, LIFE)
  })

  it('a worker killed with -9 in mid-step: another one ends the upload, once', async (t) => {
    const w = await world(t)
    const connection = testServices().redisUrl
    const prefix = freshPrefix()
    const queue = createBullQueue({ connection, prefix, log, lockMs: 1_000 })
    const relay = relayOf(w.database, queue)
    closing(
      t,
      () => relay.stop(),
      () => queue.close(),
    )

    const child = fork(WORKER, [connection, w.databaseUrl, prefix])
    const exited = once(child, 'exit')
    const bytes = randomBytes(100_000)
    const id = await w.upload(bytes)
    assert.deepEqual(await once(child, 'message'), ['in mid-step', undefined])
    assert.equal((await w.database.records.find(id))?.state, 'processing')
    child.kill('SIGKILL')
    await exited

    startConsumer({ queue, ...w.database, readerOf: () => w.store, log })
    await eventually('available', () => allDone(w, [id]))
    const upload = await w.database.records.find(id)
    assert.equal(upload?.sha256, createHash('sha256').update(bytes).digest('hex'))
    assert.deepEqual((await w.events(id)).types, LIFE)
  })

  it('Redis dies with jobs waiting and in mid-step, and comes back empty: every upload becomes available, once', async (t) => {
    const w = await world(t)
    const redis = await privateRedis()
    const queue = createBullQueue({ connection: redis.url, prefix: freshPrefix(), log, answerMs: 1_000, lockMs: 1_000 })
    const relay = relayOf(w.database, queue, { republishAfterMs: 500, upkeepEveryMs: 500 })
    const gate = Promise.withResolvers<void>()
    const reading = Promise.withResolvers<void>()
    const store: ObjectReader = {
      async read(key) {
        reading.resolve()
        await gate.promise
        return w.store.read(key)
      },
    }
    const consumer = startConsumer({ queue, ...w.database, readerOf: () => store, log, concurrency: 2 })
    closing(
      t,
      () => relay.stop(),
      () => consumer.close(),
      () => queue.close(),
      () => redis.stop(),
    )

    const before = await Promise.all(Array.from({ length: 6 }, (_, i) => w.upload(Buffer.from(`before ${i}`))))
    await reading.promise
    await eventually('all are in the queue', async () => (await w.database.outbox.pending()).count === 0)
    await redis.kill()
    const during = await Promise.all(Array.from({ length: 3 }, (_, i) => w.upload(Buffer.from(`during ${i}`))))
    gate.resolve()
    await redis.start()
    const after = await w.upload(Buffer.from('after'))

    const ids = [...before, ...during, after]
    await eventually('all available', () => allDone(w, ids))
    for (const id of ids) assert.deepEqual((await w.events(id)).types, LIFE)
  })

  it('a store that is away keeps the upload in processing until it is back', async (t) => {
    const w = await world(t)
    const queue = createBullQueue({
      connection: testServices().redisUrl,
      prefix: freshPrefix(),
      log,
      attempts: 2,
      backoffMs: 20,
      maxBackoffMs: 50,
    })
    const relay = relayOf(w.database, queue)
    let away = true
    let tries = 0
    const gone = join(tmpdir(), 'no', 'such', 'store')
    const store: ObjectReader = {
      read: async (key) => {
        tries += 1
        return away ? createReadStream(gone) : w.store.read(key)
      },
    }
    const consumer = startConsumer({ queue, ...w.database, readerOf: () => store, log })
    closing(
      t,
      () => relay.stop(),
      () => consumer.close(),
      () => queue.close(),
    )
    const id = await w.upload(Buffer.from('patience'))
    await eventually('more tries than attempts', async () => tries > 4)
    assert.equal((await w.database.records.find(id))?.state, 'processing')
    away = false
    await eventually('available', () => allDone(w, [id]))
    assert.deepEqual((await w.events(id)).types, LIFE)
  })
})
