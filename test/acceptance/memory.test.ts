/**
 * What many slow clients cost in memory (docs/performance.md): resident memory from /proc every 50 ms stays under a
 * bound and flat, small files are not delayed, and the metrics show what happens. The store takes bytes and keeps none.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freshWorld, type RunningService, startService, type World } from '../support/service.ts'
import { metric } from './settings/stage.ts'
import { ResidentWatch, residentMiB, startCrowd } from './support/crowd.ts'
import { type Sink, startSink } from './support/sink.ts'
import { eventually, patchHeaders, sampleBytes, Tus } from './support/tus.ts'

const LONG = process.env.TEST_LONG === '1'
const KIB = 1024
const MIB = 1024 * KIB

/**
 * The cost table's crowd on an instance with the capacities of `.env.production` and a limit of 512 MiB; and a smaller
 * one with a budget that it would fill four times over, so that one that is not kept would be seen.
 */
const CROWD = LONG
  ? { count: 1000, seconds: 90, limitMb: '512', budgetMb: undefined, bound: () => 512 }
  : { count: 300, seconds: 15, limitMb: '512', budgetMb: '32', bound: (idle: number) => idle + 32 + 90 }

let sink: Sink
let world: World

before(async () => {
  sink = await startSink()
  world = await freshWorld(sink.s3)
})

after(async () => {
  await world?.remove()
  await sink?.stop()
})

function start(env: Readonly<Record<string, string | undefined>>): Promise<RunningService> {
  const capacities = {
    WORKER_IN_SERVER: 'false',
    MAX_CONCURRENT_UPLOADS: '25',
    BUFFER_POOL_SIZE: '32',
    DB_POOL_MIN: '10',
    DB_POOL_MAX: '50',
    REDIS_POOL_MIN: '5',
    REDIS_POOL_MAX: '25',
  }
  return startService({ mode: 'production', env: { ...world.env, ...capacities, ...env } })
}

const { count, seconds } = CROWD
const sample = LONG ? '' : '; TEST_LONG=1: 1,000 for 90 s within 512 MiB'

test(`${count} clients at 64 KiB/s, a tenth of them stalled, for ${seconds} s: memory is bounded and flat${sample}`, async (t) => {
  const service = await start({ MEMORY_LIMIT_MB: CROWD.limitMb, UPLOAD_MEMORY_MB: CROWD.budgetMb })
  t.after(() => service.kill())
  for (let round = 0; round < 50; round++) await new Tus(service.url).post({ length: 100, body: 'x'.repeat(100) })
  const idle = await residentMiB(service.pid)
  const budget = await metric(service, 'upload_memory_budget_bytes')
  const crowd = startCrowd({
    origin: service.url,
    count,
    stalled: count / 10,
    bytesASecond: 64 * KIB,
    firstBytes: 64 * KIB,
    seconds,
  })
  await crowd.open
  const watch = new ResidentWatch(service.pid)
  const gauges: { used: number; waiting: number }[] = []
  const asking = new AbortController()
  const asked = (async () => {
    while (!asking.signal.aborted) {
      const [used, waiting] = await Promise.all([
        metric(service, 'upload_memory_bytes'),
        metric(service, 'upload_sockets_waiting'),
      ])
      gauges.push({ used, waiting })
      await sleep(500)
    }
  })()
  const report = await crowd.report.finally(() => asking.abort())
  await watch.stop()
  await asked

  const middle = watch.mean(1 / 3, 2 / 3)
  const end = watch.mean(2 / 3, 1)
  const slowest = Math.max(...report.smallMs)
  const most = Math.max(...gauges.map(({ used }) => used))
  const waiting = Math.max(...gauges.map((gauge) => gauge.waiting))
  const rate = report.sentBytes / seconds / (count * 0.9) / KIB
  const seen = `idle ${idle.toFixed()}, middle ${middle.toFixed()}, end ${end.toFixed()}, peak ${watch.peak.toFixed()} MiB of ${watch.samples.length} samples; ${rate.toFixed(1)} KiB/s each; ${report.smallMs.length} small files, slowest ${slowest.toFixed()} ms; at most ${(most / MIB).toFixed(1)} of ${budget / MIB} MiB and ${waiting} sockets waiting`
  t.diagnostic(seen)

  // In the long run those that stalled are cut after the idle timeout (60 s), in the short one nobody is.
  const cut = new Set(report.faults.map((fault) => fault.split(':')[0] ?? ''))
  assert.deepEqual([...cut].sort(), LONG ? [...report.stalled].sort() : [], `${seen}\n${report.faults.slice(0, 5)}`)
  assert.ok(watch.peak <= CROWD.bound(idle), `resident memory went past ${CROWD.bound(idle).toFixed()} MiB: ${seen}`)
  assert.ok(end <= middle * 1.05 + 8, `resident memory grows: ${seen}`)
  assert.ok(most > 0 && most <= budget, `upload bytes in memory are over their budget: ${seen}`)
  assert.ok(report.smallMs.length >= seconds, `only ${report.smallMs.length} small files in ${seconds} s: ${seen}`)
  assert.ok(slowest < 5000, `small files wait for slow clients: ${seen}`)
  assert.ok(report.sentBytes > seconds * count * 0.9 * 16 * KIB, `slow clients did not get on: ${seen}`)
  assert.ok(waiting > 0, `the budget was never spent: ${seen}`)
  assert.ok((await metric(service, 'hold_flush_total{reason="memory"}')) > 0, 'the flushes are counted')
  assert.ok((await metric(service, 'hold_flushed_bytes_total{reason="memory"}')) > 0)
  await eventually(async () => (await metric(service, 'upload_memory_bytes')) === 0, 'all of it is given back', 60_000)
  assert.equal(await metric(service, 'upload_sockets_waiting'), 0)
  for (const path of report.stalled.slice(0, 10)) {
    assert.equal(await new Tus(service.url).offset(path), 64 * KIB, 'what a stalled client sent is kept')
  }
})

const gibs = LONG ? 200 : 1
const shorter = LONG ? '' : '; TEST_LONG=1: 200 GiB in segments of 5 GiB'
const segment = LONG ? {} : { SEGMENT_PARTS: '16', MAX_FILE_SIZE: String(4 * 1024 ** 3), UPLOAD_MEMORY_MB: '48' }
test(`${gibs} GiB in one PATCH take no more memory at their end than at their beginning${shorter}`, async (t) => {
  const service = await start({ MEMORY_LIMIT_MB: '512', ...segment })
  t.after(() => service.kill())
  const tus = new Tus(service.url)
  const length = gibs * 1024 ** 3
  const path = await tus.create({ length })
  const idle = await residentMiB(service.pid)
  const watch = new ResidentWatch(service.pid)
  const status = await sendMuch(service.url, path, length)
  await watch.stop()
  const middle = watch.mean(1 / 3, 2 / 3)
  const end = watch.mean(2 / 3, 1)
  const seen = `idle ${idle.toFixed()}, middle ${middle.toFixed()}, end ${end.toFixed()}, peak ${watch.peak.toFixed()} MiB of ${watch.samples.length} samples`
  t.diagnostic(seen)
  assert.ok(status === 204 || status === 423, `the PATCH answered ${status}`)
  await eventually(async () => (await tus.offset(path)) === length, 'it is finished', 60_000)
  const { requests } = await sink.counts(world.bucket)
  const segments = LONG ? 40 : 8
  assert.equal(requests.UploadPartCopy, segments, `${segments} segments were put together: ${JSON.stringify(requests)}`)
  // What V8 has not collected yet depends on how fast the bytes come; a quarter of them kept would be far over it.
  assert.ok(watch.peak <= (LONG ? 512 : idle + 48 + 210), seen)
  // A gibibyte is over before the pool is as large as it gets.
  if (LONG) assert.ok(end <= middle * 1.05 + 16, `resident memory grows: ${seen}`)
})

/** One PATCH of the same MiB again and again; returns the status of its answer. */
async function sendMuch(origin: string, path: string, length: number): Promise<number> {
  const piece = Buffer.alloc(MIB, 'much of the same ')
  const req = request(new URL(path, origin), {
    method: 'PATCH',
    headers: patchHeaders(0, { 'Content-Length': `${length}` }),
  })
  const answered = once(req, 'response')
  let isAnswered = false
  void answered.then(
    () => {
      isAnswered = true
    },
    () => {
      isAnswered = true
    },
  )
  for (let sent = 0; sent < length && !isAnswered; sent += piece.length) {
    if (!req.write(piece)) await Promise.race([once(req, 'drain'), answered])
  }
  req.end()
  const [answer] = await answered
  answer.resume()
  return answer.statusCode
}

test('a client that stalls is cut with its bytes kept; one that is slow for five times as long is not', async (t) => {
  const service = await start({ IDLE_TIMEOUT: '2s', MEMORY_LIMIT_MB: '512' })
  t.after(() => service.kill())
  const tus = new Tus(service.url)
  const bytes = sampleBytes(12 * KIB, 'slow')
  const [slow, stalled] = [await tus.create({ length: bytes.length }), await tus.create({ length: bytes.length })]
  const dead = await tus.stalled(stalled, 0, bytes.length, bytes.subarray(0, 5 * KIB))
  const alive = await tus.stalled(slow, 0, bytes.length, bytes.subarray(0, KIB))
  const isCut = dead.answer('PATCH')
  for (let at = KIB; at < bytes.length - KIB; at += KIB) {
    await sleep(1000)
    alive.write(bytes.subarray(at, at + KIB))
  }
  assert.ok((await isCut).status >= 400, 'the stalled body is refused')
  await dead.closed
  assert.equal(await tus.offset(stalled), 5 * KIB)
  alive.write(bytes.subarray(bytes.length - KIB))
  const answer = await alive.answer('PATCH')
  assert.equal(answer.status, 204, `${answer.body}`)
  alive.socket.destroy()
})
