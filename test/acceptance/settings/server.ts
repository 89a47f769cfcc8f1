/** Where the service listens, what it says of itself, and how it stops. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launchServer } from '../../support/launch.ts'
import { eventually, sampleBytes, Tus } from '../support/tus.ts'
import { Wire } from '../support/wire.ts'
import { events, shows } from './stage.ts'

export function serverSettings(): void {
  shows('HOST PORT LOG_LEVEL', 'where it listens, and how much it says', async (stage) => {
    const everywhere = await stage.start({ HOST: '0.0.0.0', LOG_LEVEL: 'debug' })
    const here = await stage.start({ HOST: '127.0.0.1', LOG_LEVEL: 'warn' })
    // startService gives PORT a free port and asks there, so both answered where they were told to.
    assert.ok(await reaches('127.0.0.2', everywhere.port))
    assert.ok(!(await reaches('127.0.0.2', here.port)))
    for (const { url } of [everywhere, here]) assert.equal((await fetch(`${url}/livez`)).status, 200)
    const probes = () => events(everywhere, 'http.request').filter((line) => line.operation === 'livez')
    await eventually(async () => probes()[0]?.level === 'debug', 'a probe is logged at level debug')
    assert.doesNotMatch(here.logs(), /"level":"(info|debug)"/)
    const silent = await stage.start({ LOG_LEVEL: 'silent' })
    assert.equal(silent.logs(), '')

    const anyPort = launchServer({ ...stage.world.env, HOST: '127.0.0.1', PORT: '0' })
    stage.later(() => anyPort.kill())
    const [, address = ''] = await anyPort.says(/"address":"(http:[^"]+)"/)
    assert.notEqual(new URL(address).port, '0')
    assert.equal((await fetch(`${address}/livez`)).status, 200)
  })

  shows('WORKERS', 'how many processes share the port', async (stage) => {
    const one = await stage.start({})
    const three = await stage.start({ WORKERS: '3' })
    const processes = async ({ pid }: { readonly pid: number }) =>
      (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ').filter(Boolean).length
    assert.equal(await processes(one), 0)
    await eventually(async () => (await processes(three)) === 3, 'three workers run')
    assert.equal((await new Tus(three.url).post({ length: 1 })).status, 201)
    await three.kill('SIGTERM')
  })

  shows('PUBLIC_URL RELATIVE_LOCATION TRUSTED_PROXIES', 'what Location begins with', async (stage) => {
    const location = async (env: Record<string, string>): Promise<string> => {
      const service = await stage.start(env)
      const forwarded = { 'X-Forwarded-Host': 'front.example.com', 'X-Forwarded-Proto': 'https' }
      const answer = await new Tus(service.url).post({ length: 1, headers: forwarded })
      return (answer.headers.location ?? '').replace(service.url, '{self}').replace(/[^/]+$/, '')
    }
    const found = await Promise.all([
      location({}),
      location({ TRUSTED_PROXIES: '127.0.0.0/8' }),
      location({ TRUSTED_PROXIES: '10.0.0.0/8', PUBLIC_URL: 'https://uploads.example.com/files' }),
      location({ RELATIVE_LOCATION: 'true' }),
    ])
    assert.deepEqual(found, [
      '{self}/api/v1/uploads/',
      'https://front.example.com/api/v1/uploads/',
      'https://uploads.example.com/files/api/v1/uploads/',
      '/api/v1/uploads/',
    ])
  })

  shows('CORS_ORIGINS CORS_CREDENTIALS', 'which pages may upload', async (stage) => {
    const [one, other, evil] = ['https://a.example.com', 'https://b.example.com', 'https://evil.example.com']
    const listed = new Tus((await stage.start({ CORS_ORIGINS: `${one},${other}`, CORS_CREDENTIALS: 'true' })).url)
    const open = new Tus((await stage.start({ CORS_ORIGINS: '*' })).url)
    const allowed = async (tus: Tus, Origin: string) => {
      const { headers } = await tus.options(undefined, { Origin, 'Access-Control-Request-Method': 'PATCH' })
      return [headers['access-control-allow-origin'], headers['access-control-allow-credentials']]
    }
    assert.deepEqual(await allowed(listed, one), [one, 'true'])
    assert.deepEqual(await allowed(listed, other), [other, 'true'])
    assert.deepEqual(await allowed(listed, evil), [undefined, undefined])
    assert.deepEqual(await allowed(open, evil), ['*', undefined])
  })

  shows('ADMIN_SOCKET', 'where the local socket for administration is', async (stage) => {
    const dir = await mkdtemp(join(tmpdir(), 'admin-'))
    stage.later(() => rm(dir, { recursive: true, force: true }))
    const socketPath = join(dir, 'own', 'admin.sock')
    await stage.start({ ADMIN_SOCKET: socketPath })
    const asked = request({ socketPath, host: 'localhost', path: '/admin/db-status', agent: false }).end()
    const [answer]: IncomingMessage[] = await once(asked, 'response')
    answer?.resume()
    assert.equal(answer?.statusCode, 200)
    // A place that it cannot have is no reason not to serve.
    const without = await stage.start({ ADMIN_SOCKET: '/proc/nowhere/admin.sock' })
    const says = async () => without.logs().includes('no local socket for administration')
    await eventually(says, 'the log says that there is none')
  })

  shows('SHUTDOWN_TIMEOUT', 'how long a reader that stands still keeps a stop waiting', async (stage) => {
    const file = sampleBytes(24 * 1024 * 1024, 'large')
    const took = await Promise.all(
      ['500ms', '4s'].map(async (timeout) => {
        const service = await stage.start({ SHUTDOWN_TIMEOUT: timeout })
        const tus = new Tus(service.url)
        const path = await tus.create({ length: file.length })
        assert.equal((await tus.patch(path, 0, file)).status, 204)
        await eventually(
          async () => (await fetch(`${service.url}${path}`, { method: 'HEAD' })).status === 200,
          'it is whole',
        )
        const wire = await Wire.open(service.url)
        wire.head('GET', path)
        await once(wire.socket, 'readable')
        wire.socket.pause()
        const began = performance.now()
        await service.kill('SIGTERM')
        wire.cut()
        return performance.now() - began
      }),
    )
    const [short = 0, long = 0] = took
    assert.ok(short < 3_500, `500 ms took ${short} ms`)
    assert.ok(long >= 3_500 && long < 12_000, `4 s took ${long} ms`)
  })
}

async function reaches(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
