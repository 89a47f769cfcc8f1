/**
 * The main job, end to end: tus-js-client with its default retries sends a real file of more than 100 MB in 1 MiB
 * chunks while connections are cut and a process is killed in mid-chunk. The client must report no failure, the
 * stored object must be the file, the row `available`, the finish recorded once and its job done once.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import pg from 'pg'
import type { UploadOptions } from 'tus-js-client'
import { startBalancer } from '../support/balancer.ts'
import { freshDataDir, freshWorld, type RunningService, startService } from '../support/service.ts'
import { s3Client } from '../support/services.ts'
import { clientOf, streamSource } from './support/client.ts'

const FILE = join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'node')
const SIZE = statSync(FILE).size
const MIB = 1024 * 1024
const ENV = { MAX_FILE_SIZE: String(512 * MIB) }

async function sha256(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of stream) hash.update(chunk)
  return hash.digest('hex')
}

/** Uploads the file; resolves with the path of the upload. What the client reports as failure rejects. */
function send(origin: string, options: Partial<UploadOptions> = {}): Promise<string> {
  const run = clientOf(origin, streamSource(createReadStream(FILE)), {
    chunkSize: MIB,
    uploadSize: SIZE,
    ...options,
  })
  run.upload.start()
  return run.done
}

async function record(origin: string, path: string): Promise<{ state: string; sha256: string | null }> {
  const answer = await fetch(`${origin}${path}/info`)
  const body: unknown = await answer.json()
  assert.ok(typeof body === 'object' && body !== null && 'state' in body && 'sha256' in body)
  return { state: String(body.state), sha256: body.sha256 === null ? null : String(body.sha256) }
}

async function available(origin: string, path: string): Promise<{ state: string; sha256: string | null }> {
  const deadline = Date.now() + 60_000
  for (;;) {
    const now = await record(origin, path)
    if (now.state === 'available' || Date.now() > deadline) return now
    await sleep(100)
  }
}

describe('the main job', () => {
  test('two instances on real Redis, Postgres and S3: three cuts and a kill -9 in mid-chunk', {
    timeout: 240_000,
  }, async (t) => {
    assert.ok(SIZE > 100_000_000, 'the file is a real one of 100 MB or more')
    const world = await freshWorld()
    const start = () => startService({ mode: 'production', env: { ...world.env, ...ENV } })
    const instances: RunningService[] = [await start(), await start()]
    const balancer = await startBalancer(instances.map(({ url }) => url))
    t.after(async () => {
      await balancer.close()
      await Promise.all(instances.map((instance) => instance.kill()))
      await world.remove()
    })

    const faults = [
      balancer.cut({ afterBytes: 300_000, skip: 9 }),
      balancer.cut({ afterBytes: 777_777, skip: 12 }),
      balancer.when({ afterBytes: 500_000, skip: 12 }, ({ target }) => void instances[target]?.kill()),
      balancer.cut({ afterBytes: 1, skip: 20 }),
    ] as const
    const path = await send(balancer.url)
    const [first, second, killed, third] = await Promise.all(faults)
    assert.deepEqual([first?.wasCut, second?.wasCut, third?.wasCut], [true, true, true])
    const dead = instances[killed?.target ?? -1]
    const alive = instances.find((instance) => instance !== dead)
    assert.ok(dead && alive)
    assert.equal((await dead.exited).signal, 'SIGKILL')

    const source = await sha256(createReadStream(FILE))
    const { state, sha256: recorded } = await available(alive.url, path)
    assert.equal(state, 'available')
    assert.equal(recorded, source)

    const id = path.split('/').at(-1) ?? ''
    const db = new pg.Client({ connectionString: world.databaseUrl })
    await db.connect()
    const { rows } = await db.query('select object_key, bucket from uploads where id = $1', [id])
    const s3 = s3Client(world.s3)
    const object = await s3.send(new GetObjectCommand({ Bucket: rows[0].bucket, Key: rows[0].object_key }))
    assert.ok(object.Body)
    assert.equal(await sha256(object.Body.transformToWebStream()), source)

    const finished = "select count(*)::int as n from outbox where upload_id = $1 and type = 'upload.uploaded'"
    assert.equal((await db.query(finished, [id])).rows[0].n, 1)
    assert.equal((await db.query(`${finished} and done_at is not null`, [id])).rows[0].n, 1)
    const processed = "select count(*)::int as n from outbox where upload_id = $1 and type = 'upload.available'"
    assert.equal((await db.query(processed, [id])).rows[0].n, 1)
    await db.end()
    s3.destroy()
  })

  test('the embedded mode: a kill -9 in mid-upload and a new start', { timeout: 180_000 }, async (t) => {
    const data = await freshDataDir()
    const env = { DATA_DIR: data.dir, ...ENV }
    let service = await startService({ mode: 'embedded', env })
    const balancer = await startBalancer([service.url])
    t.after(async () => {
      await balancer.close()
      await service.kill()
      await data.remove()
    })
    const killed = balancer.when({ afterBytes: 500_000, skip: 40 }, () => {
      void service.kill().then(async () => {
        service = await startService({ mode: 'embedded', env, port: service.port })
      })
    })
    // PGlite may take a while to start on a busy machine: the client waits longer than it would by itself.
    const path = await send(balancer.url, { retryDelays: Array.from({ length: 60 }, () => 1000) })
    await killed
    const source = await sha256(createReadStream(FILE))
    const download = await fetch(`${service.url}${path}`)
    assert.ok(download.body)
    assert.equal(await sha256(download.body), source)
    assert.deepEqual(await available(service.url, path), { state: 'available', sha256: source })
  })
})
