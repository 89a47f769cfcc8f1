/** What happens on the connection: early answers, Expect, pipelining, unreadable requests, stopping. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { UploadError } from '../../../server/uploads/errors.ts'
import { type Edge, OCTETS, pathOf, readAll, startEdge, TUS, until } from './http-edge.ts'

const UPLOADS = '/api/v1/uploads'
const MIB = 1024 * 1024

async function create(edge: Edge, length: number): Promise<string> {
  return pathOf(await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': String(length) }))
}

function patchHead(path: string, offset: number, length: number, more = ''): string {
  return (
    `PATCH ${path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n` +
    `Upload-Offset: ${offset}\r\nContent-Length: ${length}\r\n${more}\r\n`
  )
}

test('an error before a long body was read reaches a client that looks only once all is sent', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 5)
  const socket = await edge.open()
  socket.write(patchHead(path, 0, 10 * MIB))
  await new Promise((resolve) => socket.write(Buffer.alloc(10 * MIB), resolve))
  const text = await readAll(socket)
  assert.match(text, /^HTTP\/1\.1 413 /)
  assert.match(text, /\r\nConnection: close\r\n/i)
  assert.match(text, /body_exceeds_length/)
})

test('a client that sends on and on after the answer is cut off', async () => {
  const earlyAnswer = { keepBytes: 1000, drainBytes: MIB, drainMs: 60_000, refusedDrainMs: 50 }
  await using edge = await startEdge({ server: { earlyAnswer } })
  const path = await create(edge, 5)
  const socket = await edge.open()
  const text = readAll(socket)
  socket.write(patchHead(path, 0, 1000 * MIB))
  const block = Buffer.alloc(256 * 1024)
  const pump = (): void => {
    while (!socket.destroyed && socket.write(block));
  }
  socket.on('drain', pump)
  pump()
  assert.match(await text, /^HTTP\/1\.1 413 /)
  assert.ok(socket.bytesWritten < 50 * MIB)
})

test('the answer comes at once, not after the rest of the body', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 5)
  const began = performance.now()
  const text = await edge.raw(patchHead(path, 3, 20 * MIB) + 'x'.repeat(1000), /offset_mismatch.*\n/)
  assert.match(text, /^HTTP\/1\.1 409 /)
  assert.ok(performance.now() - began < 1500)
})

test('after an error with a short body the connection goes on', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 5)
  const text = await edge.raw(`${patchHead(path, 3, 5)}hello${patchHead(path, 0, 5, 'Connection: close\r\n')}hello`)
  assert.deepEqual(statuses(text), ['409', '204'])
})

test('a short body that never comes does not keep the connection', async () => {
  const earlyAnswer = { keepBytes: 1000, drainBytes: MIB, drainMs: 50, refusedDrainMs: 50 }
  await using edge = await startEdge({ server: { earlyAnswer } })
  const path = await create(edge, 5)
  assert.deepEqual(statuses(await edge.raw(`${patchHead(path, 3, 5)}h`)), ['409'])
})

test('Expect: 100-continue is answered when the bytes are wanted', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 5)
  const socket = await edge.open()
  const text = readAll(socket, /204/)
  socket.write(patchHead(path, 0, 5, 'Expect: 100-continue\r\n'))
  const [first] = await once(socket, 'data')
  assert.match(String(first), /^HTTP\/1\.1 100 Continue\r\n\r\n/)
  socket.write('hello')
  assert.deepEqual(statuses(await text), ['100', '204'])
})

test('Expect: 100-continue of a refused request gets the final status alone, and the connection ends', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 5)
  const expect = 'Expect: 100-continue\r\n'
  const post = `POST ${UPLOADS} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n${expect}`
  const cases: [request: string, status: string][] = [
    [patchHead(path, 3, 5, expect), '409'],
    [`${post}Tus-Resumable: 1.0.0\r\nUpload-Length: 1000001\r\n${octets}\r\n`, '413'],
    [`${post}Upload-Length: 5\r\n\r\n`, '412'],
    [`${post}Tus-Resumable: 1.0.0\r\nUpload-Length: 5\r\nUpload-Metadata: a !\r\n${octets}\r\n`, '400'],
  ]
  for (const [request, status] of cases) assert.deepEqual(statuses(await edge.raw(request)), [status], request)
})

const octets = `Content-Type: ${OCTETS['Content-Type']}\r\n`

test('an expectation that nobody knows is a 417', async () => {
  await using edge = await startEdge()
  const text = await edge.raw(`GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: foo\r\n\r\n`)
  assert.match(text, /^HTTP\/1\.1 417 [\s\S]*"code":"expectation_failed"/)
})

test('pipelined requests of one connection are handled one after another', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 10)
  const { append } = edge.engine
  let running = 0
  edge.engine.append = async (...args) => {
    assert.equal(++running, 1, 'a second append began before the first was answered')
    await sleep(30)
    const standing = await append(...args)
    running--
    return standing
  }
  const head = `HEAD ${path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n\r\n`
  const text = await edge.raw(`${patchHead(path, 0, 5)}hello${patchHead(path, 5, 5)}world${head}`)
  assert.deepEqual(statuses(text), ['204', '204', '200'])
  assert.deepEqual(
    [...text.matchAll(/upload-offset: (\d+)/gi)].map((match) => match[1]),
    ['5', '10', '10'],
  )
})

test('nobody queues requests without end on one connection', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 5)
  const socket = await edge.open()
  const ended = readAll(socket)
  socket.write(`${patchHead(path, 0, 0)}${`HEAD ${path} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(2000)}`)
  await ended
  assert.ok(edge.engine.calls.length < 200)
  assert.equal((await edge.send('GET', '/livez')).status, 200)
})

test('what Node’s parser refuses is answered from the error table', async () => {
  await using edge = await startEdge()
  const cases: [request: string, status: string, code: string][] = [
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`, '431', 'headers_too_large'],
    [`GET / HTTP/1.1\r\nHost: a\r\n${'x:y\r\n'.repeat(10_000)}\r\n`, '431', 'headers_too_large'],
    [`GET / HTTP/1.1\r\nHost: a\r\n${'x:y\r\n'.repeat(3000)}\r\n`, '431', 'headers_too_large'],
    ['FOO /api/v1/uploads HTTP/1.1\r\nHost: a\r\n\r\n', '405', 'method_not_allowed'],
    ['GET /livez HTTP/1.1\r\nHost: a\r\n\r\nFOO / HTTP/1.1\r\nHost: a\r\n\r\n', '200,405', 'method_not_allowed'],
    ['GARBAGE\r\n\r\n', '400', 'request_malformed'],
    ['\u0016\u0003\u0001\u0002\u0000\u0001\r\n\r\n', '400', 'request_malformed'],
    [
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
      '400',
      'request_malformed',
    ],
    ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc', '400', 'request_malformed'],
  ]
  for (const [request, status, code] of cases) {
    const text = await edge.raw(request)
    assert.equal(statuses(text).join(), status, request.slice(0, 60))
    assert.match(text, new RegExp(`"code":"${code}`), request.slice(0, 60))
    assert.match(text, /\r\nConnection: close\r\n/i)
    if (status.endsWith('405')) assert.match(text, /\r\nAllow: .*PATCH/)
  }
})

test('a body that is no chunked coding is a 400, not a second answer', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 50)
  const text = await edge.raw(
    `PATCH ${path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\n${octets}Upload-Offset: 0\r\n` +
      'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzzz\r\n',
  )
  assert.deepEqual(statuses(text), ['400'])
})

test('a client that leaves in mid-body is noted and hurts nobody', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 500)
  const socket = await edge.open()
  socket.write(`${patchHead(path, 0, 500)}abc`)
  await until(() => edge.engine.calls.at(-1) === 'append')
  socket.resetAndDestroy()
  await until(() => edge.entries.at(-1)?.operation === 'tus.append')
  assert.deepEqual([edge.entries.at(-1)?.aborted, edge.failures.length], [true, 0])
  assert.equal((await edge.send('GET', '/livez')).status, 200)
})

test('a stop lets running requests finish, and their connections end with them', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 5)
  const socket = await edge.open()
  const text = readAll(socket)
  socket.write(`${patchHead(path, 0, 5)}hel`)
  await until(() => edge.engine.calls.at(-1) === 'append')
  const closed = edge.http.close(5000)
  await assert.rejects(edge.open(), 'no new connection')
  socket.write('lo')
  assert.match(await text, /^HTTP\/1\.1 204 [\s\S]*\r\nConnection: close\r\n/i)
  await closed
})

test('a stop ends what does not end by itself', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 5)
  const socket = await edge.open()
  socket.write(`${patchHead(path, 0, 5)}hel`)
  await until(() => edge.engine.calls.at(-1) === 'append')
  const ended = readAll(socket)
  await edge.http.close(50)
  assert.equal(await ended, '')
})

test('an answer of a process that is stopping ends its connection', async () => {
  await using edge = await startEdge()
  edge.engine.failNext('create', new UploadError('shutting_down', 'Stopping.'))
  const answer = await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': '5' })
  assert.deepEqual([answer.status, answer.headers.connection], [503, 'close'])
})

test('HTTP/1.0 works', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 5)
  const text = await edge.raw(`${patchHead(path, 0, 5).replace('HTTP/1.1', 'HTTP/1.0')}hello`)
  assert.match(text, /^HTTP\/1\.1 204 /)
  assert.doesNotMatch(text, /chunked/i)
})

function statuses(text: string): string[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => match[1] ?? '')
}
