import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import express from 'express'
import { createPages } from './pages.ts'

const WEB = new URL('../../web/', import.meta.url)
const OPTIONS = { chunkBytes: 1048576, maxBytes: 42, authMode: 'jwt', publicUrl: 'https://u.example/x' } as const

describe('the pages', () => {
  let server: Server
  let origin: string
  before(async () => {
    const app = express().disable('etag')
    app.use('/', createPages(OPTIONS))
    app.use((_req, res) => void res.status(404).end('elsewhere'))
    server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  after(() => {
    server.close()
    server.closeAllConnections()
  })

  test('the page tells its scripts what they need, under a policy that names its one inline script', async () => {
    const answer = await fetch(origin)
    const html = await answer.text()
    const config = /id="config">(.*?)<\/script>/.exec(html)?.[1]
    assert.deepEqual(JSON.parse(config ?? ''), {
      endpoint: '/api/v1/uploads',
      chunkBytes: 1048576,
      maxBytes: 42,
      authMode: 'jwt',
    })
    const map = /type="importmap">(.*?)<\/script>/.exec(html)?.[1] ?? ''
    const policy = answer.headers.get('content-security-policy') ?? ''
    const sum = createHash('sha256').update(map).digest('base64')
    assert.ok(policy.includes(`script-src 'self' 'sha256-${sum}';`), policy)
    assert.ok(policy.startsWith("default-src 'self';") && !policy.includes('unsafe'), policy)
    assert.ok(policy.includes("connect-src 'self' https://u.example;"), policy)
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
    assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8')
  })

  test('where downloads are links to the store, the page may follow them', async () => {
    const source = 'https://*.store.example'
    const server = express()
      .use(createPages({ ...OPTIONS, linkSource: source }))
      .listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const { headers } = await fetch(`http://127.0.0.1:${port}/`)
    assert.match(headers.get('content-security-policy') ?? '', /connect-src 'self' [^;]*https:\/\/\*\.store\.example;/)
    server.close()
    server.closeAllConnections()
  })

  test('every file that the page and its modules name is served, with its type', async () => {
    const html = await (await fetch(origin)).text()
    const named = new Set([...html.matchAll(/\/page\/[\w.-]+/g)].map(([path]) => path))
    for (const name of readdirSync(WEB).filter((file) => file.endsWith('.js'))) {
      named.add(`/page/${name}`)
      for (const [, other] of readFileSync(new URL(name, WEB), 'utf8').matchAll(/from '\.\/(.+?)'/g)) {
        named.add(`/page/${other}`)
      }
    }
    const types: Record<string, string> = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' }
    for (const path of named) {
      const answer = await fetch(origin + path)
      await answer.arrayBuffer()
      assert.equal(answer.status, 200, path)
      assert.equal(answer.headers.get('content-type')?.split(';')[0], types[path.split('.').at(-1) ?? ''], path)
    }
  })

  test('what is not listed is not there', async () => {
    const paths = ['/page/index.html', '/page/format.test.ts', '/page/../package.json', '/page/%2e%2e/package.json']
    for (const path of [...paths, '/page/', '/Page/page.js', '/page/page.js/', '/page//page.js', '/x']) {
      const answer = await fetch(origin + path)
      assert.equal(await answer.text(), 'elsewhere', path)
    }
    const posted = await fetch(origin, { method: 'POST', body: 'x' })
    assert.equal(posted.status, 404)
  })

  test('an unchanged file is not sent again; compressed or plain, it is the same', async () => {
    const url = `${origin}/page/uppy.js`
    const plain = await fetch(url, { headers: { 'Accept-Encoding': 'identity' } })
    const packed = await fetch(url, { headers: { 'Accept-Encoding': 'gzip' } })
    assert.equal(plain.headers.get('content-encoding'), null)
    assert.equal(packed.headers.get('content-encoding'), 'gzip')
    assert.ok(Number(packed.headers.get('content-length')) < Number(plain.headers.get('content-length')) / 2)
    assert.equal(packed.headers.get('vary'), 'Accept-Encoding')
    assert.ok(Buffer.from(await plain.arrayBuffer()).equals(Buffer.from(await packed.arrayBuffer())))
    const etag = plain.headers.get('etag') ?? ''
    assert.equal(packed.headers.get('etag'), etag)
    // As browsers ask; without it, fetch asks for an answer from the source.
    const again = await fetch(url, { headers: { 'If-None-Match': etag, 'Cache-Control': 'max-age=0' } })
    assert.equal(again.status, 304)
    assert.equal(await again.text(), '')
    const head = await fetch(url, { method: 'HEAD' })
    assert.equal(head.status, 200)
  })
})
