import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UploadError } from '../../../server/uploads/errors.ts'
import { newUploadId } from '../../../server/uploads/id.ts'
import { type Edge, OCTETS, pathOf, startEdge, TUS } from './http-edge.ts'

const UPLOADS = '/api/v1/uploads'

async function create(edge: Edge, length = 5): Promise<string> {
  const answer = await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': String(length) })
  assert.equal(answer.status, 201, answer.text)
  return pathOf(answer)
}

function patch(edge: Edge, path: string, offset: string, body: string, headers = {}) {
  return edge.send('PATCH', path, { ...TUS, ...OCTETS, 'Upload-Offset': offset, ...headers }, body)
}

test('a creation, an append, a HEAD and a termination', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  const half = await patch(edge, path, '0', 'hel')
  assert.deepEqual([half.status, half.headers['upload-offset']], [204, '3'])
  assert.equal(half.headers['upload-expires'], 'Tue, 01 Jan 2030 00:00:00 GMT')
  const head = await edge.send('HEAD', path, TUS)
  assert.deepEqual([head.status, head.headers['upload-offset'], head.headers['upload-length']], [200, '3', '5'])
  assert.equal(head.headers['cache-control'], 'no-store')
  assert.equal(head.headers['upload-expires'], 'Tue, 01 Jan 2030 00:00:00 GMT')
  const rest = await patch(edge, path, '3', 'lo')
  assert.deepEqual([rest.status, rest.headers['upload-offset']], [204, '5'])
  assert.equal(rest.headers['upload-expires'], undefined)
  assert.equal(edge.engine.bytesOf(path.split('/').at(-1) ?? '')?.toString(), 'hello')
  assert.equal((await edge.send('DELETE', path, TUS)).status, 204)
  const gone = await edge.send('HEAD', path, TUS)
  assert.deepEqual([gone.status, gone.headers['upload-offset']], [410, undefined])
})

test('OPTIONS tells what works, whatever Tus-Resumable says', async () => {
  await using edge = await startEdge({ expires: false })
  for (const headers of [{}, { 'Tus-Resumable': '9.9' }]) {
    const answer = await edge.send('OPTIONS', UPLOADS, headers)
    assert.equal(answer.status, 204)
    assert.equal(answer.headers['tus-version'], '1.0.0')
    assert.equal(answer.headers['tus-max-size'], '1000000')
    assert.equal(
      answer.headers['tus-extension'],
      'creation,creation-with-upload,creation-defer-length,termination,concatenation,checksum,checksum-trailer',
    )
  }
})

test('a missing or foreign version is a 412 with Tus-Version, before anything else is done', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  for (const version of [undefined, '0.2.2', '1.0']) {
    const headers = version === undefined ? {} : { 'Tus-Resumable': version }
    for (const [method, target] of [
      ['POST', UPLOADS],
      ['PATCH', path],
      ['DELETE', path],
      ['HEAD', path],
    ] as const) {
      const answer = await edge.send(method, target, { ...headers, 'Upload-Length': '5' })
      assert.deepEqual([answer.status, answer.headers['tus-version']], [412, '1.0.0'], `${method} ${version}`)
      assert.equal(answer.headers['tus-resumable'], '1.0.0')
    }
  }
  assert.equal(edge.engine.count(), 1)
})

test('the media type of a PATCH: parameters and case do not matter, anything else is a 415', async () => {
  await using edge = await startEdge()
  const path = await create(edge, 10)
  const accepted = 'Application/Offset+Octet-Stream; charset=utf-8'
  assert.equal((await patch(edge, path, '0', 'hello', { 'Content-Type': accepted })).status, 204)
  for (const type of ['text/plain', 'application/offset', '']) {
    assert.equal((await patch(edge, path, '5', 'world', { 'Content-Type': type })).status, 415, type)
  }
  assert.equal((await patch(edge, path, '5', 'world', { 'Content-Encoding': 'gzip' })).status, 415)
  const none = await edge.send('PATCH', path, { ...TUS, 'Upload-Offset': '5' }, 'world')
  assert.equal(none.status, 415)
})

test('offsets and lengths are strict decimals', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  const bad = ['-1', '1.5', '1e3', '0x10', '+5', '007', '5,5', '', 'abc', '9007199254740992', '9'.repeat(30)]
  for (const value of bad) {
    assert.equal((await patch(edge, path, value, 'hello')).status, 400, `offset ${value}`)
    const answer = await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': value })
    assert.equal(answer.status, 400, `length ${value}`)
  }
  const most = await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': '9007199254740991' })
  assert.equal(most.status, 413)
  assert.equal(edge.engine.count(), 1)
})

test('a repeated header line is a 400, on every header that the dialect reads', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  const offset = { 'Upload-Offset': ['0', '0'] }
  assert.equal((await edge.send('PATCH', path, { ...TUS, ...OCTETS, ...offset }, 'hello')).status, 400)
  assert.equal((await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': ['5', '5'] })).status, 400)
  const metadata = { 'Upload-Length': '5', 'Upload-Metadata': ['a YQ==', 'b Yg=='] }
  assert.equal((await edge.send('POST', UPLOADS, { ...TUS, ...metadata })).status, 400)
  const twice = { 'Tus-Resumable': ['1.0.0', '1.0.0'], 'Upload-Length': '5' }
  assert.equal((await edge.send('POST', UPLOADS, twice)).status, 400)
})

test('a creation says exactly one length, that of a final upload none', async () => {
  await using edge = await startEdge()
  for (const headers of [
    {},
    { 'Upload-Length': '5', 'Upload-Defer-Length': '1' },
    { 'Upload-Defer-Length': '2' },
    { 'Upload-Defer-Length': '' },
    { 'Upload-Concat': 'partial' },
    { 'Upload-Length': '5', 'Upload-Concat': `final;${UPLOADS}/${newUploadId()}` },
    { 'Upload-Defer-Length': '1', 'Upload-Concat': `final;${UPLOADS}/${newUploadId()}` },
    ...['', 'final', 'final;', 'final; ', 'Final;x', 'partial;', 'foo'].map((value) => ({ 'Upload-Concat': value })),
  ]) {
    assert.equal((await edge.send('POST', UPLOADS, { ...TUS, ...headers })).status, 400, JSON.stringify(headers))
  }
  assert.equal(edge.engine.count(), 0)
  const deferred = await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Defer-Length': '1' })
  const head = await edge.send('HEAD', pathOf(deferred), TUS)
  assert.deepEqual([head.headers['upload-defer-length'], head.headers['upload-length']], ['1', undefined])
  const empty = await patch(edge, pathOf(deferred), '0', '', { 'Upload-Length': '0' })
  assert.equal(empty.status, 204)
  assert.equal((await edge.send('HEAD', pathOf(deferred), TUS)).headers['upload-length'], '0')
})

test('creation with upload: the offset is told; a body of another type is refused, a foreign type alone is not', async () => {
  await using edge = await startEdge()
  const length = { ...TUS, 'Upload-Length': '10' }
  const answer = await edge.send('POST', UPLOADS, { ...length, ...OCTETS }, 'hello')
  assert.deepEqual([answer.status, answer.headers['upload-offset']], [201, '5'])
  const chunked = await edge.send('POST', UPLOADS, { ...length, ...OCTETS, 'Transfer-Encoding': 'chunked' }, 'hello')
  assert.deepEqual([chunked.status, chunked.headers['upload-offset']], [201, '5'])
  assert.equal((await edge.send('POST', UPLOADS, { ...length, 'Content-Type': 'text/plain' }, 'hello')).status, 415)
  const plain = await edge.send('POST', UPLOADS, { ...length, 'Content-Type': 'text/plain' }, '')
  assert.deepEqual([plain.status, plain.headers['upload-offset']], [201, undefined])
})

test('a creation whose first bytes failed tells where the upload is', async () => {
  await using edge = await startEdge()
  const id = newUploadId()
  const facts = { location_id: id, offset: 3 }
  edge.engine.failNext('create', new UploadError('body_stalled', 'Stalled.', { facts }))
  const answer = await edge.send('POST', UPLOADS, { ...TUS, ...OCTETS, 'Upload-Length': '5' }, 'hello')
  assert.equal(answer.status, 423)
  assert.deepEqual([pathOf(answer), answer.headers['upload-offset']], [`${UPLOADS}/${id}`, '3'])
})

test('metadata goes back byte for byte; keys of Object.prototype are keys like any other', async () => {
  await using edge = await startEdge()
  for (const metadata of [
    'filename d29ybGQ=,is_confidential',
    'bin /wA=',
    'empty ,k',
    'toString YQ==,__proto__ YQ==,constructor YQ==',
  ]) {
    const answer = await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': '5', 'Upload-Metadata': metadata })
    assert.equal(answer.status, 201, metadata)
    assert.equal((await edge.send('HEAD', pathOf(answer), TUS)).headers['upload-metadata'], metadata)
  }
  const none = await edge.send('HEAD', await create(edge), TUS)
  assert.equal(none.headers['upload-metadata'], undefined)
})

test('the method override counts on POST only, in any case, and names a method of ours', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  const first = { ...TUS, ...OCTETS, 'Upload-Offset': '0', 'X-HTTP-Method-Override': 'patch' }
  const patched = await edge.send('POST', path, first, 'hel')
  assert.deepEqual([patched.status, patched.headers['upload-offset']], [204, '3'])
  for (const method of ['FOO', 'CONNECT', 'PUT']) {
    const refused = await edge.send('POST', path, { ...TUS, 'X-HTTP-Method-Override': method })
    assert.equal(refused.status, 405, method)
    assert.match(refused.headers.allow ?? '', /PATCH/)
  }
  const get = await edge.send('GET', path, { ...TUS, 'X-HTTP-Method-Override': 'DELETE' })
  assert.equal(get.status, 404)
  const head = await edge.raw(
    `POST ${path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nX-HTTP-Method-Override: HEAD\r\n` +
      'Content-Length: 0\r\nConnection: close\r\n\r\n',
  )
  assert.match(head, /^HTTP\/1\.1 200 OK\r\n/)
  assert.match(head, /\r\nUpload-Offset: 3\r\n/i)
  assert.match(head, /\r\nContent-Length: 0\r\n/i)
  assert.ok(head.endsWith('\r\n\r\n'), 'no body')
  const deleted = await edge.send('POST', path, { ...TUS, 'X-HTTP-Method-Override': 'DELETE' })
  assert.equal(deleted.status, 204)
})

test('addresses: the query is no part of the id, a trailing slash does not matter, no other path is ours', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  for (const suffix of ['?token=a', '?token=a/b', '/', '/?x=1']) {
    assert.equal((await edge.send('HEAD', `${path}${suffix}`, TUS)).status, 200, suffix)
  }
  const slash = await edge.send('POST', `${UPLOADS}/`, { ...TUS, 'Upload-Length': '5' })
  assert.equal(slash.status, 201)
  const odd = ['..%2f..%2fetc%2fpasswd', '%00', '%5c', 'a', 'x'.repeat(3000), path.split('/').at(-1)?.toUpperCase()]
  for (const id of odd) {
    for (const method of ['HEAD', 'PATCH', 'DELETE']) {
      const answer = await edge.send(method, `${UPLOADS}/${id}`, { ...TUS, ...OCTETS, 'Upload-Offset': '0' })
      assert.equal(answer.status, 404, `${method} ${id}`)
    }
  }
  for (const outside of ['/nope/abc', `${UPLOADS}x`, '/api/v1', '/', '/API/V1/UPLOADS', `${path}/info/more`]) {
    const answer = await edge.send('POST', outside, { ...TUS, 'Upload-Length': '5' })
    assert.equal(answer.status, 404, outside)
  }
  assert.equal(edge.engine.count(), 2)
})

test('methods that an address does not take are a 405 with Allow', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  for (const [method, target, allow] of [
    ['PUT', path, 'DELETE, GET, HEAD, OPTIONS, PATCH'],
    ['POST', path, 'DELETE, GET, HEAD, OPTIONS, PATCH'],
    ['PUT', UPLOADS, 'GET, OPTIONS, POST'],
    ['PATCH', UPLOADS, 'GET, OPTIONS, POST'],
    ['HEAD', UPLOADS, 'GET, OPTIONS, POST'],
    ['DELETE', UPLOADS, 'GET, OPTIONS, POST'],
  ] as const) {
    const answer = await edge.send(method, target, TUS)
    assert.deepEqual([answer.status, answer.headers.allow], [405, allow], `${method} ${target}`)
    assert.equal(answer.headers['tus-resumable'], '1.0.0')
  }
})

test('headers that @tus/server would refuse are none of its business', async () => {
  await using edge = await startEdge()
  for (const proto of ['https,http', 'wss']) {
    const headers = { ...TUS, 'Upload-Length': '5', 'X-Forwarded-Proto': proto, 'Tus-Version': '0.1' }
    assert.equal((await edge.send('POST', UPLOADS, headers)).status, 201, proto)
  }
})

test('HEAD never answers 5xx or 429: what is away is 423 with Retry-After and no offset', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  for (const code of ['store_unavailable', 'records_unavailable', 'coordination_unavailable', 'internal'] as const) {
    edge.engine.failNext('inspect', new UploadError(code, 'Away.'))
    const head = await edge.send('HEAD', path, TUS)
    assert.equal(head.status, 423, code)
    assert.match(head.headers['retry-after'] ?? '', /^[1-9]/)
    assert.equal(head.headers['upload-offset'], undefined)
    assert.equal(head.headers['cache-control'], 'no-store')
    edge.engine.failNext('append', new UploadError(code, 'Away.'))
    const answer = await patch(edge, path, '0', 'hello')
    assert.equal(answer.status, code === 'internal' ? 500 : 503)
    assert.match(answer.headers['retry-after'] ?? '', /^[1-9]/)
  }
  edge.engine.failNext('inspect', new TypeError('secret detail'))
  assert.equal((await edge.send('HEAD', path, TUS)).status, 423)
  edge.engine.failNext('append', new TypeError('secret detail'))
  const internal = await patch(edge, path, '0', 'hello')
  assert.equal(internal.status, 500)
  assert.doesNotMatch(internal.text, /secret/)
  assert.ok(
    edge.failures.some((failure) => failure.cause instanceof TypeError),
    'the log gets the cause',
  )
})

test('an append that is cut for another request is a 423 with Retry-After, and its connection ends', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  edge.engine.failNext('append', new UploadError('upload_busy', 'Cut.', { facts: { cut: 1 } }))
  const answer = await patch(edge, path, '0', 'hello')
  assert.equal(answer.status, 423)
  assert.equal(answer.headers['retry-after'], '1')
  assert.equal(answer.headers.connection, 'close')
  assert.match(answer.text, /^upload_busy: /)
})

test('a 409 tells where the upload ends, and changes nothing', async () => {
  await using edge = await startEdge()
  const path = await create(edge)
  await patch(edge, path, '0', 'hel')
  const answer = await patch(edge, path, '0', 'hel')
  assert.deepEqual([answer.status, answer.headers['upload-offset']], [409, '3'])
})
