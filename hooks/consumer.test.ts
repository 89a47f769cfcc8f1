import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { UploadError } from '../server/uploads/errors.ts'
import { type ConsumerOptions, type Listener, startConsumer } from './consumer.ts'
import { toMessage } from './events.ts'
import { createMemoryQueue } from './queue/memory.ts'
import { createRelay } from './relay.ts'
import { anEvent, anUpload, eventually, silent, storeOf, TestOutbox, TestProcessing } from './testing.ts'

const FAST = { attempts: 3, backoffMs: 10, maxBackoffMs: 20 }

function wired(t: TestContext, options: Partial<ConsumerOptions> = {}) {
  const queue = createMemoryQueue(FAST)
  t.after(() => queue.close())
  const outbox = new TestOutbox()
  const upload = anUpload()
  const processing = new TestProcessing(upload)
  const outcomes: string[] = []
  startConsumer({
    queue,
    outbox,
    processing,
    readerOf: () => storeOf('hello'),
    log: silent,
    metrics: { handled: (type, outcome) => outcomes.push(`${type} ${outcome}`), step() {} },
    ...options,
  })
  return { queue, outbox, upload, processing, outcomes }
}

describe('consumer', { timeout: 30_000 }, () => {
  it('outbox to relay to queue to available; a repeat delivery changes nothing', async (t) => {
    const { queue, outbox, upload, processing, outcomes } = wired(t)
    const relay = createRelay({ outbox, queue, log: silent })
    t.after(() => relay.stop())
    const event = anEvent('upload.uploaded', upload)
    outbox.add(event)
    relay.start()
    await eventually('done', () => outbox.rows[0]?.done === true)
    assert.deepEqual(processing.entered, ['processing', 'available'])
    await eventually('counted', () => outcomes.length === 1)

    const again = createMemoryQueue(FAST)
    t.after(() => again.close())
    startConsumer({ queue: again, outbox, processing, readerOf: () => storeOf(null), log: silent })
    await again.publish([toMessage(event)])
    await eventually('handled', async () => (await again.counts()).waiting + (await again.counts()).active === 0)
    assert.deepEqual(processing.entered, ['processing', 'available'])
    assert.deepEqual(outcomes, ['upload.uploaded done'])
  })

  it('a finished partial upload is done without being processed or told of', async (t) => {
    let told = 0
    const listener: Listener = { name: 'hook:post-finish', type: 'upload.uploaded', handle: async () => void told++ }
    const { queue, outbox, upload, processing, outcomes } = wired(t, { listeners: [listener] })
    const event = anEvent('upload.uploaded', upload)
    const partial = { ...event, payload: { ...event.payload, partial: true } }
    outbox.add(partial)
    await queue.publish([toMessage(partial)])
    await eventually('done', () => outbox.rows[0]?.done === true)
    assert.deepEqual([processing.entered, told], [[], 0])
    await eventually('counted', () => outcomes.length === 1)
    assert.deepEqual(outcomes, ['upload.uploaded done'])
  })

  it('an event that nobody listens to is done', async (t) => {
    const { queue, outbox } = wired(t)
    const event = anEvent('upload.expired', anUpload({ state: 'expired' }))
    outbox.add(event)
    await queue.publish([toMessage(event)])
    await eventually('done', () => outbox.rows[0]?.done === true)
  })

  it('a store that is away costs no attempt; the upload waits in processing', async (t) => {
    let away = true
    const hello = storeOf('hello')
    const store = {
      read: (key: string) =>
        away ? Promise.reject(new UploadError('store_unavailable', 'no answer')) : hello.read(key),
    }
    const { queue, outbox, upload, processing, outcomes } = wired(t, { readerOf: () => store })
    const event = anEvent('upload.uploaded', upload)
    outbox.add(event)
    await queue.publish([toMessage(event)])
    await eventually('more tries than attempts', () => outcomes.length > FAST.attempts + 2)
    assert.equal(processing.rows.get(upload.id)?.state, 'processing')
    assert.ok(outcomes.every((outcome) => outcome === 'upload.uploaded later'))
    away = false
    await eventually('done', () => outbox.rows[0]?.done === true)
    assert.deepEqual(processing.entered, ['processing', 'available'])
  })

  it('an outbox that is away keeps the job', async (t) => {
    const { queue, outbox, upload, outcomes } = wired(t)
    const event = anEvent('upload.uploaded', upload)
    outbox.add(event)
    outbox.away = true
    await queue.publish([toMessage(event)])
    await eventually('more tries than attempts', () => outcomes.length > FAST.attempts)
    outbox.away = false
    await eventually('done', () => outbox.rows[0]?.done === true)
  })

  it('of several listeners only the one that failed is told again', async (t) => {
    const calls: string[] = []
    const good: Listener = {
      name: 'good',
      type: 'upload.uploaded',
      handle: async (event) => void calls.push(`good ${event.id}`),
    }
    const bad: Listener = {
      name: 'bad',
      type: 'upload.uploaded',
      handle: async (event, { attempt }) => {
        calls.push(`bad ${event.id}`)
        if (attempt < 3) throw new Error('not yet')
      },
    }
    const { queue, outbox, upload, processing } = wired(t, { listeners: [bad, good] })
    const event = anEvent('upload.uploaded', upload)
    outbox.add(event)
    await queue.publish([toMessage(event)])
    await eventually('done', () => outbox.rows[0]?.done === true)
    const { eventId } = event
    assert.deepEqual(calls.toSorted(), [`bad ${eventId}`, `bad ${eventId}`, `bad ${eventId}`, `good ${eventId}`])
    assert.deepEqual(processing.entered, ['processing', 'available'])
  })

  it('what fails for good is a dead letter, told as such, and not done', async (t) => {
    const { queue, outbox, upload, processing, outcomes } = wired(t, { readerOf: () => storeOf(null) })
    const event = anEvent('upload.uploaded', upload)
    outbox.add(event)
    await queue.publish([toMessage(event)])
    await eventually('dead', async () => (await queue.counts()).dead === 1)
    assert.deepEqual(outcomes, ['upload.uploaded failed', 'upload.uploaded failed', 'upload.uploaded dead'])
    assert.equal(processing.rows.get(upload.id)?.state, 'processing')
    assert.equal(outbox.rows[0]?.done, false)
  })

  it('a body that is no event is retried (a newer worker may know it) and then dead', async (t) => {
    const { queue, outcomes } = wired(t)
    await queue.publish([{ id: 'x', name: 'upload.eaten', body: { type: 'upload.eaten' } }])
    await eventually('dead', async () => (await queue.counts()).dead === 1)
    assert.deepEqual(outcomes, ['unknown failed', 'unknown failed', 'unknown dead'])
  })
})
