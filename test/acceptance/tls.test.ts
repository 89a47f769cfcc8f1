/** Redis and Postgres over TLS, with an authority of one's own: real servers, certificates made here. */
import assert from 'node:assert/strict'
import { appendFile, chmod, chown, copyFile, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Authority, makeAuthority } from '../support/certificates.ts'
import { launchServer } from '../support/launch.ts'
import { type PrivateRedis, privateRedis } from '../support/private-redis.ts'
import { freePorts } from '../support/provision/ports.ts'
import { startPostgres } from '../support/provision/postgres.ts'
import { type Env, freshWorld, startService, type World } from '../support/service.ts'
import { Tus } from './support/tus.ts'

const HERE = 'IP:127.0.0.1'
const UNKNOWN = /unable to verify the first certificate|self-signed certificate/

describe('TLS', { concurrency: true }, () => {
  let dir: string
  let world: World
  let ours: Authority
  let others: Authority
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'tls-'))
    ours = await makeAuthority(join(dir, 'ours'))
    others = await makeAuthority(join(dir, 'others'))
    world = await freshWorld()
  })
  after(async () => {
    await world.remove()
    await rm(dir, { recursive: true, force: true })
  })

  async function uploads(env: Env): Promise<void> {
    const service = await startService({ mode: 'production', env: { ...world.env, ...env } })
    try {
      const tus = new Tus(service.url)
      assert.equal((await tus.head(await tus.createWith(5, 'whole'))).headers['upload-offset'], '5')
    } finally {
      await service.kill()
    }
  }

  /** It starts, never becomes ready, and says why. */
  async function refuses(env: Env, why: RegExp): Promise<void> {
    const service = launchServer({ ...world.env, ...env, HOST: '127.0.0.1', PORT: '0' })
    try {
      const [, address = ''] = await service.says(/"address":"(http:[^"]+)"/)
      const deadline = Date.now() + 30_000
      for (;;) {
        const health = await fetch(`${address}/health`).then((a) => a.text(), String)
        if (why.test(service.output() + health)) break
        assert.ok(Date.now() < deadline, `it says nothing of ${why}: ${health}\n${service.output()}`)
        await sleep(50)
      }
      assert.equal((await fetch(`${address}/readyz`)).status, 503)
    } finally {
      await service.kill()
    }
  }

  async function redisWith(names: string): Promise<{ redis: PrivateRedis; url: string }> {
    const [port] = await freePorts(1)
    const { keyFile, certFile } = await ours.issue(`redis-${port}`, names)
    const files = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', ours.caFile]
    const redis = await privateRedis(['--tls-port', String(port), '--tls-auth-clients', 'no', ...files])
    return { redis, url: `rediss://127.0.0.1:${port}` }
  }

  test('Redis: rediss:// with REDIS_TLS_CA; any other authority or name is refused', {
    timeout: 120_000,
  }, async (t) => {
    const { redis, url } = await redisWith(HERE)
    t.after(() => redis.stop())
    await uploads({ REDIS_URL: url, REDIS_TLS_CA: ours.caFile })
    assert.ok((await redis.admin.keys(`*${world.redisPrefix}*`)).length > 0)
    const elsewhere = await redisWith('DNS:elsewhere.example')
    t.after(() => elsewhere.redis.stop())
    await Promise.all([
      refuses({ REDIS_URL: url }, UNKNOWN),
      refuses({ REDIS_URL: url, REDIS_TLS_CA: others.caFile }, UNKNOWN),
      refuses({ REDIS_URL: elsewhere.url, REDIS_TLS_CA: ours.caFile }, /does not match certificate/),
    ])
  })

  test('Postgres: DB_SSL=verify with DB_SSL_CA; any other authority or name is refused', {
    timeout: 120_000,
  }, async (t) => {
    const home = join(dir, 'postgres')
    await mkdir(home)
    await chmod(dir, 0o711) // Postgres runs as a user of its own
    const postgres = await startPostgres({ dir: home, report: () => {} })
    assert.ok(postgres, 'this test needs Postgres (Debian: apt-get install postgresql)')
    t.after(() => postgres.stop())
    const data = join(home, 'postgres', 'data')
    const use = async (names: string): Promise<void> => {
      const { keyFile, certFile } = await ours.issue('postgres', names)
      const { uid, gid } = await stat(data)
      for (const [from, to] of [
        [keyFile, 'server.key'],
        [certFile, 'server.crt'],
      ] as const) {
        await copyFile(from, join(data, to))
        await chown(join(data, to), uid, gid)
      }
    }
    await use(HERE)
    await appendFile(join(data, 'postgresql.conf'), 'ssl = on\n')
    await writeFile(join(data, 'pg_hba.conf'), 'local all all trust\nhostssl all all 127.0.0.1/32 trust\n')
    const reload = new pg.Client({ connectionString: postgres.value })
    await reload.connect()
    await reload.query('select pg_reload_conf()')
    await reload.end()

    const verify = { DATABASE_URL: postgres.value, DB_SSL: 'verify' }
    await assert.rejects(async () => {
      const plain = new pg.Client({ connectionString: postgres.value })
      await plain.connect()
    }, /no encryption/)
    await uploads({ ...verify, DB_SSL_CA: ours.caFile })
    await Promise.all([refuses(verify, UNKNOWN), refuses({ ...verify, DB_SSL_CA: others.caFile }, UNKNOWN)])

    await use('DNS:elsewhere.example')
    const again = new pg.Client({ connectionString: postgres.value, ssl: { rejectUnauthorized: false } })
    await again.connect()
    await again.query('select pg_reload_conf()')
    await again.end()
    await Promise.all([
      refuses({ ...verify, DB_SSL_CA: ours.caFile }, /does not match certificate/),
      uploads({ ...verify, DB_SSL: 'require' }),
    ])
  })
})
