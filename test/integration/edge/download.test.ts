import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { UploadError } from '../../../server/uploads/errors.ts'
import { type Edge, OCTETS, pathOf, startEdge, TUS, until } from './http-edge.ts'

const UPLOADS = '/api/v1/uploads'
const BYTES = Buffer.from('0123456789')

function put(edge: Edge, values = {}): string {
  return `${UPLOADS}/${edge.engine.put(BYTES, values).id}`
}

test('the whole file, with what a client needs to show or keep it', async () => {
  await using edge = await startEdge()
  const path = put(edge, { contentType: 'image/png', filename: 'é.png' })
  const answer = await edge.send('GET', path)
  assert.equal(answer.status, 200)
  assert.equal(answer.text, '0123456789')
  assert.equal(answer.headers['content-length'], '10')
  assert.equal(answer.headers['content-type'], 'image/png')
  assert.equal(answer.headers['content-disposition'], `inline; filename="_.png"; filename*=UTF-8''%C3%A9.png`)
  assert.equal(answer.headers['x-content-type-options'], 'nosniff')
  assert.match(String(answer.headers['content-security-policy']), /sandbox/)
  assert.equal(answer.headers['accept-ranges'], 'bytes')
  assert.match(answer.headers.etag ?? '', /^"[^"]+"$/)
  const head = await edge.send('HEAD', path)
  assert.deepEqual([head.status, head.headers['content-length'], head.text], [200, '10', ''])
  assert.equal(head.headers.etag, answer.headers.etag)
})

test('HTML and SVG are never shown', async () => {
  await using edge = await startEdge()
  for (const contentType of ['text/html', 'image/svg+xml', 'not a type']) {
    const answer = await edge.send('GET', put(edge, { contentType }))
    assert.equal(answer.headers['content-disposition'], 'attachment')
    assert.equal(answer.headers['x-content-type-options'], 'nosniff')
  }
})

test('one range is a 206, several are the whole file, one outside is a 416', async () => {
  await using edge = await startEdge()
  const path = put(edge)
  for (const [range, text, content] of [
    ['bytes=2-4', '234', 'bytes 2-4/10'],
    ['bytes=7-', '789', 'bytes 7-9/10'],
    ['bytes=-2', '89', 'bytes 8-9/10'],
    ['bytes=0-99', '0123456789', 'bytes 0-9/10'],
  ]) {
    const answer = await edge.send('GET', path, { Range: range })
    assert.deepEqual([answer.status, answer.text, answer.headers['content-range']], [206, text, content])
    assert.equal(answer.headers['content-length'], String(text?.length))
  }
  const several = await edge.send('GET', path, { Range: 'bytes=0-1,3-4' })
  assert.deepEqual([several.status, several.text], [200, '0123456789'])
  const outside = await edge.send('GET', path, { Range: 'bytes=10-' })
  assert.deepEqual([outside.status, outside.headers['content-range']], [416, 'bytes */10'])
  assert.equal(JSON.parse(outside.text).code, 'range_not_satisfiable')
  const head = await edge.send('HEAD', path, { Range: 'bytes=2-4' })
  assert.deepEqual([head.status, head.headers['content-length']], [200, '10'])
})

test('conditions: 304, 412, and If-Range', async () => {
  await using edge = await startEdge()
  const path = put(edge)
  const { etag } = (await edge.send('HEAD', path)).headers
  assert.ok(etag)
  for (const method of ['GET', 'HEAD']) {
    const same = await edge.send(method, path, { 'If-None-Match': etag })
    assert.deepEqual([same.status, same.text, same.headers.etag], [304, '', etag])
    assert.equal((await edge.send(method, path, { 'If-Match': '"other"' })).status, 412)
    assert.equal((await edge.send(method, path, { 'If-Match': etag })).status, 200)
  }
  assert.equal((await edge.send('GET', path, { Range: 'bytes=0-1', 'If-Range': etag })).status, 206)
  assert.equal((await edge.send('GET', path, { Range: 'bytes=0-1', 'If-Range': '"other"' })).status, 200)
})

test('an empty file', async () => {
  await using edge = await startEdge()
  const path = `${UPLOADS}/${edge.engine.put(Buffer.alloc(0)).id}`
  const answer = await edge.send('GET', path)
  assert.deepEqual([answer.status, answer.headers['content-length'], answer.text], [200, '0', ''])
  assert.equal((await edge.send('GET', path, { Range: 'bytes=0-' })).status, 416)
})

test('an unfinished upload has no file; HEAD without Tus-Resumable asks for the version', async () => {
  await using edge = await startEdge()
  const path = pathOf(await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': '5' }))
  const get = await edge.send('GET', path)
  assert.deepEqual([get.status, JSON.parse(get.text).code], [404, 'upload_not_finished'])
  assert.match(get.headers['retry-after'] ?? '', /^[1-9]/)
  const head = await edge.send('HEAD', path)
  assert.deepEqual([head.status, head.headers['tus-version'], head.headers['upload-offset']], [412, '1.0.0', undefined])
  const facts = { state: 'processing' }
  edge.engine.failNext('download', new UploadError('upload_not_finished', 'Still processed.', { facts }))
  const processed = await edge.send('GET', path)
  assert.deepEqual([processed.status, processed.headers['retry-after']], [409, '5'])
  await edge.send('PATCH', path, { ...TUS, ...OCTETS, 'Upload-Offset': '0' }, 'hello')
  assert.equal((await edge.send('GET', path)).text, 'hello')
  assert.equal((await edge.send('HEAD', path)).headers['content-length'], '5')
})

test('HEAD of a download never answers 5xx', async () => {
  await using edge = await startEdge()
  const path = put(edge)
  edge.engine.failNext('download', new UploadError('records_unavailable', 'Away.'))
  const head = await edge.send('HEAD', path)
  assert.equal(head.status, 423)
  assert.match(head.headers['retry-after'] ?? '', /^[1-9]/)
  edge.engine.failNext('open', new UploadError('store_unavailable', 'Away.'))
  const get = await edge.send('GET', path)
  assert.deepEqual([get.status, get.headers['content-range']], [503, undefined])
  assert.equal(get.headers['content-type'], 'application/problem+json')
  assert.equal(get.headers['content-disposition'], undefined)
})

test('a store that breaks off in the middle cuts the answer: nobody takes it for whole', async () => {
  await using edge = await startEdge()
  const path = put(edge)
  edge.engine.nextStream = Readable.from(
    (async function* () {
      yield Buffer.from('0123')
      await sleep(20)
      throw new UploadError('store_unavailable', 'Broke off.')
    })(),
  )
  await assert.rejects(edge.send('GET', path), /aborted|hang up|reset/i)
  await until(() => edge.failures.length > 0)
  assert.equal(edge.failures[0]?.code, 'store_unavailable')
})

test('a client that leaves, in the middle or right after the last byte, hurts nobody', async () => {
  await using edge = await startEdge()
  const big = edge.engine.put(Buffer.alloc(8 * 1024 * 1024))
  for (const id of [big.id, edge.engine.put(BYTES).id]) {
    const socket = await edge.open()
    let seen = 0
    const done = new Promise<void>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        seen += chunk.length
        if (id !== big.id && !chunk.toString().endsWith('0123456789')) return
        socket.resetAndDestroy()
        resolve()
      })
    })
    socket.write(`GET ${UPLOADS}/${id} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await done
    assert.ok(seen > 0)
  }
  await until(() => edge.entries.length >= 2)
  assert.deepEqual(edge.failures, [])
  assert.equal((await edge.send('GET', '/livez')).status, 200)
})

test('a reader that stands still is cut, and its stream ends', async () => {
  await using edge = await startEdge({ idleTimeoutMs: 100 })
  const { id } = edge.engine.put(BYTES, { length: 10 })
  const endless = new Readable({ read() {} })
  endless.push(Buffer.alloc(1))
  edge.engine.nextStream = endless
  const text = await edge.raw(`GET ${UPLOADS}/${id} HTTP/1.1\r\nHost: a\r\n\r\n`)
  assert.match(text, /^HTTP\/1\.1 200 /)
  await until(() => endless.destroyed)
})
