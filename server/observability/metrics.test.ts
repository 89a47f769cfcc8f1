import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { ByteStore } from '../uploads/ports/byte-store.ts'
import type { Upload } from '../uploads/words.ts'
import { METRICS } from './metric-table.ts'
import { createMetrics } from './metrics.ts'
import { renderMetricsDocs } from './metrics-docs.ts'
import { observedHttpLog } from './observed-http.ts'
import { observedStore } from './observed-store.ts'

const GIB = 1024 ** 3
const UPLOAD = {} as Upload

function setup() {
  const clock = { ms: 0 }
  const metrics = createMetrics({
    memoryLimitBytes: 2 * GIB,
    nodeMetrics: false,
    now: () => clock.ms,
    residentBytes: () => GIB,
  })
  /** The value behind a name and its labels as they stand in the text; undefined: not there. */
  const value = async (series: string): Promise<number | undefined> => {
    const line = (await metrics.render()).split('\n').find((text) => text.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length))
  }
  return { metrics, clock, value }
}

/** Each of `moves` is series and the value that `act` brings it to. */
async function moved(
  act: (metrics: ReturnType<typeof createMetrics>) => unknown,
  moves: Record<string, number>,
): Promise<void> {
  const { metrics, value } = setup()
  await act(metrics)
  for (const [series, expected] of Object.entries(moves)) assert.equal(await value(series), expected, series)
}

describe('each counter on the path that moves it', () => {
  test('engine', async () => {
    await moved(
      ({ engine }) => {
        // as the engine calls them: without their object
        const { created, finished, terminated, expired, received, held, flushed, outbox } = engine
        created(UPLOAD)
        created(UPLOAD)
        finished(UPLOAD, 1000)
        terminated(UPLOAD)
        expired(UPLOAD)
        received(7)
        received(5)
        held('unclean', 1500)
        held('clean', 1)
        flushed('age', 300)
        flushed('age', 20)
        outbox()
      },
      {
        upload_created_total: 2,
        upload_finished_total: 1,
        upload_finished_bytes_total: 1000,
        upload_terminated_total: 1,
        upload_expired_total: 1,
        upload_received_bytes_total: 12,
        'hold_acquired_total{kind="unclean"}': 1,
        'hold_acquired_total{kind="clean"}': 1,
        'hold_acquired_total{kind="rebuild"}': 0,
        'hold_wait_seconds_bucket{le="1"}': 1,
        'hold_wait_seconds_bucket{le="2"}': 2,
        'hold_flush_total{reason="age"}': 2,
        'hold_flush_total{reason="memory"}': 0,
        'hold_flushed_bytes_total{reason="age"}': 320,
      },
    )
  })

  test('http', async () => {
    await moved(
      ({ http, failed }) => {
        http.started()
        http.started()
        http.finished('append', 'PATCH', 204, 0.3)
        http.started()
        http.finished('append', 'PATCH', 0, 3)
        failed('offset_mismatch')
      },
      {
        http_requests_active: 1,
        'http_request_duration_seconds_bucket{le="0.5",operation="append",status="2xx"}': 1,
        'http_request_duration_seconds_count{operation="append",status="none"}': 1,
        'upload_failed_total{code="offset_mismatch"}': 1,
      },
    )
  })

  test('queue', async () => {
    await moved(
      ({ relay, consumer }) => {
        relay.published(5, false)
        relay.published(2, true)
        relay.failed()
        relay.lag(2500)
        consumer.handled('upload.uploaded', 'done', 400)
        consumer.handled('upload.uploaded', 'dead', 400)
        consumer.step('sha256', 700)
      },
      {
        queue_published_total: 5,
        queue_republished_total: 2,
        queue_publish_failures_total: 1,
        queue_lag_seconds: 2.5,
        'queue_jobs_total{outcome="done"}': 1,
        'queue_jobs_total{outcome="dead"}': 1,
        'queue_jobs_total{outcome="failed"}': 0,
        'queue_job_duration_seconds_bucket{le="0.5",outcome="done"}': 1,
        'queue_step_duration_seconds_bucket{le="1",step="sha256"}': 1,
      },
    )
  })

  test('gauges are read from their sources when the metrics are', async () => {
    const engine = {
      holds: 1,
      appends: 2,
      memoryBytes: 3,
      memoryBudgetBytes: 4,
      socketsWaiting: 5,
      writesInFlight: 6,
      writesWaiting: 7,
      poolBlocks: 8,
    }
    await moved(
      ({ watch }) => {
        watch({ engine: () => engine })
        watch({
          database: () => ({ total: 10, idle: 7, waiting: 1 }),
          redis: () => ({ total: 5, idle: 5, waiting: 0 }),
        })
      },
      {
        hold_active: 1,
        upload_active: 2,
        upload_memory_bytes: 3,
        upload_memory_budget_bytes: 4,
        upload_sockets_waiting: 5,
        storage_writes_in_flight: 6,
        storage_writes_waiting: 7,
        upload_buffer_pool_blocks: 8,
        'db_pool_connections{state="idle"}': 7,
        'db_pool_connections{state="active"}': 3,
        'db_pool_connections{state="waiting"}': 1,
        'redis_connections{state="idle"}': 5,
        'redis_connections{state="active"}': 0,
      },
    )
  })
})

describe("the guide's alerts", () => {
  test('memory_usage_percent is of the limit', async () => {
    assert.equal(await setup().value('memory_usage_percent'), 50)
  })

  test('upload_failure_rate counts our failures of creations and appends, and forgets', async () => {
    const { metrics, clock, value } = setup()
    const { finished } = metrics.http
    assert.equal(await value('upload_failure_rate'), 0)
    for (let n = 0; n < 7; n += 1) finished('append', 'PATCH', 204, 1)
    finished('append', 'PATCH', 503, 1)
    // the client's own faults, a client that left, and other verbs are no failures of ours
    finished('append', 'PATCH', 409, 1)
    finished('create', 'POST', 0, 1)
    finished('inspect', 'HEAD', 503, 1)
    assert.equal(await value('upload_failure_rate'), 0.1)
    clock.ms += 4 * 60_000
    assert.equal(await value('upload_failure_rate'), 0.1)
    finished('create', 'POST', 500, 1)
    clock.ms += 2 * 60_000
    assert.equal(await value('upload_failure_rate'), 1)
    clock.ms += 60 * 60_000
    assert.equal(await value('upload_failure_rate'), 0)
  })
})

test('names beyond the first 64 are counted together', async () => {
  const { metrics } = setup()
  for (let n = 0; n < 100; n += 1) metrics.http.finished(`made-up-${n}`, 'GET', 200, 0.01)
  const counts = (await metrics.render())
    .split('\n')
    .filter((line) => line.startsWith('http_request_duration_seconds_count'))
  assert.equal(counts.length, 65)
  assert.ok(counts.includes('http_request_duration_seconds_count{operation="other",status="2xx"} 36'))
})

test("Node's own figures come along, and two registries do not meet", async () => {
  const [one, two] = [createMetrics({ memoryLimitBytes: GIB }), createMetrics({ memoryLimitBytes: GIB })]
  one.engine.created(UPLOAD)
  assert.match(await one.render(), /^upload_created_total 1$/m)
  assert.match(await two.render(), /^upload_created_total 0$/m)
  const { contentType, body } = await one.http.expose()
  assert.match(contentType, /^text\/plain; version=0\.0\.4/)
  assert.match(body, /^process_resident_memory_bytes \d+/m)
  assert.match(body, /^nodejs_eventloop_lag_seconds /m)
})

test('the log of requests moves the count of failures by code', async () => {
  const { metrics, value } = setup()
  const lines: unknown[] = []
  const log = observedHttpLog({ request: (entry) => lines.push(entry), failure: (error) => lines.push(error) }, metrics)
  const entry = {
    requestId: 'r',
    operation: 'append',
    method: 'PATCH',
    status: 204,
    durationMs: 1,
    uploadId: null,
    tenant: null,
    owner: null,
    remote: '',
    code: null,
    aborted: false,
  }
  const busy = { ...entry, status: 423, code: 'upload_busy' }
  const error = Object.assign(new Error('x'), { code: 'internal' as const, facts: {} })
  log.request(entry)
  log.request(busy)
  log.failure(error, { ...entry, code: 'internal' })
  assert.deepEqual(lines, [entry, busy, error])
  assert.equal(await value('upload_failed_total{code="upload_busy"}'), 1)
  assert.equal(await value('upload_failed_total{code="internal"}'), undefined, 'its request line counts it')
})

describe('a store that is observed', () => {
  function observed(parts: Partial<ByteStore>) {
    const calls: string[] = []
    const { metrics, value } = setup()
    // only what a test calls is there
    const store = observedStore(parts as ByteStore, {
      called(operation, outcome, seconds) {
        calls.push(`${operation} ${outcome}`)
        metrics.storage.called(operation, outcome, seconds)
      },
    })
    return { store, calls, value }
  }

  test('calls pass through with their arguments, and are counted', async () => {
    const seen: unknown[] = []
    const { store, calls, value } = observed({
      bucket: 'b',
      head: async (key) => {
        seen.push(key)
        return { key, bytes: 1, etag: '"e"' }
      },
      remove: async (keys) => void seen.push(keys),
    })
    assert.deepEqual(await store.head('k'), { key: 'k', bytes: 1, etag: '"e"' })
    await store.remove(['a', 'b'])
    assert.deepEqual(seen, ['k', ['a', 'b']])
    assert.equal(store.bucket, 'b')
    assert.deepEqual(calls, ['head ok', 'remove ok'])
    assert.equal(await value('storage_request_duration_seconds_count{operation="head",outcome="ok"}'), 1)
  })

  test('failures are told apart and passed on as they are', async () => {
    const away = Object.assign(new Error('away'), { code: 'store_unavailable' })
    const { store, calls } = observed({
      head: () => Promise.reject(away),
      createMultipart: () => Promise.reject(new Error('bug')),
    })
    await assert.rejects(store.head('k'), (error) => error === away)
    await assert.rejects(store.createMultipart('k', 1), /bug/)
    assert.deepEqual(calls, ['head unavailable', 'create_multipart error'])
  })

  test('a list is counted at its end, also when nobody reads on', async () => {
    const { store, calls } = observed({
      async *list(prefix) {
        yield { key: `${prefix}1`, bytes: 1, etag: '' }
        yield { key: `${prefix}2`, bytes: 1, etag: '' }
      },
    })
    for await (const { key } of store.list('p')) {
      assert.equal(key, 'p1')
      break
    }
    assert.deepEqual(calls, ['list ok'])
  })
})

describe('docs/metrics.md', () => {
  test('is what npm run docs writes', async () => {
    const page = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
    assert.equal(page, renderMetricsDocs(), 'run npm run docs')
  })

  test('every metric is exposed, and units are in the names', async () => {
    const { metrics } = setup()
    const text = await metrics.render()
    for (const [name, row] of Object.entries(METRICS)) {
      assert.match(text, new RegExp(`^# TYPE ${name} ${row.kind}$`, 'm'))
      if (row.kind === 'counter') assert.match(name, /_total$/)
      if (row.kind === 'histogram') assert.match(name, /_seconds$/)
    }
  })
})
