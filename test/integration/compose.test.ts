/**
 * deploy/compose.yaml without an engine: its settings are given to the service's own configuration, its Redis command to
 * a real Redis, and what one part says of another is compared.
 */
import assert from 'node:assert/strict'
import { access, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { parseEnv } from 'node:util'
import { Redis } from 'ioredis'
import { parse } from 'yaml'
import { loadConfig } from '../../server/config/load.ts'
import { startDaemon } from '../support/provision/daemon.ts'
import { redisProgram } from '../support/provision/install.ts'
import { freePorts } from '../support/provision/ports.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const DEPLOY = join(ROOT, 'deploy')
const GIVEN: Readonly<Record<string, string>> = {
  PUBLIC_URL: 'https://uploads.example.com',
  TLS_CERTIFICATE: '/etc/ssl/private/upload.pem',
  DB_PASSWORD: 'database',
  REDIS_PASSWORD: 'redis',
  JWT_SECRET: 'x'.repeat(32),
  S3_ACCESS_KEY_ID: 'access',
  S3_SECRET_ACCESS_KEY: 'secret',
}

interface Service {
  readonly image: string
  readonly command?: readonly string[]
  readonly env_file?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly volumes?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { condition: string }>>
  readonly healthcheck?: { readonly disable?: boolean }
  readonly stop_grace_period?: string
  readonly read_only?: boolean
  readonly tmpfs?: string
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}

let text: string
let compose: Compose
const named = new Set<string>()

function service(name: string): Service {
  const found = compose.services[name]
  assert.ok(found, name)
  return found
}

/** What the container's environment is: the env file, then `environment`. */
async function environmentOf({ env_file, environment }: Service): Promise<Record<string, string | undefined>> {
  const file = env_file === undefined ? {} : parseEnv(await readFile(resolve(DEPLOY, env_file), 'utf8'))
  return { ...file, ...environment }
}

const ours = (): [string, Service][] =>
  Object.entries(compose.services).filter(([, { image }]) => image === 'upload-service:production')

before(async () => {
  text = await readFile(join(DEPLOY, 'compose.yaml'), 'utf8')
  const filled = text.replaceAll(/\$\{(\w+)(?::[?-][^}]*)?\}/g, (_all, name: string) => {
    named.add(name)
    return GIVEN[name] ?? ''
  })
  compose = parse(filled, { merge: true })
})

test('.env.example names what is asked for and nothing else', async () => {
  const example = parseEnv(await readFile(join(DEPLOY, '.env.example'), 'utf8'))
  assert.deepEqual(Object.keys(example).sort(), [...named].sort())
  assert.deepEqual(Object.keys(GIVEN).sort(), [...named].sort())
})

test('the service takes its settings, and finds the others by their names', async () => {
  assert.deepEqual(
    ours().map(([name]) => name),
    ['upload-service', 'worker', 'migrate'],
  )
  for (const [, own] of ours()) {
    const env = await environmentOf(own)
    const config = loadConfig(env, { embedded: false })
    assert.deepEqual(config.warnings, [])
    assert.equal(config.auth.mode, 'jwt')
    for (const url of [env.DATABASE_URL, env.REDIS_URL, env.S3_ENDPOINT]) {
      assert.ok(compose.services[new URL(url ?? '').hostname], `${url} leads to no service`)
    }
  }
})

test('passwords and names are the same on both sides', async () => {
  const env = await environmentOf(service('upload-service'))
  const [postgres, s3] = [service('postgres').environment, service('s3').environment]
  const database = new URL(env.DATABASE_URL ?? '')
  assert.equal(postgres?.POSTGRES_USER, database.username)
  assert.equal(`/${postgres?.POSTGRES_DB}`, database.pathname)
  assert.equal(postgres?.POSTGRES_PASSWORD, env.DB_PASSWORD)
  assert.equal(s3?.AWS_ACCESS_KEY_ID, env.S3_ACCESS_KEY_ID)
  assert.equal(s3?.AWS_SECRET_ACCESS_KEY, env.S3_SECRET_ACCESS_KEY)
  assert.ok(service('s3').command?.includes(`-s3.port=${new URL(env.S3_ENDPOINT ?? '').port}`))
})

test('our containers write nothing but /tmp, and get the time to flush', async () => {
  for (const [name, own] of ours()) {
    assert.equal(own.read_only, true)
    assert.equal(own.tmpfs, '/tmp')
    const { server } = loadConfig(await environmentOf(own), { embedded: false })
    assert.ok(Number.parseInt(own.stop_grace_period ?? '0', 10) * 1000 > server.shutdownTimeoutMs)
    await access(join(ROOT, own.command?.[1] ?? ''))
    if (name !== 'upload-service') assert.equal(own.healthcheck?.disable, true, `${name} has no port to ask`)
  }
})

test('nobody starts before the schema is there', () => {
  for (const name of ['upload-service', 'worker']) {
    assert.equal(service(name).depends_on?.migrate?.condition, 'service_completed_successfully')
  }
  assert.equal(service('migrate').depends_on?.postgres?.condition, 'service_healthy')
})

test('the balancer asks for the name and the port that the servers have', async () => {
  const balancer = await readFile(join(DEPLOY, 'haproxy', 'haproxy.cfg'), 'utf8')
  const { server } = loadConfig(await environmentOf(service('upload-service')), { embedded: false })
  assert.match(balancer, new RegExp(`server-template upload \\d+ upload-service:${server.port} resolvers docker`))
  for (const mount of service('haproxy').volumes ?? []) {
    const [from = '', to = ''] = mount.split(':')
    if (from.startsWith('.')) await access(resolve(DEPLOY, from))
    else assert.ok(balancer.includes(`ssl crt ${to} `), mount)
  }
})

test('volumes are declared', () => {
  const used = Object.values(compose.services).flatMap(({ volumes = [] }) =>
    volumes.map((one) => one.split(':')[0] ?? ''),
  )
  assert.deepEqual(used.filter((name) => /^\w+$/.test(name)).sort(), Object.keys(compose.volumes).sort())
})

test('Redis takes its command, evicts nothing, and writes both RDB and AOF', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'compose-redis-'))
  after(() => rm(dir, { recursive: true, force: true }))
  const program = await redisProgram((line) => console.log(line))
  const [port = 0] = await freePorts(1)
  const [, ...args] = service('redis').command ?? []
  const client = new Redis({ port, password: GIVEN.REDIS_PASSWORD ?? '', lazyConnect: true, retryStrategy: () => null })
  client.on('error', () => {})
  const daemon = await startDaemon({
    name: 'redis',
    command: program ?? 'redis-server',
    args: [...args, '--port', String(port), '--bind', '127.0.0.1', '--dir', dir],
    logFile: join(dir, 'redis.log'),
    probe: async () => {
      if (client.status !== 'ready') await client.connect()
      await client.ping()
    },
  })
  try {
    const get = async (name: string): Promise<unknown> => (await client.config('GET', name)).at(1)
    assert.equal(await get('maxmemory-policy'), 'noeviction')
    assert.equal(await get('appendonly'), 'yes')
    assert.equal(await get('save'), '900 1 300 100')
    assert.equal(await get('maxmemory'), String(1024 ** 3))
  } finally {
    client.disconnect()
    await daemon.stop()
  }
})
