/** deploy/haproxy/haproxy.cfg in the real HAProxy, before two instances on real services. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { connect } from 'node:http2'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { type Haproxy, startHaproxy } from '../support/haproxy.ts'
import { freshWorld, type RunningService, startService, type World } from '../support/service.ts'

const LONG = process.env.TEST_LONG === '1'
const MIB = 1024 ** 2
const BIG = (LONG ? 1024 : 64) * MIB
const CUT = BIG / 2
/** All times of the configuration and of the service are a tenth, unless there is time for the real ones. */
const SCALE = LONG ? 1 : 0.1
/** Longer than each of the timeouts (75 s, 120 s). */
const SLOW_MS = 130_000 * SCALE
const TUS = { 'Tus-Resumable': '1.0.0' }
const BYTES = { ...TUS, 'Content-Type': 'application/offset+octet-stream' }
const BLOCK = randomBytes(MIB)

let world: World
let dir: string
let proxy: Haproxy
let services: RunningService[]
const agent = new Agent({ keepAlive: true, rejectUnauthorized: false })

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

async function answerOf(res: IncomingMessage): Promise<Answer> {
  res.setEncoding('utf8')
  let body = ''
  for await (const text of res) body += text
  return { status: res.statusCode ?? 0, headers: res.headers, body }
}

/** On a connection of its own, as after any change of network; `kept` goes on with one that was used before. */
async function send(
  method: string,
  url: string,
  headers: Record<string, string> = {},
  { body, kept = false }: { body?: Buffer; kept?: boolean } = {},
): Promise<Answer> {
  const options = { method, headers: { ...TUS, ...headers }, rejectUnauthorized: false, maxHeaderSize: 65_536 }
  const req = request(new URL(url, proxy.url), { ...options, agent: kept ? agent : false })
  req.end(body)
  const [res]: IncomingMessage[] = await once(req, 'response')
  if (res === undefined) throw new Error('no answer')
  return answerOf(res)
}

async function create(length: number): Promise<string> {
  const answer = await send('POST', '/api/v1/uploads', { 'Upload-Length': String(length) })
  assert.equal(answer.status, 201, answer.body)
  return answer.headers.location ?? ''
}

/** The content of every upload here: one block again and again, each time with its number in front. */
function block(index: number): Buffer {
  const copy = Buffer.from(BLOCK)
  copy.writeUInt32BE(index, 0)
  return copy
}

function patch(url: string, offset: number, length: number) {
  const headers = { ...BYTES, 'Upload-Offset': String(offset), 'Content-Length': String(length) }
  return request(new URL(url), { method: 'PATCH', headers, rejectUnauthorized: false, agent: false })
}

/** Sends the content from `offset` to `end`; stops early when an answer comes early. Resolves with the answer. */
async function sendFrom(url: string, offset: number, end: number): Promise<Answer> {
  const req = patch(url, offset, end - offset)
  const answered = once(req, 'response').then(([res]: IncomingMessage[]) => {
    if (res === undefined) throw new Error('no answer')
    return answerOf(res)
  })
  for (let at = offset; at < end; ) {
    const bytes = block(Math.floor(at / MIB)).subarray(at % MIB)
    at += bytes.length
    if (!req.write(bytes) && (await Promise.race([once(req, 'drain'), answered.then(() => 'answered')])) === 'answered')
      break
  }
  req.end()
  const answer = await answered
  req.destroy()
  return answer
}

/** As clients do: ask for the offset, go on from there; what was still on its way may move it once more (409, 423). */
async function resume(url: string, length: number): Promise<number> {
  for (let tries = 1; ; tries++) {
    const head = await send('HEAD', url)
    if (head.status === 200) {
      const offset = Number(head.headers['upload-offset'])
      const { status, body } = await sendFrom(url, offset, length)
      if (status === 204) return offset
      assert.ok([409, 423].includes(status), `${status} ${body}`)
    } else assert.equal(head.status, 423)
    assert.ok(tries < 10, 'it does not go on')
    await sleep(500)
  }
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'haproxy-'))
  world = await freshWorld()
  const env = { ...world.env, TRUSTED_PROXIES: '127.0.0.1', IDLE_TIMEOUT: `${60_000 * SCALE}ms` }
  services = await Promise.all([startService({ mode: 'production', env }), startService({ mode: 'production', env })])
  proxy = await startHaproxy({ servers: services.map(({ port }) => port), dir, timeScale: SCALE })
})

after(async () => {
  agent.destroy()
  await proxy?.stop()
  await Promise.all(services.map((service) => service.kill()))
  await world.remove()
  await rm(dir, { recursive: true, force: true })
})

test(`an upload of ${BIG / MIB} MiB, cut and resumed, arrives as it was sent`, async () => {
  const url = await create(BIG)
  const sha = createHash('sha256')
  for (let index = 0; index < BIG / MIB; index++) sha.update(block(index))

  const first = patch(url, 0, BIG)
  const cut = once(first, 'error')
  for (let index = 0; index < CUT / MIB; index++) {
    if (!first.write(block(index))) await once(first, 'drain')
  }
  first.destroy(new Error('cut'))
  await cut
  const offset = await resume(url, BIG)
  assert.ok(offset > 0 && offset <= CUT, `${offset}`)

  const got = request(new URL(url), { rejectUnauthorized: false, agent: false })
  got.end()
  const [download]: AsyncIterable<Buffer>[] = await once(got, 'response')
  const received = createHash('sha256')
  for await (const chunk of download ?? []) received.update(chunk)
  assert.equal(received.digest('hex'), sha.digest('hex'))
})

test(`one PATCH of ${SLOW_MS / 1000} s, longer than every timeout, is no 504`, async () => {
  const steps = 65
  const url = await create(steps * 1000)
  const req = patch(url, 0, steps * 1000)
  const answered: Promise<IncomingMessage[]> = once(req, 'response')
  const started = performance.now()
  for (let step = 0; step < steps; step++) {
    req.write(BLOCK.subarray(0, 1000))
    await sleep(SLOW_MS / steps)
  }
  req.end()
  const [res] = await answered
  assert.equal(res?.statusCode, 204)
  assert.equal(res?.headers['upload-offset'], String(steps * 1000))
  assert.ok(performance.now() - started >= SLOW_MS)
  res?.resume()
})

test('a body that falls silent is ended by the service, before the balancer would, and its bytes are kept', async () => {
  const url = await create(5000)
  const req = patch(url, 0, 5000)
  const answered: Promise<IncomingMessage[]> = once(req, 'response')
  req.write(BLOCK.subarray(0, 2000))
  const [res] = await answered
  req.destroy()
  assert.ok(res?.headers['x-request-id'], `${res?.statusCode} is the balancer's`)
  assert.equal(res?.statusCode, 423)
  const head = await send('HEAD', url)
  assert.deepEqual([head.status, head.headers['upload-offset']], [200, '2000'])
})

test('Location is what the client reached, and what clients claim is not believed', async () => {
  const forged = { 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'gopher', 'X-Forwarded-Prefix': '/evil' }
  const headers = { ...forged, Forwarded: 'host=evil.example;proto=ftp', 'Upload-Length': '1' }
  const answer = await send('POST', '/api/v1/uploads', headers)
  assert.equal(answer.status, 201)
  assert.ok(answer.headers.location?.startsWith(`${proxy.url}/api/v1/uploads/`), answer.headers.location)
  assert.match(answer.headers['strict-transport-security'] ?? '', /max-age/)
})

test('http is sent to https with its method, and the metrics are not for the world', async () => {
  const plain = await fetch(`${proxy.plainUrl}/api/v1/uploads`, { method: 'POST', redirect: 'manual' })
  assert.equal(plain.status, 308)
  assert.match(plain.headers.get('location') ?? '', /^https:\/\/127\.0\.0\.1/)
  for (const path of ['/metrics', '/METRICS', '/metrics/']) assert.equal((await send('GET', path)).status, 404)
  assert.equal((await send('GET', '/livez')).status, 200)
})

test('the longest metadata that the service takes, and a header section of 31 KiB, get through and back', async () => {
  const length = 16_384 - 'a '.length
  const metadata = `a ${Buffer.alloc((length / 4) * 3 - 2, 'x').toString('base64')}`
  assert.ok(metadata.length > 16_300 && metadata.length <= 16_384, `${metadata.length}`)
  const more = { 'Upload-Metadata': metadata, 'X-Padding': 'p'.repeat(15_000), 'Upload-Length': '1' }
  const created = await send('POST', '/api/v1/uploads', more)
  assert.equal(created.status, 201)
  const head = await send('HEAD', created.headers.location ?? '')
  assert.deepEqual([head.status, head.headers['upload-metadata']], [200, metadata])
})

test('a PATCH over HTTP/2', async () => {
  const url = await create(3 * MIB)
  const session = connect(proxy.url, { rejectUnauthorized: false })
  try {
    const stream = session.request({
      ':method': 'PATCH',
      ':path': new URL(url).pathname,
      ...BYTES,
      'Upload-Offset': '0',
    })
    for (let index = 0; index < 3; index++) stream.write(block(index))
    stream.end()
    const [headers]: Record<string, unknown>[] = await once(stream, 'response')
    assert.equal(headers?.[':status'], 204)
    assert.equal(headers?.['upload-offset'], String(3 * MIB))
  } finally {
    session.close()
  }
})

test('an instance that is killed costs no request that had not begun, and no HEAD at all', async () => {
  const url = await create(1)
  const heads = (): Promise<Answer[]> =>
    Promise.all(Array.from({ length: 8 }, () => send('HEAD', url, {}, { kept: true })))
  await heads()
  const [victim] = services
  await victim?.kill('SIGKILL')
  for (const { status } of await heads()) assert.equal(status, 200)
  const many = await Promise.all(
    Array.from({ length: 40 }, () => send('POST', '/api/v1/uploads', { 'Upload-Length': '1' })),
  )
  assert.deepEqual(
    many.map(({ status }) => status).filter((status) => status !== 201),
    [],
  )
})

test('with no instance up a HEAD is 423, without a body and readable for a page; anything else is 503', async () => {
  const url = await create(10)
  await Promise.all(services.map((service) => service.kill()))
  const check = (answer: Answer, status: number): void => {
    assert.equal(answer.status, status)
    assert.equal(answer.headers['retry-after'], '5')
    assert.equal(answer.headers['access-control-allow-origin'], '*')
    assert.equal(answer.headers['cache-control'], 'no-store')
  }
  const deadline = Date.now() + 15_000
  // at first connections are refused, then the check has noticed: both have to answer alike
  for (let quick = 0; quick < 3; ) {
    const started = performance.now()
    check(await send('HEAD', url), 423)
    if (performance.now() - started < 100) quick++
    assert.ok(Date.now() < deadline, 'the check does not notice')
  }
  check(await send('PATCH', url, { ...BYTES, 'Upload-Offset': '0' }, { body: Buffer.from('x') }), 503)
  check(await send('POST', '/api/v1/uploads', { 'Upload-Length': '1' }), 503)
  check(await send('GET', url), 503)
  check(await send('HEAD', '/'), 503)
  assert.match(
    await raw(`HEAD ${new URL(url).pathname} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    /^HTTP\/1\.1 423 Locked\r\n(?:.+\r\n)+\r\n$/,
  )
})

/** What comes back byte for byte. */
async function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(proxy.url)
  const socket = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false })
  socket.setEncoding('latin1')
  socket.write(text)
  let answer = ''
  for await (const chunk of socket) answer += chunk
  return answer
}
