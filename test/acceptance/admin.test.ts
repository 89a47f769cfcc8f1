/** Administration of the production guide: over HTTP with an operator's token, and on the machine without one. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import pg from 'pg'
import { freshWorld, type RunningService, startService, type World } from '../support/service.ts'
import { bearer, TOKEN_ENV } from './support/tokens.ts'
import { patchHeaders, sampleBytes, sha256, Tus, UPLOADS } from './support/tus.ts'
import { Wire } from './support/wire.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const SCRIPTS = { gc: 'admin:gc', status: 'admin:db-status', restart: 'db:pool:restart' } as const
const run = promisify(execFile)

interface Reading {
  readonly rssBytes: number
  readonly heapUsedBytes: number
}

interface PoolReading {
  readonly total: number
  readonly idle: number
  readonly waiting: number
}

describe('administration', () => {
  let world: World
  let service: RunningService
  let database: pg.Client
  before(async () => {
    world = await freshWorld()
    service = await startService({
      mode: 'production',
      env: { ...world.env, ...TOKEN_ENV, DB_POOL_MIN: '4', DB_POOL_MAX: '8' },
    })
    database = new pg.Client({ connectionString: world.databaseUrl })
    await database.connect()
  })
  after(async () => {
    await service.kill()
    await database.end()
    await world.remove()
  })

  const operator = () => bearer({ sub: 'olga', roles: ['operator'] })
  const call = async (method: string, path: string): Promise<Response> =>
    fetch(`${service.url}${path}`, { method, headers: await operator() })
  /** `npm run …` as `docker exec` runs it: the environment of the service, and nothing else said. */
  const npm = async (script: string, env: Record<string, string>): Promise<string> => {
    const { PATH = '', HOME = '', TMPDIR = '' } = process.env
    const { stdout } = await run('npm', ['run', '--silent', script], {
      cwd: ROOT,
      env: { PATH, HOME, ...(TMPDIR === '' ? {} : { TMPDIR }), ...env },
    })
    return stdout
  }
  const here = (): Record<string, string> => ({ PORT: String(service.port) })
  const backends = async (): Promise<number[]> => {
    const { rows } = await database.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and application_name = 'upload-service'`,
    )
    return rows.map(({ pid }) => pid)
  }

  test('a garbage collection says what it freed', async () => {
    const answer = await call('POST', '/admin/gc')
    assert.equal(answer.status, 200)
    const { before, after, freed }: { before: Reading; after: Reading; freed: Reading } = JSON.parse(
      await answer.text(),
    )
    assert.ok(before.heapUsedBytes > after.heapUsedBytes, 'something is freed after a start')
    assert.deepEqual(freed, {
      rssBytes: before.rssBytes - after.rssBytes,
      heapUsedBytes: before.heapUsedBytes - after.heapUsedBytes,
    })
    assert.equal((await call('GET', '/admin/gc')).status, 404)
  })

  test('the database status has pool, time of a query and schema', async () => {
    const answer = await call('GET', '/admin/db-status')
    assert.equal(answer.status, 200)
    const status: { driver: string; latencyMs: number; missingMigrations: string[]; pool: PoolReading } = JSON.parse(
      await answer.text(),
    )
    assert.equal(status.driver, 'postgres')
    assert.ok(status.latencyMs > 0 && status.latencyMs < 5000)
    assert.deepEqual(status.missingMigrations, [])
    assert.ok(status.pool.total >= 4 && status.pool.total <= 8 && status.pool.idle <= status.pool.total)
  })

  test('only operators are let in', async () => {
    for (const [headers, status] of [
      [{}, 401],
      [await bearer({ sub: 'u', roles: ['uploader', 'reader'] }), 403],
      [await bearer({ sub: 'a', roles: ['admin'] }), 200],
    ] as const) {
      const answer = await fetch(`${service.url}/admin/db-status`, { headers })
      assert.equal(answer.status, status)
      await answer.arrayBuffer()
    }
  })

  test('npm run db:pool:restart: every backend is another one, and a running upload goes on', async () => {
    const bytes = sampleBytes(12 * 1024 * 1024, 'restart')
    const token = await bearer({ sub: 'u', roles: ['uploader', 'reader'] })
    const tus = new Tus(service.url)
    const created = await tus.send('POST', UPLOADS, {
      ...token,
      'Tus-Resumable': '1.0.0',
      'Upload-Length': String(bytes.length),
    })
    const path = new URL(created.headers.location ?? '').pathname
    const wire = await Wire.open(service.url)
    wire.head('PATCH', path, { ...patchHeaders(0, { 'Content-Length': String(bytes.length) }), ...token })
    const first = 9 * 1024 * 1024
    wire.write(bytes.subarray(0, first))
    // The first part is stored: the row names the open multipart upload.
    for (;;) {
      const { rows } = await database.query('select 1 from uploads where multipart_id is not null')
      if (rows.length > 0) break
    }
    const before = await backends()
    assert.ok(before.length >= 4)
    const said: { restarted: boolean; before: PoolReading; after: PoolReading } = JSON.parse(
      await npm(SCRIPTS.restart, here()),
    )
    assert.equal(said.restarted, true)
    assert.ok(said.before.total >= 4 && said.after.total >= 1)
    const now = await backends()
    assert.ok(now.length > 0)
    assert.deepEqual(
      now.filter((pid) => before.includes(pid)),
      [],
    )
    wire.write(bytes.subarray(first))
    assert.equal((await wire.answer('PATCH')).status, 204)
    wire.cut()
    const file = await fetch(`${service.url}${path}`, { headers: token })
    assert.equal(sha256(Buffer.from(await file.arrayBuffer())), sha256(bytes))
  })

  test('requests that run while the pool is replaced all succeed', async () => {
    const token = await bearer({ sub: 'u', roles: ['uploader', 'reader'] })
    let over = false
    const statuses = new Set<number>()
    const asking = Array.from({ length: 12 }, async () => {
      while (!over) {
        const answer = await fetch(`${service.url}${UPLOADS}?limit=1`, { headers: token })
        statuses.add(answer.status)
        await answer.arrayBuffer()
      }
    })
    for (let round = 0; round < 3; round++) assert.equal((await call('POST', '/admin/db-pool/restart')).status, 200)
    over = true
    await Promise.all(asking)
    assert.deepEqual([...statuses], [200])
  })

  test('the commands of the guide work on the machine without a token, by the local socket', async () => {
    const gc: { freed: Reading } = JSON.parse(await npm(SCRIPTS.gc, here()))
    assert.equal(typeof gc.freed.heapUsedBytes, 'number')
    const status: { driver: string } = JSON.parse(await npm(SCRIPTS.status, here()))
    assert.equal(status.driver, 'postgres')
    await assert.rejects(npm(SCRIPTS.gc, { PORT: '1' }), /no service listens on .*upload-service-1/)
  })

  test('the socket is its user’s alone, speaks of administration only, and goes with the service', async () => {
    const dir = process.env.TMPDIR ?? '/tmp'
    const path = join(dir, `upload-service-${service.port}`, 'admin.sock')
    const { mode } = await stat(path)
    assert.equal(mode & 0o777, 0o600)
    assert.equal(await viaSocket(path, 'GET', '/admin/db-status'), 200)
    for (const other of [UPLOADS, '/metrics', '/', '/health']) assert.equal(await viaSocket(path, 'GET', other), 404)
    assert.equal(await service.stop(), 0)
    await assert.rejects(stat(path), { code: 'ENOENT' })
  })

  test('each of several workers has its socket, and a command reaches them all', async () => {
    const several = await startService({
      mode: 'production',
      env: { ...world.env, ...TOKEN_ENV, WORKERS: '2', DB_POOL_MIN: '2', DB_POOL_MAX: '4' },
    })
    try {
      const before = await backends()
      const answers = (await npm(SCRIPTS.restart, { PORT: String(several.port) })).trim().split('\n')
      assert.deepEqual(
        answers.map((line) => JSON.parse(line).restarted),
        [true, true],
      )
      const now = await backends()
      assert.deepEqual(
        now.filter((pid) => before.includes(pid)),
        [],
      )
    } finally {
      await several.stop()
    }
  })
})

function viaSocket(socketPath: string, method: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, host: 'localhost', agent: false }, (answer) => {
      answer.resume()
      answer.once('end', () => resolve(answer.statusCode ?? 0))
    })
    outgoing.once('error', reject)
    outgoing.end()
  })
}
