/** Postgres and Redis: how they are reached, and what is done there at the start. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import pg from 'pg'
import { launchServer } from '../../support/launch.ts'
import { privateRedis } from '../../support/private-redis.ts'
import { freshDatabase } from '../../support/services.ts'
import { Tus } from '../support/tus.ts'
import { type Stage, shows } from './stage.ts'

export function databaseSettings(): void {
  shows('DATABASE_URL DB_MIGRATE', 'which database, and whether its schema is made', async (stage) => {
    const other = await freshDatabase()
    stage.later(() => other.drop())
    const tables = async () => {
      const db = new pg.Client({ connectionString: other.url })
      await db.connect()
      const { rows } = await db.query("select to_regclass('uploads') is not null as there")
      await db.end()
      return rows[0].there
    }
    const env = { DATABASE_URL: other.url }
    const checked = launchServer({ ...stage.world.env, ...env, DB_MIGRATE: 'check', PORT: '0' })
    assert.equal(await checked.ends(), 1)
    assert.match(checked.output(), /lacks the migrations .*; run `npm run db:migrate` or set DB_MIGRATE=auto/)
    const off = await stage.start({ ...env, DB_MIGRATE: 'off' })
    assert.equal(await tables(), false, 'off does not look')
    await off.kill()
    const auto = await stage.start({ ...env, DB_MIGRATE: 'auto' })
    assert.equal(await tables(), true)
    assert.equal((await new Tus(auto.url).post({ length: 1 })).status, 201)
    await auto.kill()
    await stage.start({ ...env, DB_MIGRATE: 'check' })
  })

  shows('DB_PASSWORD DB_SSL DB_SSL_CA', 'what Postgres is told of them', async (stage) => {
    const passwords = await fakePostgres(stage, () => 'N')
    const url = `postgres://somebody@127.0.0.1:${passwords.port}/db`
    const plain = launchServer({ ...stage.world.env, DATABASE_URL: url, DB_PASSWORD: 'open sesame', PORT: '0' })
    stage.later(() => plain.kill())
    assert.equal(await passwords.heard, 'password open sesame')
    await plain.kill()

    const encrypted = await fakePostgres(stage, () => 'N')
    const secure = launchServer({
      ...stage.world.env,
      DATABASE_URL: `postgres://somebody@127.0.0.1:${encrypted.port}/db`,
      DB_SSL: 'require',
      PORT: '0',
    })
    stage.later(() => secure.kill())
    assert.equal(await encrypted.heard, 'ssl')
    await secure.kill()

    const ca = '/no/such/authorities.pem'
    const without = launchServer({ ...stage.world.env, DB_SSL: 'verify', DB_SSL_CA: ca, PORT: '0' })
    assert.equal(await without.ends(), 1)
    assert.ok(without.output().includes(ca), without.output())
  })

  shows('REDIS_TLS_CA', 'a file that is not there ends the start (what it does: tls.test.ts)', async (stage) => {
    const env = { REDIS_URL: 'rediss://127.0.0.1:1', REDIS_TLS_CA: '/no/such/authorities.pem', PORT: '0' }
    const without = launchServer({ ...stage.world.env, ...env })
    assert.equal(await without.ends(), 1)
    assert.ok(without.output().includes(env.REDIS_TLS_CA), without.output())
  })

  shows('REDIS_URL REDIS_PASSWORD', 'which Redis, with which password', async (stage) => {
    const redis = await privateRedis()
    stage.later(() => redis.stop())
    await redis.admin.config('SET', 'requirepass', 'open sesame')
    const env = { REDIS_URL: redis.url }
    const service = await stage.start({ ...env, REDIS_PASSWORD: 'open sesame' })
    const path = await new Tus(service.url).createWith(10, 'begun')
    assert.equal((await redis.admin.keys(`*${path.split('/').pop()}*`)).length > 0, true)

    const locked = launchServer({ ...stage.world.env, ...env, REDIS_PASSWORD: 'wrong', HOST: '127.0.0.1', PORT: '0' })
    stage.later(() => locked.kill())
    const [, address = ''] = await locked.says(/"address":"(http:[^"]+)"/)
    const health = await (await fetch(`${address}/health`)).json()
    assert.partialDeepStrictEqual(health, { status: 'starting', checks: { redis: { state: 'down' } } })
  })
}

const SSL_REQUEST = 80_877_103

/** Accepts like Postgres, and tells what comes first: a wish for TLS, or the password that it asks for. */
async function fakePostgres(stage: Stage, ssl: () => string): Promise<{ port: number; heard: Promise<string> }> {
  const sockets = new Set<Socket>()
  let tell: (what: string) => void = () => {}
  const heard = new Promise<string>((resolve) => {
    tell = resolve
  })
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', (startup) => {
      if (startup.readInt32BE(4) === SSL_REQUEST) {
        tell('ssl')
        socket.end(ssl())
        return
      }
      // AuthenticationCleartextPassword; the answer is 'p', a length and the password with a zero behind it.
      socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]))
      socket.once('data', (message) => {
        tell(`password ${message.toString('utf8', 5, message.length - 1)}`)
        socket.destroy()
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stage.later(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port, heard }
}
