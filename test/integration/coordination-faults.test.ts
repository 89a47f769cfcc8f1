/** Redis dies, stalls, restarts, fails over: each on a redis-server of the test's own. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  createRedisCoordination,
  type RedisCoordination,
  type RedisCoordinationOptions,
} from '../../server/coordination/redis/index.ts'
import { UploadError } from '../../server/uploads/errors.ts'
import { newUploadId } from '../../server/uploads/id.ts'
import type { Message, Session } from '../../server/uploads/ports/coordination.ts'
import { type PrivateRedis, privateRedis } from '../support/private-redis.ts'

const SESSION: Session = { generation: 1, multipartId: 'm', start: 0, offset: 7, tails: [], tailed: false }
const LONG = 60_000

async function server(t: TestContext, settings: readonly string[] = [], started = true): Promise<PrivateRedis> {
  const redis = await privateRedis(settings, { started })
  t.after(() => redis.stop())
  return redis
}

async function coordination(
  t: TestContext,
  url: string,
  more: Partial<RedisCoordinationOptions> = {},
): Promise<RedisCoordination> {
  const opened = await createRedisCoordination({ url, prefix: 'p', poolMin: 2, poolMax: 4, ...more })
  t.after(() => opened.close())
  return opened
}

/** Repeats until it holds; fails with the last failure. */
async function eventually<T>(look: () => Promise<T>, patienceMs = 10_000): Promise<T> {
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

/** The call is refused as it should be while Redis is away; answers how long that took, ms. */
async function unavailable(call: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof UploadError && error.code === 'coordination_unavailable', String(error))
    assert.ok(error.cause instanceof Error, 'it says why')
    return true
  })
  return performance.now() - from
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

test('the start works while Redis is away, and everything works when it comes', async (t) => {
  const redis = await server(t, [], false)
  const states: string[] = []
  const one = await coordination(t, redis.url, { onState: (state) => states.push(state) })
  const said: Message[] = []
  await one.listen((message) => said.push(message))
  const id = newUploadId()
  const calls: (() => Promise<unknown>)[] = [
    () => one.take(id, 'a', LONG),
    () => one.peek(id),
    () => one.renew([{ upload: id, token: 'a' }], LONG),
    () => one.tell('x', { type: 'free', upload: id }),
    () => one.ping(),
    () => one.checkPolicy(),
  ]
  const times = await Promise.all(calls.map(unavailable))
  assert.ok(Math.max(...times) < 4000, `refused after ${times.map(Math.round)} ms`)
  assert.deepEqual(one.connections(), { open: 0, busy: 0 })
  await redis.start()
  await eventually(() => one.ping())
  assert.equal((await one.take(id, 'a', LONG)).kind, 'rebuild')
  await heard(one, one.instance, said)
  assert.deepEqual(states, ['down', 'up'])
})

test('kill -9 in mid-use: refused meanwhile, whole again by itself, the hold is gone', async (t) => {
  const redis = await server(t)
  const states: string[] = []
  const one = await coordination(t, redis.url, { onState: (state, cause) => states.push(`${state} ${cause !== null}`) })
  const said: Message[] = []
  await one.listen((message) => said.push(message))
  const id = newUploadId()
  await one.take(id, 'a', LONG)
  let stop = false
  let saves = 0
  const user = (async () => {
    while (!stop) {
      await one.save(id, 'a', SESSION).then(
        () => saves++,
        (error) => assert.equal(error.code, 'coordination_unavailable', String(error)),
      )
    }
  })()
  try {
    await eventually(async () => assert.ok(saves > 20))
    await redis.kill()
    await unavailable(() => one.ping())
    await redis.start()
    assert.equal(await eventually(() => one.save(id, 'a', SESSION)), 'gone')
  } finally {
    stop = true
    await user
  }
  assert.deepEqual(await one.take(id, 'b', LONG), { kind: 'rebuild' })
  await heard(one, one.instance, said)
  assert.deepEqual(states, ['up false', 'down true', 'up false'])
})

test('a restart that kept the keys is another primary: its sessions count for nothing', async (t) => {
  const redis = await server(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const one = await coordination(t, redis.url)
  const id = newUploadId()
  await one.take(id, 'a', LONG)
  await one.save(id, 'a', SESSION, [{ number: 1, bytes: 7, etag: 'e', crc32: null }])
  await redis.kill()
  await redis.start()
  await eventually(() => one.ping())
  assert.equal(await redis.admin.exists(`p:{${id}}:session`), 1)
  assert.deepEqual(await one.peek(id), { kind: 'missing' })
  assert.equal(await one.save(id, 'a', SESSION), 'gone')
  assert.deepEqual(await one.take(id, 'b', LONG), { kind: 'rebuild' })
  await one.save(id, 'b', SESSION)
  assert.deepEqual(await one.parts(id, 'b'), { kept: 'kept', parts: [] })
})

test('FLUSHALL and SCRIPT FLUSH in mid-hold', async (t) => {
  const redis = await server(t)
  const one = await coordination(t, redis.url)
  const ids = [newUploadId(), newUploadId()]
  const holds = ids.map((upload) => ({ upload, token: 'a' }))
  const [id = newUploadId()] = ids
  for (const upload of ids) await one.take(upload, 'a', LONG)
  await redis.admin.script('FLUSH')
  assert.deepEqual(await one.renew(holds, LONG), ['kept', 'kept'])
  assert.equal(await one.save(id, 'a', SESSION), 'kept')
  await redis.admin.flushall()
  assert.equal(await one.save(id, 'a', SESSION), 'gone')
  assert.deepEqual(await one.renew(holds, LONG), ['gone', 'gone'])
  assert.deepEqual(await one.peek(id), { kind: 'missing' })
  assert.deepEqual(await one.take(id, 'b', LONG), { kind: 'rebuild' })
})

test('a failover: the replica serves nothing; promoted, it knows the session and does not believe it', async (t) => {
  const primary = await server(t, ['--repl-diskless-sync-delay', '0'])
  const replica = await server(t, ['--replicaof', '127.0.0.1', String(primary.port)])
  await eventually(async () => assert.match(await primary.admin.info('replication'), /state=online/))
  const before = await coordination(t, primary.url)
  const after = await coordination(t, replica.url)
  const id = newUploadId()
  await before.take(id, 'a', LONG)
  await before.save(id, 'a', SESSION)
  await primary.admin.set('mark', '1') // WAIT counts from the last write of its own connection
  assert.equal(await primary.admin.wait(1, 5000), 1)
  await unavailable(() => after.peek(id))
  await unavailable(() => after.take(id, 'b', LONG))
  await primary.kill()
  await replica.admin.replicaof('NO', 'ONE')
  assert.deepEqual(await eventually(() => after.peek(id)), { kind: 'missing' })
  assert.equal(await replica.admin.hget(`p:{${id}}:session`, 'o'), '7', 'it was replicated')
  assert.equal(await after.save(id, 'a', SESSION), 'gone')
  assert.deepEqual(await after.renew([{ upload: id, token: 'a' }], LONG), ['gone'])
  assert.deepEqual(await after.take(id, 'b', LONG), { kind: 'rebuild' })
  assert.equal(await after.save(id, 'b', SESSION), 'kept')
})

test('a Redis that stalls: refused in time, and a save given up on does not undo a later one', async (t) => {
  const redis = await server(t)
  const one = await coordination(t, redis.url, { deadlineMs: 300 })
  const id = newUploadId()
  await one.take(id, 'a', LONG)
  await one.save(id, 'a', { ...SESSION, offset: 1 })
  redis.pause()
  const took = await unavailable(() => one.save(id, 'a', { ...SESSION, offset: 2 }))
  assert.ok(took >= 290 && took < 3000, `refused after ${took} ms`)
  redis.resume()
  await eventually(async () => assert.equal(await one.save(id, 'a', { ...SESSION, offset: 3 }), 'kept'))
  await sleep(100) // the first one may be on its way
  const peek = await one.peek(id)
  assert.equal(peek.kind === 'held' && peek.session?.offset, 3)
})

test('the pool opens its minimum, grows under load, shrinks when idle and closes', async (t) => {
  const redis = await server(t)
  const one = await coordination(t, redis.url, { poolMin: 3, poolMax: 6, idleMs: 100 })
  const listed = async (use: string) => {
    const clients = String(await redis.admin.client('LIST')).split('\n')
    return clients.filter((line) => line.includes(`name=p:${one.instance}:${use}`)).length
  }
  assert.deepEqual(one.connections(), { open: 3, busy: 0 })
  assert.equal(await listed('commands'), 3)
  await one.listen(() => {})
  assert.equal(await listed('subscriber'), 1)
  const id = newUploadId()
  const grown = eventually(async () => {
    await Promise.all(Array.from({ length: 60 }, () => one.peek(id)))
    assert.equal(one.connections().open, 6)
  })
  await grown
  const busy = Array.from({ length: 60 }, () => one.peek(id))
  await null
  assert.equal(one.connections().busy, 6, 'the load is spread over all')
  await Promise.all(busy)
  assert.equal(await listed('commands'), 6)
  await eventually(async () => assert.equal(await listed('commands'), 3))
  await one.close()
  await eventually(async () => assert.equal((await listed('commands')) + (await listed('subscriber')), 0))
  await unavailable(() => one.ping())
})

test('a Redis that may evict holds is refused, with what to do; one that does not say is let be', async (t) => {
  const redis = await server(t)
  await redis.admin.call('ACL', 'SETUSER', 'noconfig', 'on', '>pw', '~*', '&*', '+@all', '-config')
  await redis.admin.call('ACL', 'SETUSER', 'mute', 'on', '>pw', '~*', '&*', '+@all', '-config', '-info')
  const as = (user: string) => coordination(t, redis.url.replace('//', `//${user}:pw@`), { poolMin: 1 })
  const [open, noconfig, mute] = [await coordination(t, redis.url), await as('noconfig'), await as('mute')]
  assert.equal(await open.checkPolicy(), 'ok')
  for (const policy of ['allkeys-lru', 'volatile-lru', 'volatile-ttl', 'allkeys-random']) {
    await redis.admin.config('SET', 'maxmemory-policy', policy)
    await redis.admin.config('SET', 'maxmemory', '0')
    assert.equal(await open.checkPolicy(), 'ok', 'without a limit nothing is evicted')
    await redis.admin.config('SET', 'maxmemory', '100mb')
    for (const asked of [open, noconfig]) {
      await assert.rejects(asked.checkPolicy(), (error: Error) => {
        assert.equal(error.name, 'EvictingRedis')
        assert.match(error.message, new RegExp(`maxmemory-policy ${policy} .*Set "maxmemory-policy noeviction"`))
        return true
      })
    }
    assert.equal(await mute.checkPolicy(), 'unknown')
  }
  await redis.admin.config('SET', 'maxmemory-policy', 'noeviction')
  assert.equal(await open.checkPolicy(), 'ok')
  assert.equal(await noconfig.checkPolicy(), 'ok')
})

test('a wrong password is a Redis that is away, and is not repeated in the error', async (t) => {
  const redis = await server(t, ['--requirepass', 'right'], false)
  redis.admin.options.password = 'right'
  await redis.start()
  const one = await coordination(t, redis.url.replace('//', '//:hunter2@'), { deadlineMs: 300 })
  await assert.rejects(one.ping(), (error: UploadError) => {
    assert.equal(error.code, 'coordination_unavailable')
    assert.match(error.message, /WRONGPASS/)
    assert.ok(!error.message.includes('hunter2'))
    return true
  })
  const two = await coordination(t, redis.url.replace('//', '//:right@'))
  await two.ping()
})

test('the message channel comes back when its connection is cut, and when it dies without a word', async (t) => {
  const redis = await server(t)
  const proxy = await mutingProxy(t, redis.port)
  const one = await coordination(t, `redis://127.0.0.1:${proxy.port}`, { beatMs: 50 })
  const two = await coordination(t, redis.url)
  const said: Message[] = []
  await one.listen((message) => {
    said.push(message)
    throw new Error('a handler that throws does not matter')
  })
  await heard(two, one.instance, said)
  await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await heard(two, one.instance, said)
  assert.equal(proxy.mute('subscribe'), 1)
  await heard(two, one.instance, said)
  await one.ping()
})

/** Passes everything on until told to swallow what the server says on connections where a word was sent. */
async function mutingProxy(t: TestContext, port: number): Promise<{ port: number; mute(word: string): number }> {
  const links = new Set<{ client: Socket; sent: string; muted: boolean }>()
  const proxy = createServer((client) => {
    const link = { client, sent: '', muted: false }
    links.add(link)
    const upstream = connect(port, '127.0.0.1')
    const end = () => {
      links.delete(link)
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end)
    client.on('data', (data) => {
      link.sent += data.toString('latin1')
      upstream.write(data)
    })
    upstream.on('data', (data) => {
      if (!link.muted) client.write(data)
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => {
    for (const { client } of links) client.destroy()
    proxy.close()
  })
  return {
    port: (proxy.address() as AddressInfo).port,
    mute: (word) => {
      const found = [...links].filter(({ sent }) => sent.includes(`\r\n${word}\r\n`))
      for (const link of found) link.muted = true
      return found.length
    },
  }
}
