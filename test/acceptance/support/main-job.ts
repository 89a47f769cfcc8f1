/** The main job: a real file of more than 100 MB (or its beginning), and what must be true when it is over. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import pg from 'pg'
import type { UploadOptions } from 'tus-js-client'
import type { World } from '../../support/service.ts'
import { s3Client } from '../../support/services.ts'
import { clientOf, streamSource } from './client.ts'

const FILE = join(import.meta.dirname, '..', '..', '..', 'node_modules', '.bin', 'node')
export const MIB = 1024 * 1024
export const FILE_SIZE = statSync(FILE).size
/** How long work that follows a finish may take. */
const PROCESSED_MS = 60_000

/** The file, or its first `size` bytes. */
export function source(size = FILE_SIZE) {
  return createReadStream(FILE, { end: size - 1 })
}

export async function sha256(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of stream) hash.update(chunk)
  return hash.digest('hex')
}

/** Uploads in chunks of 1 MiB; resolves with the path of the upload. What the client reports as failure rejects. */
export function send(origin: string, options: Partial<UploadOptions> & { size?: number } = {}): Promise<string> {
  const { size = FILE_SIZE, ...more } = options
  const run = clientOf(origin, streamSource(source(size)), { chunkSize: MIB, uploadSize: size, ...more })
  run.upload.start()
  return run.done
}

async function record(origin: string, path: string): Promise<{ state: string; sha256: string | null }> {
  const answer = await fetch(`${origin}${path}/info`)
  const body: unknown = await answer.json()
  assert.ok(typeof body === 'object' && body !== null && 'state' in body && 'sha256' in body)
  return { state: String(body.state), sha256: body.sha256 === null ? null : String(body.sha256) }
}

/** The record once it is `available`, or as it is after a minute. */
export async function available(origin: string, path: string): Promise<{ state: string; sha256: string | null }> {
  const deadline = Date.now() + PROCESSED_MS
  for (;;) {
    const now = await record(origin, path)
    if (now.state === 'available' || Date.now() > deadline) return now
    await sleep(100)
  }
}

/** The stored object is the file, the row says so, it finished once, and its job was done once. */
export async function assertDone(origin: string, path: string, world: World, size = FILE_SIZE): Promise<void> {
  const expected = await sha256(source(size))
  assert.deepEqual(await available(origin, path), { state: 'available', sha256: expected })
  const id = path.split('/').at(-1) ?? ''
  const db = new pg.Client({ connectionString: world.databaseUrl })
  await db.connect()
  const s3 = s3Client(world.s3)
  try {
    const { rows } = await db.query('select object_key, bucket from uploads where id = $1', [id])
    const object = await s3.send(new GetObjectCommand({ Bucket: rows[0].bucket, Key: rows[0].object_key }))
    assert.ok(object.Body)
    assert.equal(await sha256(object.Body.transformToWebStream()), expected)
    const finished = "select count(*)::int as n from outbox where upload_id = $1 and type = 'upload.uploaded'"
    assert.equal((await db.query(finished, [id])).rows[0].n, 1)
    assert.equal((await db.query(`${finished} and done_at is not null`, [id])).rows[0].n, 1)
    const processed = "select count(*)::int as n from outbox where upload_id = $1 and type = 'upload.available'"
    assert.equal((await db.query(processed, [id])).rows[0].n, 1)
  } finally {
    await db.end()
    s3.destroy()
  }
}
