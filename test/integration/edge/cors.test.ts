import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UploadError } from '../../../server/uploads/errors.ts'
import { OCTETS, pathOf, startEdge, TUS } from './http-edge.ts'

const UPLOADS = '/api/v1/uploads'
const PAGE = 'https://page.example'
const PREFLIGHT = { Origin: PAGE, 'Access-Control-Request-Method': 'PATCH' }

function list(value: string | undefined): string[] {
  return (value ?? '').split(',').map((name) => name.trim().toLowerCase())
}

test('a preflight passes without authentication and lists what a browser may send', async () => {
  await using edge = await startEdge({
    authenticate: async () => {
      throw new UploadError('unauthenticated', 'No token.')
    },
  })
  const answer = await edge.send('OPTIONS', UPLOADS, PREFLIGHT)
  assert.equal(answer.status, 204)
  assert.equal(answer.headers['access-control-allow-origin'], '*')
  assert.equal(answer.headers['access-control-max-age'], '86400')
  const methods = list(answer.headers['access-control-allow-methods'])
  for (const method of ['post', 'head', 'patch', 'options', 'get', 'delete']) assert.ok(methods.includes(method))
  const headers = list(answer.headers['access-control-allow-headers'])
  for (const name of [
    'Authorization',
    'Content-Type',
    'Tus-Resumable',
    'Upload-Length',
    'Upload-Offset',
    'Upload-Metadata',
    'Upload-Defer-Length',
    'Upload-Concat',
    'Upload-Checksum',
    'X-HTTP-Method-Override',
    'X-Requested-With',
    'X-Request-ID',
    'Upload-Complete',
    'Upload-Incomplete',
    'Upload-Draft-Interop-Version',
  ]) {
    assert.ok(headers.includes(name.toLowerCase()), name)
  }
})

test('every answer to a browser says what it may read, errors too', async () => {
  await using edge = await startEdge({ cors: { origins: [PAGE], credentials: true } })
  const headers = { ...TUS, Origin: PAGE }
  const created = await edge.send('POST', UPLOADS, { ...headers, 'Upload-Length': '5' })
  const path = pathOf(created)
  edge.engine.failNext('record', new UploadError('records_unavailable', 'Away.'))
  const answers = [
    created,
    await edge.send('POST', UPLOADS, { Origin: PAGE }),
    await edge.send('POST', UPLOADS, headers),
    await edge.send('POST', UPLOADS, { ...headers, 'Upload-Length': '1000001' }),
    await edge.send('PATCH', path, { ...headers, ...OCTETS, 'Upload-Offset': '3' }, 'lo'),
    await edge.send('PATCH', path, { ...headers, 'Upload-Offset': '0' }, 'lo'),
    await edge.send('HEAD', path, headers),
    await edge.send('HEAD', `${UPLOADS}/nothing`, headers),
    await edge.send('GET', path, headers),
    await edge.send('GET', `${path}/info`, headers),
    await edge.send('GET', `${UPLOADS}?limit=x`, headers),
    await edge.send('PUT', path, headers),
  ]
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [201, 412, 400, 413, 409, 415, 200, 404, 404, 503, 400, 405],
  )
  for (const answer of answers) {
    assert.equal(answer.headers['access-control-allow-origin'], PAGE, String(answer.status))
    assert.equal(answer.headers['access-control-allow-credentials'], 'true')
    assert.match(answer.headers.vary ?? '', /Origin/)
    const exposed = list(answer.headers['access-control-expose-headers'])
    for (const name of [
      'upload-offset',
      'location',
      'upload-length',
      'upload-expires',
      'tus-version',
      'upload-limit',
    ]) {
      assert.ok(exposed.includes(name), name)
    }
  }
})

test('an origin that is not on the list gets no header, and never another origin', async () => {
  await using edge = await startEdge({ cors: { origins: [PAGE], credentials: true } })
  for (const origin of ['https://evil.example', 'null', `${PAGE}.evil.example`, PAGE.toUpperCase()]) {
    const answer = await edge.send('OPTIONS', UPLOADS, { ...PREFLIGHT, Origin: origin })
    assert.equal(answer.headers['access-control-allow-origin'], undefined, origin)
    assert.equal(answer.headers['access-control-allow-credentials'], undefined)
    assert.match(answer.headers.vary ?? '', /Origin/)
  }
})

test('any origin never goes with credentials', async () => {
  await using edge = await startEdge({ cors: { origins: '*', credentials: true } })
  const answer = await edge.send('OPTIONS', UPLOADS, PREFLIGHT)
  assert.equal(answer.headers['access-control-allow-origin'], '*')
  assert.equal(answer.headers['access-control-allow-credentials'], undefined)
})

test('without origins there is no CORS header at all, and without Origin none is needed', async () => {
  await using off = await startEdge({ cors: { origins: [], credentials: false } })
  const preflight = await off.send('OPTIONS', UPLOADS, PREFLIGHT)
  assert.deepEqual(
    Object.keys(preflight.headers).filter((name) => name.startsWith('access-control')),
    [],
  )
  await using edge = await startEdge()
  assert.equal((await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': '5' })).status, 201)
})
