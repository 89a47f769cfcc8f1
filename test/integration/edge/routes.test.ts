import assert from 'node:assert/strict'
import { test } from 'node:test'
import { API_DOCUMENT } from '../../../server/http/openapi/document.ts'
import { operationsOf } from '../../../server/http/openapi/render.ts'
import { POLICY } from '../../../server/uploads/policy.ts'
import { routesOfEdge, startEdge, TUS } from './http-edge.ts'

test('the document describes every route, and no other', async () => {
  await using edge = await startEdge()
  const routes = routesOfEdge(edge).map(({ method, path }) => `${method} ${path}`)
  const described = operationsOf(API_DOCUMENT).map(({ method, path }) => `${method} ${path}`)
  assert.deepEqual(described.sort(), routes.sort())
})

test('what a route asks of the caller is what the document says', async () => {
  await using edge = await startEdge()
  const roles = new Map(
    operationsOf(API_DOCUMENT).map(({ method, path, operation }) => [`${method} ${path}`, operation['x-roles'] ?? []]),
  )
  for (const { method, path, asks } of routesOfEdge(edge)) {
    const allowed = Object.entries(POLICY).filter(([, row]) => asks.some((action) => row[action] !== undefined))
    assert.deepEqual(
      roles.get(`${method} ${path}`),
      allowed.map(([role]) => role),
      `${method} ${path}`,
    )
  }
})

test('nothing is mounted beside the routes', async () => {
  await using edge = await startEdge()
  const known = new Set(routesOfEdge(edge).map(({ method, path }) => `${method} ${path}`))
  // A refusal with 405, which no document describes.
  known.add('HEAD /api/v1/uploads')
  const mounted = edge.app.router.stack.flatMap(({ route }) =>
    (route?.stack ?? []).map(({ method }) => `${method.toUpperCase()} ${route?.path.replaceAll(/:(\w+)/g, '{$1}')}`),
  )
  assert.ok(mounted.length > 10)
  assert.deepEqual(
    mounted.filter((one) => !known.has(one)),
    [],
  )
})

test('every described operation is answered by something', async () => {
  await using edge = await startEdge()
  const upload = edge.engine.put(Buffer.from('hello'))
  for (const { method, path } of operationsOf(API_DOCUMENT)) {
    // The edge of these tests has no pages.
    if (path === '/' || path.startsWith('/page')) continue
    const at = path.replace('{id}', upload.id)
    const answer = await edge.send(method, at, method === 'DELETE' ? {} : TUS)
    assert.notEqual(answer.status, 405, `${method} ${path}`)
    assert.ok(answer.status !== 404 || !answer.text.includes('Nothing is at this address'), `${method} ${path}`)
  }
})

test('the document and its page are served', async () => {
  await using edge = await startEdge()
  const document = await edge.send('GET', '/openapi.json')
  assert.equal(document.status, 200)
  assert.deepEqual(JSON.parse(document.body.toString('utf8')), JSON.parse(JSON.stringify(API_DOCUMENT)))
  const page = await edge.send('GET', '/docs')
  assert.match(page.headers['content-type'] ?? '', /^text\/html/)
  const policy = page.headers['content-security-policy'] ?? ''
  assert.match(String(policy), /default-src 'none'/)
  assert.doesNotMatch(String(policy), /http|unsafe/)
})
