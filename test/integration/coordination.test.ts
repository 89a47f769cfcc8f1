import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { coordinationContract } from '../../server/coordination/contract.ts'
import { createRedisCoordination, type RedisCoordination } from '../../server/coordination/redis/index.ts'
import { newUploadId } from '../../server/uploads/id.ts'
import type { Session } from '../../server/uploads/ports/coordination.ts'
import { freshPrefix, testServices } from '../support/services.ts'

const SESSION: Session = { generation: 1, multipartId: 'm', start: 0, offset: 7, tails: [], tailed: false }

async function forgetAll(redis: Redis, prefix: string): Promise<void> {
  const keys = await redis.keys(`${prefix}:*`)
  if (keys.length > 0) await redis.del(keys)
}

coordinationContract('Redis', async () => {
  const { redisUrl: url } = testServices()
  const prefix = freshPrefix()
  const redis = new Redis(url)
  const open = (instance: string) => createRedisCoordination({ url, prefix, poolMin: 2, poolMax: 5, instance })
  const [one, two] = await Promise.all([open('one'), open('two')])
  return {
    one,
    two,
    forget: () => forgetAll(redis, prefix),
    end: async () => {
      await one.close()
      await two.close()
      await forgetAll(redis, prefix)
      redis.disconnect()
    },
  }
})

describe('coordination: what is Redis alone', () => {
  const prefix = freshPrefix()
  let redis: Redis
  let one: RedisCoordination
  before(async () => {
    redis = new Redis(testServices().redisUrl)
    one = await createRedisCoordination({ url: testServices().redisUrl, prefix, poolMin: 1, poolMax: 2 })
  })
  after(async () => {
    await one.close()
    await forgetAll(redis, prefix)
    redis.disconnect()
  })

  test('two keys of one slot, both with a TTL that each save sets anew', async () => {
    const id = newUploadId()
    const [session, parts] = [`${prefix}:{${id}}:session`, `${prefix}:{${id}}:parts`]
    await one.take(id, 'a', 60_000)
    await one.save(id, 'a', SESSION, [{ number: 1, bytes: 5, etag: 'e', crc32: 9 }])
    assert.deepEqual((await redis.keys(`${prefix}:*${id}*`)).sort(), [parts, session])
    await redis.pexpire(session, 1000)
    await redis.pexpire(parts, 1000)
    await one.save(id, 'a', SESSION)
    for (const key of [session, parts]) {
      const days = (await redis.pttl(key)) / 86_400_000
      assert.ok(days > 7.9 && days <= 8, `${key} lives ${days} days`)
    }
    assert.equal(await redis.hget(parts, '1'), '5:9:e')
    await one.drop(id, 'a')
    assert.deepEqual(await redis.keys(`${prefix}:*${id}*`), [])
  })

  test('a session whose parts were lost counts for nothing', async () => {
    const [held, free] = [newUploadId(), newUploadId()]
    for (const id of [held, free]) {
      await one.take(id, 'a', 60_000)
      await one.save(id, 'a', SESSION, [{ number: 1, bytes: 5, etag: 'e', crc32: 9 }])
      await redis.del(`${prefix}:{${id}}:parts`)
    }
    await one.release(free, 'a', true)
    assert.deepEqual(await one.take(free, 'b', 60_000), { kind: 'rebuild' })
    assert.deepEqual(await one.parts(held, 'a'), { kept: 'gone', parts: [] })
    assert.deepEqual(await one.take(held, 'b', 60_000), { kind: 'rebuild' })
  })

  test('a session of another layout or primary counts for nothing', async () => {
    const id = newUploadId()
    const key = `${prefix}:{${id}}:session`
    await one.take(id, 'a', 60_000)
    await one.save(id, 'a', SESSION, [{ number: 1, bytes: 5, etag: 'e', crc32: 9 }])
    const written = await redis.hget(key, 'r')
    for (const foreign of [`1:${'0'.repeat(40)}`, String(written).replace(/^1:/, '2:')]) {
      await redis.hset(key, 'r', foreign)
      assert.equal(await one.save(id, 'a', SESSION), 'gone')
      assert.equal(await one.release(id, 'a', true), 'gone')
      assert.deepEqual(await one.renew([{ upload: id, token: 'a' }], 60_000), ['gone'])
      assert.deepEqual(await one.parts(id, 'a'), { kept: 'gone', parts: [] })
      assert.deepEqual(await one.peek(id), { kind: 'missing' })
    }
    assert.deepEqual(await one.take(id, 'b', 60_000), { kind: 'rebuild' }, 'although the lease runs')
    assert.equal(await redis.hget(key, 'r'), written)
    await one.save(id, 'b', SESSION)
    assert.deepEqual((await one.parts(id, 'b')).parts, [])
  })

  test('a save that arrives behind a later one does not take the session back', async () => {
    const id = newUploadId()
    const key = `${prefix}:{${id}}:session`
    await one.take(id, 'a', 60_000)
    await one.save(id, 'a', SESSION, [{ number: 2, bytes: 5, etag: 'later', crc32: 9 }])
    await redis.hset(key, 'q', String(Number.MAX_SAFE_INTEGER)) // as if that save had been numbered behind the next
    const old = [1, 2].map((number) => ({ number, bytes: 5, etag: 'earlier', crc32: 9 }))
    assert.equal(await one.save(id, 'a', { ...SESSION, offset: 3 }, old), 'kept')
    assert.equal(await one.save(id, 'a', { ...SESSION, offset: 3 }, [], true), 'kept', 'nor does it let go')
    const peek = await one.peek(id)
    assert.equal(peek.kind === 'held' && peek.session?.offset, 7)
    const etags = (await one.parts(id, 'a')).parts.map(({ etag }) => etag)
    assert.deepEqual(etags, ['earlier', 'later'])
    assert.equal(await one.save(id, 'a', { ...SESSION, multipartId: 'old' }), 'kept')
    assert.equal((await one.parts(id, 'a')).parts.length, 2)
    await one.release(id, 'a', true)
    await one.take(id, 'b', 60_000)
    await one.save(id, 'b', { ...SESSION, offset: 9 })
    const next = await one.peek(id)
    assert.equal(next.kind === 'held' && next.session?.offset, 9, 'the next holder counts from the beginning')
  })
})
