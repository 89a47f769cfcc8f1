import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createMemoryQueue } from './queue/memory.ts'
import type { Message } from './queue/port.ts'
import { createRelay, type RelayOptions } from './relay.ts'
import { anEvent, eventually, keptLog, silent, TestOutbox } from './testing.ts'

/** A queue that keeps what was published; `away` makes it refuse. */
class KeptQueue {
  readonly durable: boolean
  readonly messages: Message[] = []
  calls = 0
  away = false
  hang: Promise<void> | null = null

  constructor(durable = true) {
    this.durable = durable
  }

  async publish(messages: readonly Message[]): Promise<void> {
    this.calls += 1
    await this.hang
    if (this.away) throw new Error('queue: away')
    this.messages.push(...messages)
  }

  get ids(): readonly string[] {
    return this.messages.map(({ id }) => id)
  }
}

function started(
  t: { after(call: () => Promise<void>): void },
  options: Pick<RelayOptions, 'outbox' | 'queue'> & Partial<RelayOptions>,
) {
  const relay = createRelay({ log: silent, pollMs: 60_000, ...options })
  t.after(() => relay.stop())
  relay.start()
  return relay
}

describe('relay', { timeout: 30_000 }, () => {
  it('publishes in order, batch by batch, and marks', async (t) => {
    const outbox = new TestOutbox()
    const queue = new KeptQueue()
    const events = Array.from({ length: 25 }, () => anEvent())
    outbox.add(...events)
    started(t, { outbox, queue, batch: 10 })
    await eventually('all are published', () => outbox.rows.every(({ publishedAt }) => publishedAt !== null))
    assert.deepEqual(
      queue.ids,
      events.map(({ eventId }) => eventId),
    )
    assert.equal(queue.calls, 3)
  })

  it('looks at once when nudged, and by itself each pollMs', async (t) => {
    const outbox = new TestOutbox()
    const queue = new KeptQueue()
    const relay = started(t, { outbox, queue })
    await new Promise((resolve) => setTimeout(resolve, 20))
    outbox.add(anEvent())
    relay.nudge()
    await eventually('the nudge was heard', () => queue.messages.length === 1)

    const other = new TestOutbox()
    const polled = new KeptQueue()
    started(t, { outbox: other, queue: polled, pollMs: 30 })
    await new Promise((resolve) => setTimeout(resolve, 20))
    other.add(anEvent())
    await eventually('it looked by itself', () => polled.messages.length === 1)
  })

  it('a nudge while it is busy is not lost', async (t) => {
    const outbox = new TestOutbox()
    const queue = new KeptQueue()
    const gate = Promise.withResolvers<void>()
    queue.hang = gate.promise
    outbox.add(anEvent())
    const relay = started(t, { outbox, queue })
    await eventually('the first is on its way', () => queue.calls === 1)
    outbox.add(anEvent())
    relay.nudge()
    gate.resolve()
    await eventually('both are published', () => queue.messages.length === 2)
  })

  it('keeps its batch while the queue is away and publishes it when it is back, without waiting for the lease', async (t) => {
    const outbox = new TestOutbox()
    const queue = new KeptQueue()
    const log = keptLog()
    let failed = 0
    queue.away = true
    const events = [anEvent(), anEvent(), anEvent()]
    outbox.add(...events)
    const metrics = { published() {}, lag() {}, failed: () => (failed += 1) }
    const relay = started(t, { outbox, queue, log, metrics, maxBackoffMs: 100 })
    await eventually('three failures', () => failed >= 3)
    for (let i = 0; i < 100; i += 1) relay.nudge()
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(failed < 20, 'nudges do not shorten the backoff')
    assert.ok(outbox.rows.every(({ publishedAt }) => publishedAt === null))
    assert.equal(log.lines.length, 1, 'an outage is told once')
    queue.away = false
    await eventually('all are published', () => outbox.rows.every(({ publishedAt }) => publishedAt !== null))
    assert.deepEqual(
      queue.ids,
      events.map(({ eventId }) => eventId),
    )
  })

  it('goes on when the outbox was away', async (t) => {
    const outbox = new TestOutbox()
    const queue = new KeptQueue()
    outbox.away = true
    let failed = 0
    started(t, { outbox, queue, maxBackoffMs: 50, metrics: { published() {}, lag() {}, failed: () => (failed += 1) } })
    await eventually('two failures', () => failed >= 2)
    outbox.add(anEvent())
    outbox.away = false
    await eventually('published', () => queue.messages.length === 1)
  })

  it('several at once lose nothing and the queue has each event once', async (t) => {
    const outbox = new TestOutbox()
    const queue = createMemoryQueue()
    t.after(() => queue.close())
    outbox.add(...Array.from({ length: 200 }, () => anEvent()))
    for (let i = 0; i < 4; i += 1)
      started(t, { outbox, queue: { durable: true, publish: (m) => queue.publish(m) }, batch: 7 })
    await eventually('all are published', () => outbox.rows.every(({ publishedAt }) => publishedAt !== null))
    assert.equal((await queue.counts()).waiting, 200)
  })

  it('gives a queue that forgets everything that was published and not done, after a restart', async (t) => {
    const outbox = new TestOutbox()
    const [done, running, waiting] = [anEvent(), anEvent(), anEvent()]
    outbox.add(done, running, waiting)
    const before = createMemoryQueue()
    const relay = started(t, { outbox, queue: before, batch: 2 })
    await eventually('all are published', () => outbox.rows.every(({ publishedAt }) => publishedAt !== null))
    await relay.stop()
    await outbox.markDone(done.eventId)
    await before.close()

    const after = createMemoryQueue()
    t.after(() => after.close())
    const handled: string[] = []
    after.consume(
      async ({ id }) => {
        handled.push(id)
        await outbox.markDone(id)
      },
      { concurrency: 1 },
    )
    started(t, { outbox, queue: after, batch: 1 })
    await eventually('all are done', () => outbox.rows.every((row) => row.done))
    assert.deepEqual(handled.toSorted(), [running.eventId, waiting.eventId].toSorted())
  })

  it('gives a durable queue again what stays undone for long, and nothing sooner', async (t) => {
    const outbox = new TestOutbox()
    const lost = anEvent()
    const fresh = anEvent()
    outbox.add(lost, fresh)
    for (const row of outbox.rows) row.publishedAt = Date.now()
    const row = outbox.rows[0]
    assert.ok(row)
    row.publishedAt = Date.now() - 10_000
    const queue = new KeptQueue()
    const told: [number, boolean][] = []
    const metrics = { published: (n: number, again: boolean) => told.push([n, again]), lag() {}, failed() {} }
    started(t, { outbox, queue, republishAfterMs: 5_000, metrics })
    await eventually('published again', () => queue.messages.length > 0)
    assert.deepEqual(queue.ids, [lost.eventId])
    assert.deepEqual(told, [[1, true]])
  })

  it('forgets events that were done long ago, and no others', async (t) => {
    const outbox = new TestOutbox()
    const queue = new KeptQueue()
    const old = { ...anEvent(), createdAt: Date.now() - 10_000 }
    const undone = { ...anEvent(), createdAt: Date.now() - 10_000 }
    const recent = anEvent()
    outbox.add(old, undone, recent)
    await outbox.markDone(old.eventId)
    await outbox.markDone(recent.eventId)
    started(t, { outbox, queue, keepDoneMs: 5_000 })
    await eventually('one is forgotten', () => outbox.rows.length < 3)
    assert.deepEqual(
      outbox.rows.map(({ event }) => event.eventId),
      [undone.eventId, recent.eventId],
    )
  })

  it('tells lag and numbers; a callback that throws does not stop it', async (t) => {
    const outbox = new TestOutbox()
    const queue = new KeptQueue()
    outbox.add({ ...anEvent(), createdAt: Date.now() - 5_000 }, anEvent())
    const lags: number[] = []
    const published: number[] = []
    const metrics = {
      published(count: number) {
        published.push(count)
        throw new Error('a broken gauge')
      },
      lag: (ms: number) => lags.push(ms),
      failed() {},
    }
    const relay = started(t, { outbox, queue, metrics })
    await eventually('published', () => published.length === 1)
    outbox.add(anEvent())
    relay.nudge()
    await eventually('published again', () => published.length === 2)
    assert.deepEqual(published, [2, 1])
    assert.ok((lags[0] ?? 0) >= 5_000)
  })

  it('stop waits for the running batch, but not for ever', async (t) => {
    const outbox = new TestOutbox()
    const queue = new KeptQueue()
    const gate = Promise.withResolvers<void>()
    queue.hang = gate.promise
    outbox.add(anEvent())
    const relay = started(t, { outbox, queue })
    await eventually('on its way', () => queue.calls === 1)
    setTimeout(() => gate.resolve(), 30)
    await relay.stop()
    assert.notEqual(outbox.rows[0]?.publishedAt, null)

    const stuck = new KeptQueue()
    const never = Promise.withResolvers<void>()
    stuck.hang = never.promise
    outbox.add(anEvent())
    const other = started(t, { outbox, queue: stuck, stopMs: 50 })
    await eventually('on its way', () => stuck.calls === 1)
    const began = performance.now()
    await other.stop()
    assert.ok(performance.now() - began < 2_000)
    never.resolve()
  })
})
