import assert from 'node:assert/strict'
import type { OutgoingHttpHeaders } from 'node:http'
import { test } from 'node:test'
import type { LocationSettings } from '../../../server/http/location.ts'
import { type Edge, startEdge, TUS } from './http-edge.ts'

const UPLOADS = '/api/v1/uploads'
const LOCAL = { trustedProxies: ['127.0.0.0/8'] }

/** The Location of a new upload, without its id. */
async function locationOf(settings: Partial<LocationSettings>, headers: OutgoingHttpHeaders): Promise<string> {
  await using edge: Edge = await startEdge({ location: settings })
  const answer = await edge.send('POST', UPLOADS, { ...TUS, 'Upload-Length': '5', ...headers })
  assert.equal(answer.status, 201)
  const location = answer.headers.location ?? ''
  assert.match(location, /\/[0-9a-f-]{36}$/)
  return location.slice(0, location.lastIndexOf('/'))
}

const FORWARDED = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'a.example', Host: 'inner:1' }

test('PUBLIC_URL comes before everything', async () => {
  const publicUrl = 'https://files.example/base'
  assert.equal(await locationOf({ ...LOCAL, publicUrl }, FORWARDED), `${publicUrl}${UPLOADS}`)
})

test('forwarded headers count from a trusted proxy only', async () => {
  assert.equal(await locationOf(LOCAL, FORWARDED), `https://a.example${UPLOADS}`)
  assert.equal(await locationOf({}, FORWARDED), `http://inner:1${UPLOADS}`)
  assert.equal(await locationOf({ trustedProxies: ['10.0.0.0/8'] }, FORWARDED), `http://inner:1${UPLOADS}`)
})

test('Forwarded (RFC 7239) comes before X-Forwarded-*, quotes and further hops are stripped', async () => {
  const standard = { ...FORWARDED, Forwarded: 'for=1;host="b.example:8443";proto=https, for=2;host=c.example' }
  assert.equal(await locationOf(LOCAL, standard), `https://b.example:8443${UPLOADS}`)
  const chain = { ...FORWARDED, 'X-Forwarded-Proto': 'https,http', 'X-Forwarded-Host': 'a.example, inner' }
  assert.equal(await locationOf(LOCAL, chain), `https://a.example${UPLOADS}`)
  assert.equal(
    await locationOf(LOCAL, { ...FORWARDED, 'X-Forwarded-Prefix': '/files/' }),
    `https://a.example/files${UPLOADS}`,
  )
})

test('what is no host, scheme or prefix never gets into it', async () => {
  const odd = { 'X-Forwarded-Host': 'a.example/evil?', 'X-Forwarded-Proto': 'wss', Host: 'inner:1' }
  assert.equal(await locationOf(LOCAL, odd), `http://inner:1${UPLOADS}`)
  assert.equal(
    await locationOf(LOCAL, { ...FORWARDED, 'X-Forwarded-Prefix': '//evil/../x' }),
    `https://a.example${UPLOADS}`,
  )
  assert.equal(await locationOf({}, { Host: 'a b' }), UPLOADS)
})

test('relative by setting', async () => {
  const relative = { relativeLocation: true, publicUrl: 'https://files.example' }
  assert.equal(await locationOf(relative, FORWARDED), UPLOADS)
})
