/** What ends a start, and what a start waits for. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Launched, launchServer } from '../support/launch.ts'
import { postgresProxy } from '../support/postgres-proxy.ts'
import { privateRedis } from '../support/private-redis.ts'
import { startS3Proxy } from '../support/s3-proxy.ts'
import { freshWorld, type World } from '../support/service.ts'
import { eventually, Tus } from './support/tus.ts'

describe('the start', { concurrency: 2 }, () => {
  let world: World
  before(async () => {
    world = await freshWorld()
  })
  after(() => world.remove())

  test('wrong values end it, and every one of them is named at once', async () => {
    const wrong = launchServer({
      ...world.env,
      MAX_CONCURRENT_UPLOADS: 'many',
      MEMORY_WARNING_THRESHOLD: '80',
      IDLE_TIMEOUT: '60',
      CHUNK_SIZE: '1000000000000',
      REDIS_URL: 'http://127.0.0.1',
      S3_SECRET_ACCESS_KEY: '',
      AUTH_MODE: '',
      CORS_CREDENTIALS: 'true',
      MAX_FILE_SIZ: '1000',
      EDITOR: 'vi',
    })
    assert.equal(await wrong.ends(), 1)
    const faults = [
      'MAX_CONCURRENT_UPLOADS is "many"',
      'MEMORY_WARNING_THRESHOLD is "80"',
      'IDLE_TIMEOUT is "60"',
      'CHUNK_SIZE is "1000000000000"',
      'REDIS_URL is',
      'S3_SECRET_ACCESS_KEY is not set although its other half is',
      'AUTH_MODE is not set with NODE_ENV=production',
      'CORS_CREDENTIALS is "true" with CORS_ORIGINS "*"',
      'MAX_FILE_SIZ is not a setting; write MAX_FILE_SIZE',
    ]
    for (const fault of faults) assert.ok(wrong.output().includes(fault), `${fault} is missing in:\n${wrong.output()}`)
    assert.doesNotMatch(wrong.output(), /EDITOR/, 'keys of others are nobody’s business')
    assert.doesNotMatch(wrong.output(), /\n {4}at /, 'sentences, not a stack')
  })

  test('a bucket that does not exist ends it with a sentence', async () => {
    const server = launchServer({ ...world.env, S3_BUCKET: `${world.bucket}-none`, PORT: '0' })
    assert.equal(await server.ends(), 1)
    assert.match(server.output(), /^The bucket "\S+-none" does not exist at http\S+\. Create it, correct/m)
  })

  test('a Redis that may evict holds ends it with a sentence', async () => {
    const redis = await privateRedis(['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'])
    try {
      const server = launchServer({ ...world.env, REDIS_URL: redis.url, PORT: '0' })
      assert.equal(await server.ends(), 1)
      assert.match(server.output(), /^Redis has maxmemory-policy allkeys-lru .* Set "maxmemory-policy noeviction"/m)
      await redis.admin.config('SET', 'maxmemory-policy', 'noeviction')
      const again = launchServer({ ...world.env, REDIS_URL: redis.url, HOST: '127.0.0.1', PORT: '0' })
      await readyAt(await addressOf(again))
      await again.kill()
    } finally {
      await redis.stop()
    }
  })

  test('a port that is taken ends it with a sentence, also with several workers', async () => {
    const first = launchServer({ ...world.env, HOST: '127.0.0.1', PORT: '0' })
    const { port } = new URL(await addressOf(first))
    for (const WORKERS of ['1', '2']) {
      const second = launchServer({ ...world.env, WORKERS, HOST: '127.0.0.1', PORT: port })
      assert.equal(await second.ends(), 1)
      const sentence = new RegExp(
        `^Port ${port} of 127.0.0.1 is in use. Stop what listens there, or .* PORT=\\d+$`,
        'm',
      )
      assert.match(second.output(), sentence)
      assert.doesNotMatch(second.output(), /\n {4}at /, 'no stack')
    }
    await first.kill()
  })

  test('a hook module that is not there ends it with a sentence, also with several workers', async () => {
    for (const WORKERS of ['1', '2']) {
      const server = launchServer({ ...world.env, WORKERS, HOOKS_MODULE: './no/such/hooks.ts', PORT: '0' })
      assert.equal(await server.ends(), 1)
      assert.match(server.output(), /^HOOKS_MODULE cannot be used\. hooks: there is no file \S+\/no\/such\/hooks\.ts$/m)
    }
  })

  test('Redis, Postgres and S3 may be away: it waits, and becomes whole when they come', async () => {
    const postgres = await postgresProxy(world.databaseUrl)
    const redis = await privateRedis([], { started: false })
    const s3 = await startS3Proxy(world.s3.endpoint)
    s3.before = () => ({ kind: 'drop' })
    const server = launchServer({
      ...world.env,
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      S3_ENDPOINT: s3.url,
      HOST: '127.0.0.1',
      PORT: '0',
    })
    try {
      const address = await addressOf(server)
      const status = async (path: string) => (await fetch(`${address}${path}`)).status
      const standing = async () => {
        const answer = await fetch(`${address}/health`)
        const { status: said, checks } = await answer.json()
        return [answer.status, said, checks.database.state, checks.redis.state, checks.storage.state].join(' ')
      }
      const stands = (expected: string) =>
        eventually(async () => (await standing()) === expected, `it says ${expected}`, 30_000)
      await stands('503 starting down down down')
      assert.equal(await status('/livez'), 200)
      assert.equal(await status('/readyz'), 503)
      await postgres.up()
      await stands('503 starting up down down')
      await redis.start()
      await stands('503 starting up up down')
      assert.equal(await status('/readyz'), 503)
      s3.before = undefined
      await stands('200 ok up up up')
      await readyAt(address)
      const tus = new Tus(address)
      const path = await tus.createWith(10, 'begun')
      assert.equal((await tus.patch(path, 5, 'ended')).status, 204)
      await tus.contentIs(path, 'begunended')
    } finally {
      await server.kill()
      await Promise.all([postgres.close(), redis.stop(), s3.close()])
    }
  })
})

async function addressOf(server: Launched): Promise<string> {
  return (await server.says(/"address":"(http:[^"]+)"/))[1] ?? ''
}

async function readyAt(address: string): Promise<void> {
  await eventually(async () => (await fetch(`${address}/readyz`)).status === 200, 'it is ready', 30_000)
}
