/**
 * The walk: the serving process is killed by -9 at every S3 request of an upload, before the store hears of it, after
 * the store applied it, and after the answer went back. After each: no acknowledged offset was taken back, the content
 * is the source's, one finish event, and once the orphan sweep has passed nothing is in the bucket but the objects.
 * `npm test` walks a sample of the boundaries; TEST_LONG=1 all of them.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import pg from 'pg'
import { type S3Proxy, startS3Proxy } from '../support/s3-proxy.ts'
import { freshWorld, type RunningService, startService, type World } from '../support/service.ts'
import { s3Client } from '../support/services.ts'
import { idOf, sampleBytes, sha256, Tus } from './support/tus.ts'

const MIB = 1024 * 1024
const PHASES = ['before', 'applied', 'answered'] as const
type Phase = (typeof PHASES)[number]

interface Shape {
  readonly name: string
  readonly bytes: Buffer
  /** Size of each PATCH; 0: the whole file comes with the creation. */
  readonly patchBytes: number
  readonly deferred?: boolean
  /** Share of the boundaries that a short run walks. */
  readonly sample: number
}

const SHAPES: readonly Shape[] = [
  { name: 'one large PATCH', bytes: sampleBytes(17 * MIB + 5, 'walk-large'), patchBytes: 64 * MIB, sample: 0.25 },
  { name: '1 MiB PATCHes', bytes: sampleBytes(9 * MIB + 77, 'walk-small'), patchBytes: MIB, sample: 0.08 },
  { name: 'a 10 KiB file in one POST', bytes: sampleBytes(10_240, 'walk-tiny'), patchBytes: 0, sample: 0.4 },
  {
    name: 'a deferred length',
    bytes: sampleBytes(9 * MIB + 1, 'walk-deferred'),
    patchBytes: 4 * MIB,
    deferred: true,
    sample: 0.1,
  },
]

describe('the walk along every S3 request', { timeout: 1_800_000 }, () => {
  let world: World
  let proxy: S3Proxy
  let env: Record<string, string>
  const instances: RunningService[] = []
  let turn = 0

  before(async () => {
    world = await freshWorld()
    proxy = await startS3Proxy(world.s3.endpoint)
    env = {
      ...world.env,
      S3_ENDPOINT: proxy.url,
      HOLD_LEASE: '1s',
      ORPHAN_SWEEP_EVERY: '1s',
      ORPHAN_AGE: '10s',
      SWEEP_EVERY: '1s',
      WORKER_IN_SERVER: 'false',
      MAX_FILE_SIZE: String(64 * MIB),
    }
    instances.push(await startService({ mode: 'production', env }), await startService({ mode: 'production', env }))
  })
  after(async () => {
    proxy.before = undefined
    proxy.after = undefined
    await Promise.all(instances.map((instance) => instance.kill()))
    await proxy.close()
    await world.remove()
  })

  const target = () => {
    const instance = instances[turn % instances.length]
    assert.ok(instance)
    return instance
  }

  /** Kills the instance that is at its `boundary`th call of an upload, in that phase; then another takes its place. */
  function arm(boundary: number, phase: Phase): { readonly done: () => Promise<void>; readonly fired: () => boolean } {
    let calls = 0
    let killed: Promise<void> | null = null
    const kill = () => {
      const index = turn % instances.length
      const victim = instances[index]
      killed = (async () => {
        await victim?.kill()
        instances[index] = await startService({ mode: 'production', env, port: victim?.port ?? 0 })
      })()
    }
    // Listings of the sweepers are not part of the upload.
    const counts = (operation: string) => !operation.startsWith('List') && operation !== 'HeadBucket'
    const seen = new WeakMap<object, number>()
    proxy.before = async (call) => {
      if (!counts(call.operation)) return undefined
      seen.set(call, calls++)
      if (phase !== 'before' || seen.get(call) !== boundary || killed) return undefined
      kill()
      await sleep(50)
      return { kind: 'drop' }
    }
    proxy.after = async (call) => {
      if (seen.get(call) !== boundary || killed) return undefined
      if (phase === 'applied') {
        kill()
        await sleep(50)
        return { kind: 'drop' }
      }
      setTimeout(kill, 5)
      return undefined
    }
    return {
      fired: () => killed !== null,
      done: async () => {
        await sleep(10)
        proxy.before = undefined
        proxy.after = undefined
        await killed
      },
    }
  }

  /** A client that asks before it goes on, at the other instance when one does not answer. Returns the upload's path. */
  async function upload(shape: Shape): Promise<string> {
    const { bytes, patchBytes } = shape
    const whole = patchBytes === 0
    const path = await persist(async (tus) => {
      const options = whole
        ? { length: bytes.length, body: bytes }
        : shape.deferred
          ? { defer: true }
          : { length: bytes.length }
      const answer = await tus.post(options)
      return answer.status === 201 ? new URL(answer.headers.location ?? '', tus.origin).pathname : null
    })
    if (whole) return path
    let acknowledged = 0
    for (;;) {
      const offset = await persist(async (tus) => {
        const head = await tus.head(path)
        if (head.status === 423) return null
        assert.equal(head.status, 200, `HEAD answered ${head.status}`)
        return Number(head.headers['upload-offset'])
      })
      assert.ok(offset >= acknowledged, `HEAD says ${offset} after ${acknowledged} was acknowledged`)
      acknowledged = offset
      if (offset === bytes.length) return path
      const sent = await onward(shape, path, offset).catch(() => null)
      if (sent === null) turn++
      else acknowledged = sent
    }
  }

  /** PATCHes from `offset` on until one is not answered 204. Resolves with what was acknowledged. */
  async function onward({ bytes, patchBytes, deferred }: Shape, path: string, from: number): Promise<number> {
    let offset = from
    while (offset < bytes.length) {
      const end = Math.min(bytes.length, offset + patchBytes)
      const last = deferred && end === bytes.length ? { 'Upload-Length': String(bytes.length) } : {}
      const answer = await new Tus(target().url).patch(path, offset, bytes.subarray(offset, end), last)
      if (answer.status !== 204) {
        assert.ok([409, 423, 503].includes(answer.status), `PATCH answered ${answer.status}: ${answer.body}`)
        await sleep(200)
        return offset
      }
      offset = Number(answer.headers['upload-offset'])
    }
    return offset
  }

  async function persist<T>(ask: (tus: Tus) => Promise<T | null>): Promise<T> {
    const deadline = Date.now() + 60_000
    for (;;) {
      const answer = await ask(new Tus(target().url)).catch((error) => {
        if (error instanceof assert.AssertionError) throw error
        return null
      })
      if (answer !== null) return answer
      assert.ok(Date.now() < deadline, 'no answer within a minute')
      turn++
      await sleep(200)
    }
  }

  async function finishEvents(path: string): Promise<number> {
    const db = new pg.Client({ connectionString: world.databaseUrl })
    await db.connect()
    const { rows } = await db.query(
      "select count(*)::int as n from outbox where upload_id = $1 and type = 'upload.uploaded'",
      [idOf(path)],
    )
    await db.end()
    return rows[0].n
  }

  for (const shape of SHAPES) {
    test(shape.name, async (t) => {
      proxy.reset()
      const clean = await upload(shape)
      const steps = proxy.calls.filter(({ key }) => key.includes(idOf(clean)))
      const boundaries = steps.length
      assert.ok(boundaries > 0)
      let walked = 0
      for (let boundary = 0; boundary < boundaries; boundary++) {
        for (const [index, phase] of PHASES.entries()) {
          // The same sample each time: spread evenly over boundaries and phases.
          const place = boundary * PHASES.length + index
          const every = Math.max(1, Math.round(1 / shape.sample))
          if (process.env.TEST_LONG !== '1' && place % every !== every - 1) continue
          const armed = arm(boundary, phase)
          const path = await upload(shape)
          await armed.done()
          assert.ok(armed.fired(), `the ${boundary}th request was reached`)
          const tus = new Tus(target().url)
          const download = await persist(async () => {
            const answer = await fetch(`${tus.origin}${path}`)
            return answer.status === 200 ? Buffer.from(await answer.arrayBuffer()) : null
          })
          assert.equal(sha256(download), sha256(shape.bytes), `content after ${phase} at ${boundary}`)
          assert.equal(await finishEvents(path), 1, `finish events after ${phase} at ${boundary}`)
          walked++
        }
      }
      t.diagnostic(`${walked} of ${boundaries * PHASES.length} places walked`)
    })
  }

  test('nothing is left in the bucket but the finished objects', async () => {
    const db = new pg.Client({ connectionString: world.databaseUrl })
    await db.connect()
    const s3 = s3Client(world.s3)
    const left = async () => {
      const named = await db.query("select object_key from uploads where object_key is not null and state = 'uploaded'")
      // Creations whose answer was lost are uploads too: they expire in their own time.
      const open = await db.query("select id from uploads where state in ('created', 'receiving', 'finishing')")
      const keys = new Set(named.rows.map((row) => row.object_key))
      const ids: string[] = open.rows.map((row) => row.id)
      const objects = await s3.send(new ListObjectsV2Command({ Bucket: world.bucket }))
      const multiparts = await s3.send(new ListMultipartUploadsCommand({ Bucket: world.bucket }))
      const all = [...(objects.Contents ?? []), ...(multiparts.Uploads ?? [])].map(({ Key }) => Key ?? '')
      return all.filter((key) => !keys.has(key) && !ids.some((id) => key.includes(id)))
    }
    const deadline = Date.now() + 60_000
    while ((await left()).length > 0 && Date.now() < deadline) await sleep(500)
    assert.deepEqual(await left(), [])
    await db.end()
    s3.destroy()
  })
})
