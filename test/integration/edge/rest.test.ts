import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UploadError } from '../../../server/uploads/errors.ts'
import { newUploadId } from '../../../server/uploads/id.ts'
import { ANYBODY, startEdge, TUS } from './http-edge.ts'

const UPLOADS = '/api/v1/uploads'

test('a record shows what its owner may see, and nothing of the machinery', async () => {
  await using edge = await startEdge()
  const upload = edge.engine.put(Buffer.from('hello'), { filename: 'a.txt', crc32: 0x3610a686 })
  const answer = await edge.send('GET', `${UPLOADS}/${upload.id}/info`)
  assert.equal(answer.status, 200)
  assert.match(answer.headers['content-type'] ?? '', /^application\/json/)
  const record = JSON.parse(answer.text)
  assert.deepEqual(Object.keys(record).sort(), [
    'contentType',
    'crc32',
    'createdAt',
    'enteredAt',
    'expiresAt',
    'filename',
    'id',
    'legalHold',
    'length',
    'lengthDeferred',
    'metadata',
    'owner',
    'sha256',
    'state',
    'tenant',
    'updatedAt',
  ])
  assert.deepEqual([record.id, record.length, record.crc32], [upload.id, 5, '3610a686'])
  assert.equal(record.createdAt, '2026-01-02T03:04:05.000Z')
  assert.doesNotMatch(answer.text, /secret/)
  assert.equal((await edge.send('GET', `${UPLOADS}/${newUploadId()}/info`)).status, 404)
  assert.equal((await edge.send('GET', `${UPLOADS}/no-id/info`)).status, 404)
})

test('a list is read strictly, and told page by page', async () => {
  await using edge = await startEdge()
  for (let n = 0; n < 3; n++) edge.engine.put(Buffer.from(String(n)))
  const page = JSON.parse((await edge.send('GET', `${UPLOADS}?limit=2`)).text)
  assert.deepEqual([page.items.length, page.nextCursor], [2, 'more'])
  const whole = JSON.parse((await edge.send('GET', `${UPLOADS}/`)).text)
  assert.deepEqual([whole.items.length, whole.nextCursor], [3, null])
  for (const query of ['limit=0', 'limit=101', 'limit=x', 'state=odd', 'createdAfter=soon', 'cursor=a&cursor=b']) {
    const answer = await edge.send('GET', `${UPLOADS}?${query}`)
    assert.deepEqual([answer.status, JSON.parse(answer.text).code], [400, 'query_invalid'], query)
  }
  const filters = 'state=available&contentType=image/png&createdAfter=2026-01-01T00:00:00Z&createdBefore=1900000000000'
  assert.equal((await edge.send('GET', `${UPLOADS}?${filters}&owner=a&cursor=c`)).status, 200)
})

test('a creation in no dialect of ours is a 412', async () => {
  await using edge = await startEdge()
  for (const headers of [{}, { 'Upload-Complete': '?1' }, { 'Content-Type': 'application/json' }]) {
    const answer = await edge.send('POST', UPLOADS, headers, '{}')
    assert.deepEqual([answer.status, answer.headers['tus-version']], [412, '1.0.0'])
    assert.equal(JSON.parse(answer.text).code, 'version_unsupported')
  }
  assert.deepEqual(edge.engine.calls, [])
})

test('a failure is a problem, in the tus dialect a line of text', async () => {
  await using edge = await startEdge()
  const path = `${UPLOADS}/${newUploadId()}`
  const problem = await edge.send('GET', `${path}/info`, { 'X-Request-ID': 'r-1' })
  assert.equal(problem.headers['content-type'], 'application/problem+json')
  const { type, title, status, detail, code, retryable, requestId } = JSON.parse(problem.text)
  assert.deepEqual(
    { type, title, status, code, retryable, requestId },
    {
      type: 'urn:upload-service:error:not_found',
      title: 'Not found',
      status: 404,
      code: 'not_found',
      retryable: false,
      requestId: 'r-1',
    },
  )
  assert.match(detail, /There is no upload/)
  const text = await edge.send('DELETE', path, TUS)
  assert.match(text.headers['content-type'] ?? '', /^text\/plain/)
  assert.match(text.text, /^not_found: /)
})

test('a request id is taken over when it is sane, and in every answer', async () => {
  await using edge = await startEdge()
  assert.equal(
    (await edge.send('GET', '/livez', { 'X-Request-ID': 'abc-1.2:3_4' })).headers['x-request-id'],
    'abc-1.2:3_4',
  )
  for (const id of ['', 'a b', 'x'.repeat(200), '<script>']) {
    const answer = await edge.send('GET', '/nowhere', { 'X-Request-ID': id })
    assert.match(String(answer.headers['x-request-id']), /^[0-9a-f-]{36}$/)
  }
})

test('who is not known gets no further than 401, on every address of the API', async () => {
  await using edge = await startEdge({
    authenticate: async (req) => {
      if (req.headers.authorization === 'Bearer good') return ANYBODY
      throw new UploadError('unauthenticated', 'No token.')
    },
  })
  const path = `${UPLOADS}/${newUploadId()}`
  for (const [method, target] of [
    ['POST', UPLOADS],
    ['GET', UPLOADS],
    ['GET', path],
    ['HEAD', path],
    ['PATCH', path],
    ['DELETE', path],
    ['GET', `${path}/info`],
    ['GET', '/api/v1/nowhere'],
  ] as const) {
    const answer = await edge.send(method, target, TUS)
    assert.deepEqual([answer.status, answer.headers['www-authenticate']], [401, 'Bearer'], `${method} ${target}`)
  }
  assert.deepEqual(edge.engine.calls, [])
  assert.equal((await edge.send('GET', '/livez')).status, 200)
  assert.equal((await edge.send('GET', UPLOADS, { Authorization: 'Bearer good' })).status, 200)
})

test('health: a dependency that is away takes no instance out, unless one asks strictly', async () => {
  await using edge = await startEdge()
  const statuses = async (): Promise<number[]> => {
    const paths = ['/livez', '/readyz', '/health', '/health?strict']
    return Promise.all(paths.map(async (path) => (await edge.send('GET', path)).status))
  }
  assert.deepEqual(await statuses(), [200, 200, 200, 200])
  edge.health.report = { status: 'degraded' }
  assert.deepEqual(await statuses(), [200, 200, 200, 503])
  assert.equal(JSON.parse((await edge.send('GET', '/health')).text).status, 'degraded')
  edge.health.phase = 'draining'
  assert.deepEqual(await statuses(), [200, 503, 503, 503])
  assert.equal((await edge.send('HEAD', '/readyz')).status, 503)
  edge.health.phase = 'starting'
  assert.deepEqual(await statuses(), [200, 503, 503, 503])
})

test('every request is logged once, by operation', async () => {
  await using edge = await startEdge({ location: { trustedProxies: ['127.0.0.1'] } })
  const { id } = edge.engine.put(Buffer.from('hello'))
  await edge.send('GET', `${UPLOADS}/${id}`, { 'X-Forwarded-For': '9.9.9.9, 203.0.113.7, 127.0.0.1' })
  await edge.send('HEAD', `${UPLOADS}/${id}`, TUS)
  await edge.send('POST', `${UPLOADS}/${id}`, { ...TUS, 'X-HTTP-Method-Override': 'DELETE' })
  await edge.send('PATCH', `${UPLOADS}/${id}`, TUS)
  await edge.send('GET', '/metrics')
  await edge.send('GET', '/nowhere/secret')
  assert.deepEqual(
    edge.entries.map((entry) => [entry.operation, entry.method, entry.status, entry.code]),
    [
      ['uploads.download', 'GET', 200, null],
      ['tus.inspect', 'HEAD', 200, null],
      ['tus.terminate', 'DELETE', 204, null],
      ['tus.append', 'PATCH', 415, 'content_type_unsupported'],
      ['metrics', 'GET', 200, null],
      ['unmatched', 'GET', 404, 'not_found'],
    ],
  )
  assert.deepEqual([edge.entries[0]?.uploadId, edge.entries[0]?.owner], [id, 'anonymous'])
  assert.equal(edge.entries[0]?.remote, '203.0.113.7')
  assert.doesNotMatch(JSON.stringify(edge.entries), /nowhere/)
})
