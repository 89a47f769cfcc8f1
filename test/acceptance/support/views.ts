/** What the service keeps, seen past it: rows in Postgres, sessions in Redis, keys in S3, files on disk. */
import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { PGlite } from '@electric-sql/pglite'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { World } from '../../support/service.ts'
import { s3Client } from '../../support/services.ts'

export interface Insight {
  readonly db: pg.Pool
  readonly redis: Redis
  /** Keys of objects and of open multipart uploads that have the id. */
  keysOf(id: string): Promise<string[]>
  /** Every key of the bucket and every open multipart upload. */
  listing(): Promise<string[]>
  /** Types of the upload's outbox events, in order. */
  eventsOf(id: string, type?: string): Promise<string[]>
  /** Finish events whose job is done. */
  jobsDone(id: string): Promise<number>
  rowOf(id: string): Promise<Record<string, unknown> | undefined>
  /** Row, session and listing of one upload. */
  viewOf(id: string): Promise<unknown>
  /** Rows of all uploads. */
  uploadCount(): Promise<number>
  close(): Promise<void>
}

/** Who holds the upload and until when, and how often that one saved: not the upload's own state. */
const OF_THE_HOLD = new Set(['t', 'h', 'x', 'q'])

async function sessionsOf(redis: Redis, prefix: string, id: string): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {}
  for (const key of (await redis.keys(`*${prefix}*${id}*`)).sort()) {
    if ((await redis.type(key)) !== 'hash') continue
    const hash = await redis.hgetall(key)
    found[key] = Object.fromEntries(Object.entries(hash).filter(([field]) => !OF_THE_HOLD.has(field)))
  }
  return found
}

export function productionInsight(world: World): Insight {
  const db = new pg.Pool({ connectionString: world.databaseUrl, max: 2 })
  db.on('error', () => {})
  const redis = new Redis(world.redisUrl, { lazyConnect: true })
  const client = s3Client(world.s3)
  const Bucket = world.bucket

  async function listing(): Promise<string[]> {
    const found: string[] = []
    let token: string | undefined
    do {
      const page = await client.send(new ListObjectsV2Command({ Bucket, ContinuationToken: token }))
      for (const { Key, Size } of page.Contents ?? []) found.push(`object ${Key} ${Size}`)
      token = page.NextContinuationToken
    } while (token !== undefined)
    const open = await client.send(new ListMultipartUploadsCommand({ Bucket }))
    for (const { Key, UploadId } of open.Uploads ?? []) found.push(`multipart ${Key} ${UploadId}`)
    return found.sort()
  }

  async function rowOf(id: string): Promise<Record<string, unknown> | undefined> {
    return (await db.query('select * from uploads where id = $1', [id])).rows[0]
  }

  const keysOf = async (id: string) => (await listing()).filter((line) => line.includes(id))

  return {
    db,
    redis,
    keysOf,
    listing,
    rowOf,
    eventsOf: async (id, type) => {
      const { rows } = await db.query('select type from outbox where upload_id = $1 order by seq', [id])
      return rows.map((row: { type: string }) => row.type).filter((one) => type === undefined || one === type)
    },
    jobsDone: async (id) => {
      const sql =
        "select count(*) as n from outbox where upload_id = $1 and type = 'upload.uploaded' and done_at is not null"
      return Number((await db.query(sql, [id])).rows[0].n)
    },
    viewOf: async (id) => ({
      row: await rowOf(id),
      session: await sessionsOf(redis, world.redisPrefix, id),
      keys: await keysOf(id),
    }),
    uploadCount: async () => Number((await db.query('select count(*) as n from uploads')).rows[0].n),
    close: async () => {
      redis.disconnect()
      await db.end()
      client.destroy()
    },
  }
}

/** Files below `directory` whose path has the id, with their sizes. */
export async function filesView(directory: string, id: string): Promise<{ name: string; bytes: number }[]> {
  const found: { name: string; bytes: number }[] = []
  // A folder may go while it is listed; then what is there is listed anew.
  const list = () => readdir(directory, { recursive: true, withFileTypes: true })
  for (const entry of await list().catch(list).catch(list)) {
    const name = relative(directory, join(entry.parentPath, entry.name))
    // A record file tells of an upload and has none of its bytes.
    if (!entry.isFile() || !name.includes(id) || name.endsWith('.record')) continue
    const { size } = await stat(join(directory, name)).catch(() => ({ size: -1 }))
    if (size >= 0) found.push({ name, bytes: size })
  }
  return found.sort((a, b) => a.name.localeCompare(b.name))
}

/** The outbox of an embedded service that has stopped: each upload's event types, in order. */
export async function embeddedEvents(dataDir: string): Promise<Map<string, string[]>> {
  const db = await PGlite.create(join(dataDir, 'db'))
  try {
    const { rows } = await db.query<{ upload_id: string; type: string }>(
      'select upload_id, type from outbox order by upload_id, seq',
    )
    return new Map(
      Map.groupBy(rows, (row) => row.upload_id)
        .entries()
        .map(([id, of]) => [id, of.map(({ type }) => type)]),
    )
  } finally {
    await db.close()
  }
}
