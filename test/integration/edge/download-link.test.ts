import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UploadError } from '../../../server/uploads/errors.ts'
import { type Edge, startEdge } from './http-edge.ts'

const UPLOADS = '/api/v1/uploads'
const STORE = 'https://store.example/bucket'
const BYTES = Buffer.from('0123456789')

async function linking(store: string | null = STORE): Promise<Edge> {
  const edge = await startEdge({ linkMs: 60_000 })
  edge.engine.store = store
  return edge
}

function put(edge: Edge, values = {}, bytes = BYTES): string {
  return `${UPLOADS}/${edge.engine.put(bytes, values).id}`
}

/** Where the answer sends the client: the link's path, and what the store is to say of the file. */
async function sentTo(edge: Edge, path: string, headers: Record<string, string> = {}) {
  const answer = await edge.send('GET', path, headers)
  assert.equal(answer.status, 307, answer.text)
  const url = new URL(String(answer.headers.location))
  return { answer, place: `${url.origin}${url.pathname}`, said: Object.fromEntries(url.searchParams) }
}

test('a download is sent to the store, with type, name and time; nobody may keep the answer', async () => {
  await using edge = await linking()
  const path = put(edge, { contentType: 'image/png', filename: 'é.png' })
  const { answer, place, said } = await sentTo(edge, path)
  assert.equal(place, `${STORE}/${path.split('/').pop()}`)
  assert.deepEqual(said, {
    ms: '60000',
    contentType: 'image/png',
    contentDisposition: `inline; filename="_.png"; filename*=UTF-8''%C3%A9.png`,
  })
  assert.equal(answer.text, '')
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.equal(answer.headers['referrer-policy'], 'no-referrer')
  assert.equal(answer.headers.etag, undefined, "the file's ETag is the store's")
})

test('what a browser could take for a page is not shown, since the store does not send nosniff', async () => {
  await using edge = await linking()
  for (const contentType of ['text/html', 'image/svg+xml', 'text/plain', 'text/plain; charset=utf-8', 'not a type']) {
    const { said } = await sentTo(edge, put(edge, { contentType, filename: 'a.txt' }))
    assert.match(said.contentDisposition ?? '', /^attachment; /, contentType)
  }
  const { said } = await sentTo(edge, put(edge, { contentType: 'not a type' }))
  assert.equal(said.contentType, 'application/octet-stream')
})

test('ranges and the conditions that the store understands go there too', async () => {
  await using edge = await linking()
  const path = put(edge)
  const theirs = '"d41d8cd98f00b204e9800998ecf8427e"'
  for (const headers of [
    { Range: 'bytes=2-4' },
    { Range: 'bytes=2-4', 'If-Range': theirs },
    { 'If-Match': theirs },
    { 'If-None-Match': theirs },
  ]) {
    await sentTo(edge, path, headers)
  }
})

test('a client that names our ETag is answered here', async () => {
  await using edge = await linking()
  const path = put(edge)
  const { etag } = (await edge.send('HEAD', path)).headers
  assert.ok(etag)
  assert.equal((await edge.send('GET', path, { 'If-None-Match': `"x", W/${etag}` })).status, 304)
  assert.equal((await edge.send('GET', path, { 'If-Match': etag })).status, 200)
  const range = await edge.send('GET', path, { Range: 'bytes=2-4', 'If-Range': etag })
  assert.deepEqual([range.status, range.text], [206, '234'])
})

test('HEAD says what it always did', async () => {
  await using edge = await linking()
  const { status, headers } = await edge.send('HEAD', put(edge, { contentType: 'text/plain' }))
  assert.deepEqual([status, headers['content-length'], headers['content-disposition']], [200, '10', 'inline'])
})

test('a file that the store gives no link to is streamed, and an empty one', async () => {
  await using edge = await linking(null)
  assert.deepEqual((await edge.send('GET', put(edge))).text, '0123456789')
  edge.engine.store = STORE
  const empty = await edge.send('GET', put(edge, {}, Buffer.alloc(0)))
  assert.deepEqual([empty.status, empty.headers['content-length']], [200, '0'])
})

test('who may not download gets no link', async () => {
  await using edge = await linking()
  const path = put(edge)
  edge.engine.failNext('download', new UploadError('forbidden', 'Not yours.'))
  assert.equal((await edge.send('GET', path)).status, 403)
  assert.equal((await edge.send('GET', `${UPLOADS}/01890a5d-ac96-774b-bcce-b302099a80ff`)).status, 404)
  assert.ok(!edge.engine.calls.includes('link'))
})
