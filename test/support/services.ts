import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3'
import pg from 'pg'

/** One S3 store of the tests. `seaweedfs` has the full feature set with quirks, `versitygw` the strict protocol. */
export interface TestS3 {
  readonly name: 'seaweedfs' | 'versitygw'
  readonly endpoint: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly region: string
}

/** The real services that the tests run against. */
export interface TestServices {
  readonly redisUrl: string
  /** A database in which databases may be created. */
  readonly databaseUrl: string
  readonly s3: readonly TestS3[]
}

/** Where `npm run services` says what it started. */
export const SERVICES_FILE = join(import.meta.dirname, '..', '..', '.cache', 'services.json')

/** What the environment names of the services; the rest is undefined. */
export function servicesFromEnvironment(env: NodeJS.ProcessEnv = process.env): Partial<TestServices> & {
  readonly s3: readonly TestS3[]
} {
  const store = (name: TestS3['name'], endpoint: string | undefined): TestS3[] =>
    endpoint
      ? [
          {
            name,
            endpoint,
            accessKeyId: env.TEST_S3_ACCESS_KEY ?? 'test-access',
            secretAccessKey: env.TEST_S3_SECRET_KEY ?? 'test-secret',
            region: env.TEST_S3_REGION ?? 'us-east-1',
          },
        ]
      : []
  return {
    ...(env.TEST_REDIS_URL ? { redisUrl: env.TEST_REDIS_URL } : {}),
    ...(env.TEST_DATABASE_URL ? { databaseUrl: env.TEST_DATABASE_URL } : {}),
    s3: [...store('seaweedfs', env.TEST_S3_ENDPOINT), ...store('versitygw', env.TEST_S3_STRICT_ENDPOINT)],
  }
}

function servicesFromFile(): Partial<TestServices> {
  try {
    const known: { services: TestServices; pid: number } = JSON.parse(readFileSync(SERVICES_FILE, 'utf8'))
    process.kill(known.pid, 0)
    return known.services
  } catch {
    return {}
  }
}

/**
 * The services, from TEST_* in the environment, else from a running `npm run services`.
 * Throws with what to do when there are none.
 */
export function testServices(): TestServices {
  const given = servicesFromEnvironment()
  const running = servicesFromFile()
  const redisUrl = given.redisUrl ?? running.redisUrl
  const databaseUrl = given.databaseUrl ?? running.databaseUrl
  const named = (running.s3 ?? []).filter((s3) => !given.s3.some((other) => other.name === s3.name))
  const s3 = [...given.s3, ...named].sort((a, b) => a.name.localeCompare(b.name))
  if (redisUrl === undefined || databaseUrl === undefined || s3.length < 2) {
    throw new Error('No services to test against: run `npm run services -- --detach` first, or use `npm test`.')
  }
  return { redisUrl, databaseUrl, s3 }
}

/** A word that no other test uses, safe in names of databases, buckets and keys. */
export function freshPrefix(word = 't'): string {
  return `${word}${Date.now().toString(36)}${randomBytes(5).toString('hex')}`
}

async function administer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: testServices().databaseUrl })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

/** Creates an empty database of its own. `drop` also ends connections that are still open. */
export async function freshDatabase(): Promise<{ url: string; name: string; drop: () => Promise<void> }> {
  const name = freshPrefix('db')
  await administer(`create database ${name}`)
  const url = new URL(testServices().databaseUrl)
  url.pathname = `/${name}`
  return { url: url.href, name, drop: () => administer(`drop database if exists ${name} with (force)`) }
}

/** A client for a store of the tests; destroy it when done. */
export function s3Client(s3: TestS3): S3Client {
  return new S3Client({
    endpoint: s3.endpoint,
    region: s3.region,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
    forcePathStyle: true,
  })
}

/** Creates a bucket of its own. `cleanup` removes it with everything in it, open multipart uploads included. */
export async function freshBucket(s3: TestS3): Promise<{ name: string; cleanup: () => Promise<void> }> {
  const name = freshPrefix('b')
  const client = s3Client(s3)
  try {
    await client.send(new CreateBucketCommand({ Bucket: name }))
  } finally {
    client.destroy()
  }
  return { name, cleanup: () => removeBucket(s3, name) }
}

async function removeBucket(s3: TestS3, Bucket: string): Promise<void> {
  const client = s3Client(s3)
  try {
    const open = await client.send(new ListMultipartUploadsCommand({ Bucket }))
    for (const { Key, UploadId } of open.Uploads ?? []) {
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
    }
    for (;;) {
      const page = await client.send(new ListObjectsV2Command({ Bucket }))
      const Objects = (page.Contents ?? []).map(({ Key }) => ({ Key }))
      if (Objects.length === 0) break
      await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }))
    }
    await client.send(new DeleteBucketCommand({ Bucket }))
  } finally {
    client.destroy()
  }
}
