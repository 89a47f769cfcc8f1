import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import { Redis } from 'ioredis'
import { createBullQueue } from '../../hooks/queue/bullmq.ts'
import { queueContract } from '../../hooks/queue/contract.ts'
import { privateRedis } from '../support/private-redis.ts'
import { freshPrefix, testServices } from '../support/services.ts'

const log = { info() {}, warn() {}, error() {} }
const message = () => ({ id: randomUUID(), name: 'upload.created', body: {} })

queueContract('BullMQ on Redis', {
  open: (options) =>
    createBullQueue({ ...options, connection: testServices().redisUrl, prefix: freshPrefix(), log, lockMs: 1_000 }),
})

describe('BullMQ on a Redis that comes and goes', { timeout: 60_000 }, () => {
  it('keeps every key under the prefix in braces, and a bounded number of done jobs', async (t) => {
    const prefix = freshPrefix()
    const redis = new Redis(testServices().redisUrl)
    const connections: string[] = []
    const queue = createBullQueue({
      connection: (settings) => {
        connections.push(settings.connectionName)
        return new Redis(testServices().redisUrl, settings)
      },
      prefix,
      log,
      keepDone: 5,
    })
    t.after(async () => {
      await queue.close()
      redis.disconnect()
    })
    let left = 20
    const all = Promise.withResolvers<void>()
    const consumer = queue.consume(
      async () => {
        left -= 1
        if (left === 0) all.resolve()
      },
      { concurrency: 4 },
    )
    await queue.publish(Array.from({ length: 20 }, message))
    await all.promise
    await consumer.close()
    const keys = await redis.keys(`*${prefix}*`)
    assert.ok(keys.length > 0)
    assert.deepEqual(
      keys.filter((key) => !key.startsWith(`{${prefix}:queue}:`)),
      [],
    )
    assert.equal(await redis.zcard(`{${prefix}:queue}:events:completed`), 5)
    assert.deepEqual(connections, [`${prefix}:queue`, `${prefix}:worker`])
  })

  it('away from the start: publishing and ping fail in time; once it is there, everything works', async (t) => {
    const redis = await privateRedis([], { started: false })
    const warnings: string[] = []
    const queue = createBullQueue({
      connection: redis.url,
      prefix: 't',
      log: { ...log, warn: (_, text) => warnings.push(text) },
      answerMs: 200,
    })
    t.after(async () => {
      await queue.close()
      await redis.stop()
    })
    const got = Promise.withResolvers<string>()
    queue.consume(async ({ id }) => got.resolve(id), { concurrency: 1 })
    const began = performance.now()
    await assert.rejects(queue.publish([message()]), /no answer from Redis within 200 ms/)
    await assert.rejects(queue.ping(), /no answer/)
    assert.ok(performance.now() - began < 3_000)
    assert.equal(warnings.length, 2, 'one warning a connection, however often it tries')

    await redis.start()
    const sent = message()
    while (true) {
      try {
        await queue.publish([sent])
        break
      } catch {}
    }
    assert.equal(await got.promise, sent.id)
  })

  it('frozen: publishing fails in time, is applied once when it goes on', async (t) => {
    const redis = await privateRedis()
    const queue = createBullQueue({ connection: redis.url, prefix: 't', log, answerMs: 1_000 })
    t.after(async () => {
      await queue.close()
      await redis.stop()
    })
    const sent = message()
    await queue.ping()
    redis.pause()
    await assert.rejects(queue.publish([sent]), /no answer/)
    await assert.rejects(queue.publish([sent]), /no answer/)
    redis.resume()
    await queue.publish([sent])
    assert.equal((await queue.counts()).waiting, 1)
  })

  for (const trouble of ['kill', 'pause'] as const) {
    it(`closing ends in time while Redis does not answer (${trouble}), also with a job running`, async (t) => {
      const redis = await privateRedis()
      const queue = createBullQueue({ connection: redis.url, prefix: 't', log, closeMs: 100 })
      t.after(async () => {
        await queue.close()
        await redis.stop()
      })
      const started = Promise.withResolvers<void>()
      queue.consume(
        async ({ signal }) => {
          started.resolve()
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        },
        { concurrency: 1 },
      )
      await queue.publish([message()])
      await started.promise
      await redis[trouble]()
      const began = performance.now()
      await queue.close()
      assert.ok(performance.now() - began < 8_000)
    })
  }
})
