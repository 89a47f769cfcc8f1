import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { newUploadId } from '../../server/uploads/id.ts'
import type { Subject } from '../contract.ts'
import type { Database } from '../database.ts'
import { drain, finishingUpload, newUpload } from '../fixtures.ts'
import type { OutboxEvent } from '../outbox.ts'

const LEASE_MS = 60_000

export function outboxContract(subject: Subject): void {
  test('outbox: several relays at once never have the same event within the lease', async () => {
    const { database } = subject()
    await drain(database)
    for (let n = 0; n < 80; n += 1) await database.records.insert(newUpload(), ['created'])
    const relays = Array.from({ length: 8 }, () => claimAll(database, 7))
    // A relay that finds the rows locked by the others at that moment goes home with less; nothing is lost by it.
    const claimed = [...(await Promise.all(relays)).flat(), ...(await claimAll(database, 7))]
    assert.equal(claimed.length, 80)
    assert.equal(new Set(claimed.map((event) => event.eventId)).size, 80)
    assert.deepEqual(await database.outbox.claim(10, LEASE_MS), [], 'all are leased')
    assert.equal((await database.outbox.pending()).count, 80, 'none is published yet')
    await database.outbox.markPublished(claimed.map((event) => event.eventId))
    assert.deepEqual(await database.outbox.pending(), { count: 0, oldestAgeMs: 0 })
  })

  test('outbox: a later event of an upload is never claimed past an earlier one that another relay has', async () => {
    const { database } = subject()
    await drain(database)
    const upload = await finishingUpload(database)
    const [first, ...rest] = await database.outbox.claim(1, LEASE_MS)
    assert.deepEqual([first?.seq, rest.length], [1, 0])
    assert.deepEqual(await database.outbox.claim(10, LEASE_MS), [], 'the second waits for the first')
    await database.outbox.markPublished([first?.eventId ?? ''])
    const second = await database.outbox.claim(10, LEASE_MS)
    assert.deepEqual(
      second.map((event) => [event.upload, event.seq, event.type]),
      [[upload.id, 2, 'upload.finishing']],
    )
    await database.outbox.markPublished(second.map((event) => event.eventId))
  })

  test('outbox: relays that publish while uploads go on see each upload in order', async () => {
    const { database } = subject()
    await drain(database)
    const published: OutboxEvent[] = []
    let writing = true
    const relay = async () => {
      for (;;) {
        const last = !writing
        const events = await database.outbox.claim(3, LEASE_MS)
        published.push(...events)
        await database.outbox.markPublished(events.map((event) => event.eventId))
        if (last && events.length === 0) return
        // PGlite answers without a turn of the loop: files would never be written.
        if (events.length === 0) await setImmediate()
      }
    }
    const write = async () => {
      for (let n = 0; n < 5; n += 1) {
        const upload = await finishingUpload(database)
        await database.records.change(upload.id, {}, { generation: 0, enter: ['uploaded', 'processing'] })
      }
    }
    const relays = [relay(), relay(), relay()]
    await Promise.all([write(), write(), write(), write()])
    writing = false
    await Promise.all(relays)
    await drain(database).then((late) => published.push(...late))
    assert.equal(published.length, 20 * 4)
    for (const [upload, events] of Map.groupBy(published, (event) => event.upload)) {
      assert.deepEqual(
        events.map((event) => event.seq),
        [1, 2, 3, 4],
        upload,
      )
    }
  })

  test('outbox: a lease that ran out makes the event claimable again; a published one stays published', async () => {
    const { database } = subject()
    await drain(database)
    await database.records.insert(newUpload(), ['created'])
    const [lost] = await database.outbox.claim(10, 0)
    const [again] = await database.outbox.claim(10, LEASE_MS)
    assert.ok(lost)
    assert.equal(again?.eventId, lost.eventId)
    await database.outbox.markPublished([lost.eventId])
    await database.outbox.markPublished([lost.eventId])
    assert.deepEqual(await database.outbox.claim(10, 0), [])
    await database.outbox.markPublished([])
  })

  test('outbox: an event is done once', async () => {
    const { database } = subject()
    await drain(database)
    await database.records.insert(newUpload(), ['created'])
    const [event] = await drain(database)
    assert.ok(event)
    const answers = await Promise.all(Array.from({ length: 10 }, () => database.outbox.markDone(event.eventId)))
    assert.equal(answers.filter((first) => first).length, 1)
    assert.equal(await database.outbox.markDone(event.eventId), false)
    assert.equal(await database.outbox.markDone(newUploadId()), false, "an unknown event is nobody's first time")
  })

  test('outbox: undone are the published ones that nobody did, page by page', async () => {
    const { database } = subject()
    await drain(database)
    await database.outbox.prune({ doneBefore: 0, undoneBefore: Date.now() + 60_000, limit: 10_000 })
    for (let n = 0; n < 3; n += 1) await database.records.insert(newUpload(), ['created'])
    const [first, second, third] = await drain(database)
    assert.ok(first && second && third)
    await database.records.insert(newUpload(), ['created'])
    await database.outbox.markDone(second.eventId)
    assert.deepEqual(await database.outbox.undone({ olderThanMs: 60_000, limit: 10 }), [])
    assert.deepEqual(await database.outbox.undone({ olderThanMs: 0, limit: 10 }), [first, third])
    assert.deepEqual(await database.outbox.undone({ olderThanMs: 0, limit: 1 }), [first])
    assert.deepEqual(await database.outbox.undone({ olderThanMs: 0, limit: 10, after: first.eventId }), [third])
  })

  test('outbox: pending tells how many wait and how old the oldest is', async () => {
    const { database } = subject()
    await drain(database)
    const upload = await database.records.insert(newUpload(), ['created', 'uploaded'])
    const { count, oldestAgeMs } = await database.outbox.pending()
    assert.equal(count, 2)
    assert.ok(oldestAgeMs >= 0 && oldestAgeMs < Date.now() - upload.createdAt + 5_000)
  })

  test('outbox: prune deletes what is done and old, published leftovers by their own date, and never the unpublished', async () => {
    const { database } = subject()
    await drain(database)
    const past = Date.now() + 60_000
    await database.outbox.prune({ doneBefore: past, undoneBefore: past, limit: 10_000 })
    await database.records.insert(newUpload(), ['created', 'uploaded'])
    const [done, undone] = await drain(database)
    assert.ok(done && undone)
    await database.outbox.markDone(done.eventId)
    await database.records.insert(newUpload(), ['created'])

    assert.equal(await database.outbox.prune({ doneBefore: Date.now() - 60_000, limit: 10 }), 0, 'too young')
    assert.equal(await database.outbox.prune({ doneBefore: past, limit: 10 }), 1)
    assert.equal(await database.outbox.markDone(undone.eventId), true, 'it is still there')
    assert.equal(await database.outbox.prune({ doneBefore: 0, undoneBefore: past, limit: 10 }), 1)
    assert.equal(await database.outbox.prune({ doneBefore: past, undoneBefore: past, limit: 10 }), 0)
    assert.equal((await database.outbox.pending()).count, 1)
  })
}

/** What one relay gets until there is nothing left for it. */
async function claimAll(database: Database, limit: number): Promise<OutboxEvent[]> {
  const all: OutboxEvent[] = []
  for (;;) {
    const events = await database.outbox.claim(limit, LEASE_MS)
    assert.ok(events.length <= limit)
    all.push(...events)
    if (events.length === 0) return all
  }
}
