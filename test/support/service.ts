/** The service as a child process, the way a user runs it: environment in, HTTP out. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePorts } from './provision/ports.ts'
import { freshBucket, freshDatabase, freshPrefix, type TestS3, testServices } from './services.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const MAIN = join(ROOT, 'server', 'main.ts')
const COMPILED = join(ROOT, '.cache', 'compiled')
/** As the scripts of package.json and the image start it. */
const NODE_FLAGS = ['--max-semi-space-size=16']
const START_MS = 60_000
const OUTPUT_KEPT = 256 * 1024

/** Variables of a process; an undefined one is left out. */
export type Env = Readonly<Record<string, string | undefined>>

/** What instances of the production mode share, and nothing else does. */
export interface World {
  /** Everything that the production mode must be told, without a port. */
  readonly env: Readonly<Record<string, string>>
  readonly s3: TestS3
  readonly bucket: string
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly redisPrefix: string
  /** Removes bucket, database and Redis keys; stop the instances first. */
  remove(): Promise<void>
}

/** A service that was started. */
export interface RunningService {
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Resolves when the process is gone. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  /** The end of what it wrote to its standard streams. */
  logs(): string
  /** Sends a signal (default SIGKILL) and waits until the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** SIGTERM; resolves with the exit code. Fails with the log when it needs more than 20 s. */
  stop(): Promise<number | null>
}

/** How a service is started. */
export interface ServiceOptions {
  readonly mode: 'embedded' | 'production'
  /** Added to the base of the mode: for production a `World`'s env, for embedded DATA_DIR. */
  readonly env: Env
  /** Default: a free one. Give the old one to start an instance again where it was. */
  readonly port?: number
  /** The script to run; default server/main.ts. */
  readonly main?: string
}

/** A fresh database, bucket and Redis prefix, with the environment that leads to them. */
export async function freshWorld(s3: TestS3 | undefined = testServices().s3[0]): Promise<World> {
  if (s3 === undefined) throw new Error('no S3 store to test against')
  const { redisUrl } = testServices()
  const [database, bucket] = await Promise.all([freshDatabase(), freshBucket(s3)])
  const redisPrefix = freshPrefix('r')
  const env = {
    NODE_ENV: 'production',
    AUTH_MODE: 'none',
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
    S3_FORCE_PATH_STYLE: 'true',
    DATABASE_URL: database.url,
    DB_POOL_MIN: '1',
    DB_POOL_MAX: '10',
    REDIS_URL: redisUrl,
    REDIS_PREFIX: redisPrefix,
    REDIS_POOL_MIN: '1',
    REDIS_POOL_MAX: '5',
    MEMORY_LIMIT_MB: '512',
  }
  const remove = async (): Promise<void> => {
    await Promise.all([database.drop(), bucket.cleanup(), removeKeys(redisUrl, redisPrefix)])
  }
  return { env, s3, bucket: bucket.name, databaseUrl: database.url, redisUrl, redisPrefix, remove }
}

async function removeKeys(url: string, prefix: string): Promise<void> {
  const redis = new Redis(url)
  try {
    for await (const keys of redis.scanStream({ match: `*${prefix}*`, count: 1000 })) {
      if (Array.isArray(keys) && keys.length > 0) await redis.unlink(...keys.map(String))
    }
  } finally {
    redis.disconnect()
  }
}

/** A data directory for the embedded mode. */
export async function freshDataDir(): Promise<{ dir: string; remove: () => Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'upload-data-'))
  return { dir, remove: () => rm(dir, { recursive: true, force: true, maxRetries: 5 }) }
}

/**
 * Nothing of the developer's own environment may reach the service, except what a program needs to run. Compiled code is
 * kept from start to start: a test run starts hundreds of services.
 */
export function surroundings(): Env {
  const { PATH, HOME, TMPDIR } = process.env
  return { PATH, HOME, TMPDIR, NODE_COMPILE_CACHE: COMPILED }
}

async function readyStatus(url: string): Promise<number> {
  try {
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(5_000) })
    await answer.arrayBuffer()
    return answer.status
  } catch {
    return 0
  }
}

/** Starts the service and resolves when `/readyz` answers 200; fails with its log when it ends or takes too long. */
export async function startService(options: ServiceOptions): Promise<RunningService> {
  const port = options.port ?? (await freePorts(1))[0] ?? 0
  const url = `http://127.0.0.1:${port}`
  const args = options.mode === 'embedded' ? ['--embedded'] : []
  const child = spawn(process.execPath, [...NODE_FLAGS, options.main ?? MAIN, ...args], {
    cwd: ROOT,
    env: { ...surroundings(), HOST: '127.0.0.1', ...options.env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_KEPT)
    })
  }
  const lastResort = (): void => void child.kill('SIGKILL')
  process.once('exit', lastResort)
  const exited = once(child, 'exit').then(([code, signal]) => {
    process.removeListener('exit', lastResort)
    return { code, signal }
  })
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    child.kill(signal)
    await exited
  }
  const service: RunningService = {
    url,
    port,
    pid: child.pid ?? 0,
    exited,
    logs: () => output,
    kill,
    stop: () => stopGently(service),
  }
  const deadline = Date.now() + START_MS
  for (;;) {
    const status = await readyStatus(url)
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`the service ended with ${child.exitCode ?? child.signalCode} at its start:\n${output}`)
    }
    if (status === 200) return service
    if (Date.now() > deadline) {
      await kill()
      throw new Error(`the service was not ready after ${START_MS} ms (/readyz: ${status}):\n${output}`)
    }
    await sleep(50)
  }
}

async function stopGently(service: RunningService): Promise<number | null> {
  const limit = new AbortController()
  const late = sleep(20_000, 'late' as const, { signal: limit.signal }).catch(() => 'late' as const)
  const ended = service.kill('SIGTERM').then(() => 'ended' as const)
  const outcome = await Promise.race([ended, late])
  limit.abort()
  if (outcome === 'ended') return (await service.exited).code
  await service.kill()
  throw new Error(`the service did not stop within 20 s of SIGTERM:\n${service.logs().slice(-8_000)}`)
}
