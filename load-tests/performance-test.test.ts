/**
 * k6 itself is not run here. Its script is, by Node, with k6's modules replaced by a tus server in this process: what it
 * sends, what it compares, and which of its metrics move.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { registerHooks } from 'node:module'
import { afterEach, test } from 'node:test'

interface Answer {
  status: number
  error: string
  headers: Record<string, string>
  body: string | ArrayBuffer | null
  timings: { duration: number }
}
type Fault = 'none' | 'wrong byte' | 'forgets' | 'fails' | 'loses its record'
interface Params {
  headers?: Record<string, string>
  timeout?: string
}

const URL_ = 'http://service.example/api/v1/uploads'
const world = {
  fault: 'none' as Fault,
  uploads: new Map<string, { length: number; bytes: Uint8Array }>(),
  samples: new Map<string, { value: number | boolean; tags: Record<string, string> }[]>(),
  deleted: 0,
  requests: [] as { method: string; url: string; params: Params }[],
}

function answer(status: number, headers: Record<string, string> = {}, body: Answer['body'] = null): Answer {
  return { status, error: status === 0 ? 'request timeout' : '', headers, body, timings: { duration: 7 } }
}

function stored(url: string) {
  const upload = world.uploads.get(url.replace(/\/info$/, ''))
  assert.ok(upload, `no upload at ${url}`)
  return upload
}

function note(method: string, url: string, params: Params): void {
  world.requests.push({ method, url, params })
}

const http = {
  post(url: string, _body: null, params: Params): Answer {
    note('POST', url, params)
    const path = `/api/v1/uploads/u${world.uploads.size}`
    const length = Number(params.headers?.['Upload-Length'])
    world.uploads.set(`http://service.example${path}`, { length, bytes: new Uint8Array() })
    return answer(201, { Location: path })
  },
  patch(url: string, body: ArrayBuffer, params: Params): Answer {
    note('PATCH', url, params)
    const upload = stored(url)
    if (Number(params.headers?.['Upload-Offset']) !== upload.bytes.length) return answer(409)
    if (world.fault === 'fails') return answer(500)
    const cut = params.timeout !== '60s'
    const arrived = new Uint8Array(body).subarray(0, cut ? body.byteLength >> 1 : body.byteLength)
    upload.bytes = Uint8Array.from([...upload.bytes, ...arrived])
    return cut ? answer(0) : answer(204, { 'Upload-Offset': String(upload.bytes.length) })
  },
  head(url: string, params: Params): Answer {
    note('HEAD', url, params)
    const { bytes, length } = stored(url)
    const offset = world.fault === 'forgets' && bytes.length < length ? 0 : bytes.length
    return answer(200, { 'Upload-Offset': String(offset), 'Upload-Length': String(length) })
  },
  get(url: string, params: Params): Answer {
    note('GET', url, params)
    const { bytes, length } = stored(url)
    if (url.endsWith('/info'))
      return world.fault === 'loses its record' ? answer(404) : answer(200, {}, JSON.stringify({ length }))
    const copy = bytes.slice()
    if (world.fault === 'wrong byte') copy[0] = (copy[0] ?? 0) ^ 1
    return answer(200, {}, copy.buffer)
  },
  del(url: string, _body: null, params: Params): Answer {
    note('DELETE', url, params)
    world.deleted += 1
    return answer(204)
  },
}

class Metric {
  readonly name: string
  constructor(name: string) {
    this.name = name
    world.samples.set(name, [])
  }
  add(value: number | boolean, tags: Record<string, string> = {}): void {
    world.samples.get(this.name)?.push({ value, tags })
  }
}

const crypto = {
  sha256: (input: ArrayBuffer) => createHash('sha256').update(new Uint8Array(input)).digest('hex'),
}

Object.assign(globalThis, {
  k6: { http, crypto, Metric, sleep: () => {} },
  __ENV: {
    URL: 'http://service.example/',
    TOKEN: 't',
    SIZE: '1000',
    CHUNK: '100',
    CUTS: '0.5',
    CONCURRENT: '40',
    DURATION: '100',
  },
})
const MODULES: Readonly<Record<string, string>> = {
  k6: 'export const sleep = globalThis.k6.sleep',
  'k6/crypto': 'export default globalThis.k6.crypto',
  'k6/http': 'export default globalThis.k6.http',
  'k6/metrics': 'const { Metric } = globalThis.k6; export { Metric as Counter, Metric as Rate, Metric as Trend }',
}
registerHooks({
  resolve(specifier, context, next) {
    const source = MODULES[specifier]
    if (source === undefined) return next(specifier, context)
    return { url: `data:text/javascript,${encodeURIComponent(source)}`, shortCircuit: true }
  },
})
const script = await import('./performance-test.js')

const sum = (name: string): number =>
  (world.samples.get(name) ?? []).reduce((total, { value }) => total + Number(value), 0)
const count = (name: string): number => world.samples.get(name)?.length ?? 0

afterEach(() => {
  world.fault = 'none'
  world.deleted = 0
  world.uploads.clear()
  world.requests.length = 0
  for (const samples of world.samples.values()) samples.length = 0
})

test('twenty uploads, half of their PATCHes cut, arrive whole and are removed', () => {
  for (let n = 0; n < 20; n++) script.default()
  assert.equal(sum('uploads_verified'), 20)
  assert.equal(sum('request_errors'), 0)
  assert.equal(count('request_errors') + sum('cuts'), world.requests.length, 'every request is in the rate, or was cut')
  assert.equal(sum('acknowledged_bytes'), 20 * 1000)
  assert.ok(sum('cuts') > 0)
  assert.equal(count('head_after_a_break_ms'), sum('cuts'))
  assert.equal(world.deleted, 20)
  for (const operation of ['POST', 'HEAD', 'info']) {
    const samples = world.samples.get('operation_ms')?.filter(({ tags }) => tags.operation === operation)
    assert.equal(samples?.length, 20, operation)
  }
})

test('it speaks tus, to the collection of the service, with the token', () => {
  script.default()
  assert.equal(world.requests[0]?.url, URL_)
  for (const { method, url, params } of world.requests) {
    assert.equal(params.headers?.Authorization, 'Bearer t')
    if (method !== 'GET') assert.equal(params.headers?.['Tus-Resumable'], '1.0.0', `${method} ${url}`)
    if (method === 'PATCH') assert.equal(params.headers?.['Content-Type'], 'application/offset+octet-stream')
  }
})

const FAULTS: readonly (readonly [fault: Fault, wrongContents: number])[] = [
  ['wrong byte', 10],
  ['forgets', 0],
  ['fails', 0],
  ['loses its record', 0],
]
for (const [fault, wrongContents] of FAULTS) {
  test(`it notices: ${fault}`, () => {
    world.fault = fault
    for (let n = 0; n < 10; n++) script.default()
    assert.ok(sum('upload_errors') >= 9 && sum('uploads_verified') <= 1, 'uploads fail')
    assert.ok(sum('request_errors') >= 9, 'and are counted as errors')
    assert.equal(sum('wrong_contents'), wrongContents)
  })
}

test('its thresholds are the guide’s, on metrics that it moves', () => {
  const { thresholds, scenarios } = script.options
  for (const name of Object.keys(thresholds)) assert.ok(world.samples.has(name.replace(/\{.*/, '')), name)
  assert.deepEqual(thresholds['operation_ms{operation:POST}'], ['p(95)<200'])
  assert.deepEqual(thresholds.request_errors, ['rate<0.001'])
  assert.deepEqual(scenarios.uploads.stages, [
    { duration: '10s', target: 40 },
    { duration: '90s', target: 40 },
  ])
})

test('settings: a number that is none is refused; a path is left as it is', () => {
  assert.throws(() => script.settingsOf({ SIZE: 'large' }), /SIZE=large: expected a number/)
  assert.equal(script.settingsOf({ URL: 'https://a.example/files/' }).url, 'https://a.example/files')
  assert.equal(script.resolved('https://a.example/files', 'https://b.example/f/1'), 'https://b.example/f/1')
  assert.equal(script.resolved('https://a.example/files/', '1'), 'https://a.example/files/1')
})

test('its content is seeded, and not all the same', () => {
  const [one, again, other] = [script.contentOf(1, 5000), script.contentOf(1, 5000), script.contentOf(2, 5000)]
  assert.deepEqual(one, again)
  assert.notDeepEqual(one, other)
  assert.ok(new Set(new Uint8Array(one)).size > 200)
})
