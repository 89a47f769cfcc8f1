/**
 * The service under test as a process, on either kind of store. A backend is a database, a bucket and a prefix of
 * its own (embedded: a data directory); services are started on it, one after another or side by side.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freshBucket, freshDatabase, freshPrefix, type TestS3, testServices } from '../../support/services.ts'
import { eventually, Tus } from './tus.ts'
import { filesView, type Insight, productionInsight } from './views.ts'
import { send } from './wire.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const START_MS = 60_000

export type Env = Readonly<Record<string, string>>

export interface Store {
  /** Keys (or files) whose name has the upload's id. */
  objectsOf(path: string): Promise<string[]>
}

export interface Events {
  /** The upload entered `uploaded` exactly once. Where the outbox cannot be read from outside: it is finished. */
  uploadedOnce(path: string): Promise<void>
}

export interface Service {
  readonly origin: string
  readonly tus: Tus
  readonly pid: number
  readonly store: Store
  readonly events: Events
  /** Exit code, or null after a signal. */
  readonly exited: Promise<number | null>
  signal(name: NodeJS.Signals): void
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>
  /** SIGKILL, and until the process is gone. */
  kill(): Promise<void>
  /** A new process with the same settings on the same port. */
  again(): Promise<Service>
  output(): string
}

export interface Backend {
  readonly name: string
  readonly production: boolean
  readonly env: Env
  /** Row, session and store as seen from outside; null on the embedded one. */
  readonly insight: Insight | null
  /** Everything that is kept of one upload, comparable with deepEqual. */
  view(service: Service, path: string): Promise<unknown>
  start(extra?: Env): Promise<Service>
  /** Stops what still runs and removes everything. */
  close(): Promise<void>
}

export function idOf(path: string): string {
  return path.split('/').pop() ?? ''
}

export async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  await new Promise((resolve) => server.close(resolve))
  return address.port
}

function surroundings(): Env {
  const { PATH = '', HOME = '', TMPDIR } = process.env
  return { PATH, HOME, ...(TMPDIR === undefined ? {} : { TMPDIR }) }
}

async function serves(origin: string, child: ChildProcess, output: () => string): Promise<void> {
  const deadline = Date.now() + START_MS
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`the service ended with ${child.exitCode ?? child.signalCode} at its start:\n${output()}`)
    }
    const status = await send(origin, 'GET', '/readyz').then(
      (answer) => answer.status,
      () => 0,
    )
    if (status === 200) return
    if (Date.now() > deadline)
      throw new Error(`the service is not ready after ${START_MS} ms (${status}):\n${output()}`)
    await sleep(50)
  }
}

interface Rig {
  readonly args: readonly string[]
  readonly env: Env
  readonly store: Store
  readonly uploadedOnce: (tus: Tus, path: string) => Promise<void>
  readonly running: Set<ChildProcess>
}

async function launch(rig: Rig, port: number): Promise<Service> {
  const origin = `http://127.0.0.1:${port}`
  const child = spawn(process.execPath, [join(ROOT, 'server/main.ts'), ...rig.args], {
    cwd: ROOT,
    env: { ...surroundings(), ...rig.env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  rig.running.add(child)
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      lines.push(text)
      if (lines.length > 2000) lines.splice(0, 1000)
    })
  }
  const output = () => lines.join('').slice(-8000)
  const exited = new Promise<number | null>((resolve) => {
    child.on('exit', (code) => {
      rig.running.delete(child)
      resolve(code)
    })
  })
  await serves(origin, child, output)
  const tus = new Tus(origin)
  return {
    origin,
    tus,
    pid: child.pid ?? 0,
    store: rig.store,
    events: { uploadedOnce: (path) => rig.uploadedOnce(tus, path) },
    exited,
    output,
    signal: (name) => void child.kill(name),
    stop: () => {
      child.kill('SIGTERM')
      return exited
    },
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
    again: () => launch(rig, port),
  }
}

async function end(running: Set<ChildProcess>): Promise<void> {
  await Promise.all(
    [...running].map(async (child) => {
      const gone = new Promise((resolve) => child.on('exit', resolve))
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await gone
    }),
  )
}

async function isFinished(tus: Tus, path: string): Promise<void> {
  await eventually(async () => {
    const { state } = await tus.info(path)
    return state === 'uploaded' || state === 'processing' || state === 'available'
  }, `${path} finished`)
}

/** Redis, Postgres and this S3 store. */
export async function productionBackend(s3: TestS3): Promise<Backend> {
  const { redisUrl } = testServices()
  const database = await freshDatabase()
  const bucket = await freshBucket(s3)
  const prefix = freshPrefix('r')
  const insight = productionInsight({ s3, bucket: bucket.name, databaseUrl: database.url, redisUrl, prefix })
  const running = new Set<ChildProcess>()
  const env: Env = {
    NODE_ENV: 'test',
    AUTH_MODE: 'none',
    HOST: '127.0.0.1',
    STORAGE: 's3',
    COORDINATION: 'redis',
    DATABASE: 'postgres',
    QUEUE: 'redis',
    WORKER_IN_SERVER: 'true',
    S3_ENDPOINT: s3.endpoint,
    S3_REGION: s3.region,
    S3_BUCKET: bucket.name,
    S3_ACCESS_KEY_ID: s3.accessKeyId,
    S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
    DATABASE_URL: database.url,
    DB_POOL_MIN: '1',
    DB_POOL_MAX: '10',
    REDIS_URL: redisUrl,
    REDIS_PREFIX: prefix,
    REDIS_POOL_MIN: '1',
    REDIS_POOL_MAX: '5',
    MEMORY_LIMIT_MB: '512',
  }
  const store: Store = { objectsOf: (path) => insight.keysOf(idOf(path)) }
  const uploadedOnce = async (tus: Tus, path: string): Promise<void> => {
    await isFinished(tus, path)
    assert.deepEqual(await insight.eventsOf(idOf(path), 'upload.uploaded'), ['upload.uploaded'])
  }
  return {
    name: s3.name,
    production: true,
    env,
    insight,
    view: (_service, path) => insight.viewOf(idOf(path)),
    start: async (extra = {}) =>
      launch({ args: [], env: { ...env, ...extra }, store, uploadedOnce, running }, await freePort()),
    close: async () => {
      await end(running)
      await insight.close()
      await bucket.cleanup()
      await database.drop()
    },
  }
}

/** Files, memory and PGlite in a directory of its own: one service at a time. */
export async function embeddedBackend(): Promise<Backend> {
  const directory = await mkdtemp(join(tmpdir(), 'uploads-'))
  const running = new Set<ChildProcess>()
  const env: Env = { NODE_ENV: 'test', HOST: '127.0.0.1', DATA_DIR: directory, MEMORY_LIMIT_MB: '1024' }
  const store: Store = {
    objectsOf: async (path) => (await filesView(directory, idOf(path))).map(({ name }) => name),
  }
  return {
    name: 'embedded',
    production: false,
    env,
    insight: null,
    view: async ({ tus }, path) => ({ info: await tus.info(path), files: await filesView(directory, idOf(path)) }),
    start: async (extra = {}) =>
      launch(
        { args: ['--embedded'], env: { ...env, ...extra }, store, uploadedOnce: isFinished, running },
        await freePort(),
      ),
    close: async () => {
      await end(running)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The stores to run a suite on: production on SeaweedFS, and embedded. */
export const BACKENDS: readonly { readonly name: string; readonly open: () => Promise<Backend> }[] = [
  { name: 'production, seaweedfs', open: () => productionBackend(storeNamed('seaweedfs')) },
  { name: 'embedded', open: embeddedBackend },
]

export function storeNamed(name: TestS3['name']): TestS3 {
  const found = testServices().s3.find((s3) => s3.name === name)
  assert.ok(found, `no S3 store named ${name}`)
  return found
}
