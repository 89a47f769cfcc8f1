/** The servers that are compared, each in a process of its own, each with a bucket of its own in one store. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../test/support/provision/ports.ts'
import { type Env, freshWorld, startService, type World } from '../test/support/service.ts'
import { freshBucket, type TestS3 } from '../test/support/services.ts'

export type ServerName = 'relay' | 'ours' | 'plain' | 'tusd'

/** A server to be measured. */
export interface MeasuredServer {
  readonly name: ServerName
  /** Where uploads are created. */
  readonly url: string
  readonly pid: number
  readonly bucket: string
  kill(): Promise<void>
  /** Ends it and removes its bucket, database and keys. */
  remove(): Promise<void>
}

/** The capacities of `.env.production`; the worker is a process of its own there, too. */
export const OURS: Env = {
  WORKER_IN_SERVER: 'false',
  MAX_CONCURRENT_UPLOADS: '25',
  MEMORY_LIMIT_MB: '2048',
  BUFFER_POOL_SIZE: '100',
  DB_POOL_MIN: '10',
  DB_POOL_MAX: '50',
  REDIS_POOL_MIN: '5',
  REDIS_POOL_MAX: '25',
  // Its look at the whole bucket belongs to no single work.
  SWEEP_EVERY: '10m',
}

/** The service in production mode, in a world that others may share. `keepWorld`: the caller removes it. */
export async function startOurs(world: World, env: Env = {}, keepWorld = false): Promise<MeasuredServer> {
  const service = await startService({ mode: 'production', env: { ...world.env, ...OURS, ...env } })
  return {
    name: 'ours',
    url: `${service.url}/api/v1/uploads`,
    pid: service.pid,
    bucket: world.bucket,
    kill: () => service.kill(),
    async remove() {
      await service.stop()
      if (!keepWorld) await world.remove()
    },
  }
}

async function startScript(name: 'relay' | 'plain', s3: TestS3): Promise<MeasuredServer> {
  const bucket = await freshBucket(s3)
  const env = { ...s3Environment(s3, bucket.name), NODE_ENV: 'production' }
  const service = await startService({ mode: 'production', env, main: join(import.meta.dirname, `${name}.ts`) })
  return {
    name,
    url: `${service.url}/files`,
    pid: service.pid,
    bucket: bucket.name,
    kill: () => service.kill(),
    async remove() {
      await service.kill()
      await bucket.cleanup()
    },
  }
}

function s3Environment(s3: TestS3, bucket: string): Env {
  return {
    S3_ENDPOINT: s3.endpoint,
    S3_REGION: s3.region,
    S3_BUCKET: bucket,
    S3_ACCESS_KEY_ID: s3.accessKeyId,
    S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
  }
}

/** tusd is compared where its binary is on the PATH. */
export const hasTusd = (): boolean => spawnSync('tusd', ['-version'], { stdio: 'ignore' }).status === 0

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    () => true,
    () => false,
  )
}

async function startTusd(s3: TestS3): Promise<MeasuredServer> {
  const bucket = await freshBucket(s3)
  const [port = 0] = await freePorts(1)
  const address = ['-host', '127.0.0.1', '-port', String(port), '-base-path', '/files/']
  const child: ChildProcess = spawn('tusd', [...address, '-s3-bucket', bucket.name, '-s3-endpoint', s3.endpoint], {
    env: {
      PATH: process.env.PATH,
      AWS_REGION: s3.region,
      AWS_ACCESS_KEY_ID: s3.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    },
    stdio: 'ignore',
  })
  const kill = async (): Promise<void> => {
    if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit')
  }
  for (let tries = 0; !(await answers(`http://127.0.0.1:${port}/`)); tries++) {
    if (child.exitCode !== null || tries > 200) throw new Error('tusd did not start')
    await sleep(50)
  }
  return {
    name: 'tusd',
    url: `http://127.0.0.1:${port}/files/`,
    pid: child.pid ?? 0,
    bucket: bucket.name,
    kill,
    async remove() {
      await kill()
      await bucket.cleanup()
    },
  }
}

/** Starts one server on a store. */
export async function startServer(name: ServerName, s3: TestS3, env: Env = {}): Promise<MeasuredServer> {
  switch (name) {
    case 'ours':
      return startOurs(await freshWorld(s3), env)
    case 'tusd':
      return startTusd(s3)
    default:
      return startScript(name, s3)
  }
}
