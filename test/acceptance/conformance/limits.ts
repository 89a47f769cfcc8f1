/** Rows that need settings of their own: `service` runs with {@link LIMITS}. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Service } from '../support/backend.ts'
import { OCT, patchHeaders, pathOf, sampleBytes, UPLOADS } from '../support/tus.ts'
import { Wire } from '../support/wire.ts'

export const MAX_BYTES = 1000
export const IDLE_MS = 1500
export const ORIGIN = 'https://app.example'
export const LIMITS = {
  MAX_FILE_SIZE: String(MAX_BYTES),
  IDLE_TIMEOUT: `${IDLE_MS}ms`,
  TRUSTED_PROXIES: '127.0.0.1,::1',
  CORS_ORIGINS: `${ORIGIN},https://other.example`,
} as const

export function sizeLimits(service: () => Service): void {
  describe('size limits', () => {
    test('CORE-03 Tus-Max-Size', async () => {
      assert.equal((await service().tus.options()).headers['tus-max-size'], String(MAX_BYTES))
    })

    test('CORE-44 a creation beyond the limit is a 413 and creates nothing', async () => {
      const { tus } = service()
      const answer = await tus.post({ length: MAX_BYTES + 1 })
      assert.equal(answer.status, 413)
      assert.equal(answer.headers.location, undefined)
      assert.equal((await tus.post({ length: MAX_BYTES })).status, 201)
    })

    test('CORE-45 a deferred length beyond the limit is refused and not recorded', async () => {
      const { tus } = service()
      const path = await tus.create({ defer: true })
      const answer = await tus.patch(path, 0, 'hello', { 'Upload-Length': String(MAX_BYTES + 1) })
      assert.ok([413, 400].includes(answer.status), `${answer.status}`)
      const head = await tus.head(path)
      assert.equal(head.headers['upload-defer-length'], '1')
      assert.equal(head.headers['upload-length'], undefined)
      assert.equal(head.headers['upload-offset'], '0')
    })

    test('CORE-46 a chunked body of an unknown length ends at the limit', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ defer: true })
      const wire = await Wire.open(origin)
      const { 'Content-Length': _, ...headers } = patchHeaders(0, { 'Transfer-Encoding': 'chunked' })
      wire.head('PATCH', path, headers)
      const bytes = sampleBytes(MAX_BYTES + 200, 'core-46')
      for (let at = 0; at < bytes.length; at += 300) wire.chunk(bytes.subarray(at, at + 300))
      wire.chunk('')
      const answer = await wire.answer('PATCH')
      assert.ok([413, 400].includes(answer.status), `${answer.status}`)
      wire.socket.destroy()
      assert.ok((await tus.offset(path)) <= MAX_BYTES)
    })
  })
}

export function idleBodies(service: () => Service): void {
  describe('bodies that stand still', { concurrency: true }, () => {
    test('CORE-43 ROB-31 a body without bytes for IDLE_TIMEOUT is cut and what came is kept', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 500 })
      const bytes = sampleBytes(500, 'core-43')
      const wire = await tus.stalled(path, 0, 500, bytes.subarray(0, 200))
      const started = Date.now()
      await wire.closed
      assert.ok(Date.now() - started >= IDLE_MS * 0.9, `cut after ${Date.now() - started} ms`)
      await tus.standsAt(path, 200, 500)
      assert.equal((await tus.patch(path, 200, bytes.subarray(200))).status, 204)
      await tus.contentIs(path, bytes)
    })

    test('ROB-30 a slow body is not cut while bytes flow', async () => {
      const { tus, origin } = service()
      const bytes = sampleBytes(12, 'rob-30')
      const path = await tus.create({ length: bytes.length })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': String(bytes.length) }))
      for (const byte of bytes) {
        wire.write(Buffer.of(byte))
        await new Promise((resolve) => setTimeout(resolve, IDLE_MS / 5))
      }
      assert.equal((await wire.answer('PATCH')).status, 204)
      wire.socket.destroy()
      await tus.contentIs(path, bytes)
    })

    test('ROB-33 a client that was told to continue and does not is let go', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 5 })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': '5', Expect: '100-continue' }))
      assert.equal(await wire.interim(), 100)
      await wire.closed
      assert.equal((await tus.patch(path, 0, 'hello')).status, 204)
    })
  })
}

export function forwarded(service: () => Service): void {
  describe('behind a trusted proxy', () => {
    test('CRE-09 CRE-11 Location follows the forwarded headers', async () => {
      const { tus } = service()
      for (const headers of [
        { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'a.example' },
        { Forwarded: 'for=1;host="a.example";proto=https' },
      ]) {
        const location = (await tus.post({ length: 5, headers })).headers.location ?? ''
        assert.ok(location.startsWith(`https://a.example${UPLOADS}/`), location)
      }
    })

    test('CRE-10 odd forwarded headers are never an error', async () => {
      const { tus } = service()
      for (const proto of ['https,http', 'wss', 'javascript', '']) {
        const answer = await tus.post({ length: 5, headers: { 'X-Forwarded-Proto': proto } })
        assert.equal(answer.status, 201, proto)
        assert.match(answer.headers.location ?? '', /^https?:\/\/[^/]+\/api\/v1\/uploads\//)
      }
    })
  })
}

const EXPOSED = [
  ...['Upload-Offset', 'Location', 'Upload-Length', 'Upload-Metadata', 'Upload-Defer-Length', 'Upload-Concat'],
  ...['Upload-Expires', 'Tus-Version', 'Tus-Resumable', 'Tus-Max-Size', 'Tus-Extension', 'Tus-Checksum-Algorithm'],
  ...['Upload-Complete', 'Upload-Limit'],
]
const ALLOWED = [
  ...['Authorization', 'Content-Type', 'Tus-Resumable', 'Upload-Length', 'Upload-Offset', 'Upload-Metadata'],
  ...['Upload-Defer-Length', 'Upload-Concat', 'Upload-Checksum', 'X-HTTP-Method-Override', 'X-Requested-With'],
  ...['X-Request-ID', 'Upload-Complete', 'Upload-Incomplete', 'Upload-Draft-Interop-Version'],
]

function names(list: string | undefined): string[] {
  return (list ?? '').split(',').map((name) => name.trim().toLowerCase())
}

export function cors(service: () => Service): void {
  describe('CORS with a list of origins', () => {
    test('COR-01 COR-02 CLI-23 preflight', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const target of [UPLOADS, path]) {
        const answer = await tus.options(target, {
          Origin: ORIGIN,
          'Access-Control-Request-Method': 'PATCH',
          'Access-Control-Request-Headers': 'tus-resumable,upload-offset,x-request-id',
        })
        assert.ok([200, 204].includes(answer.status))
        assert.equal(answer.headers['access-control-allow-origin'], ORIGIN)
        const methods = names(answer.headers['access-control-allow-methods'])
        for (const method of ['post', 'head', 'patch', 'options', 'get', 'delete']) assert.ok(methods.includes(method))
        const allowed = names(answer.headers['access-control-allow-headers'])
        for (const name of ALLOWED) assert.ok(allowed.includes(name.toLowerCase()), `${name} is not allowed`)
      }
    })

    test('COR-03 COR-06 what a page may read', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const answer of [
        await tus.head(path, { Origin: ORIGIN }),
        await tus.post({ length: 5, headers: { Origin: ORIGIN } }),
      ]) {
        assert.equal(answer.headers['access-control-allow-origin'], ORIGIN)
        assert.ok(names(answer.headers.vary).includes('origin'))
        const exposed = names(answer.headers['access-control-expose-headers'])
        for (const name of EXPOSED) assert.ok(exposed.includes(name.toLowerCase()), `${name} is not exposed`)
      }
    })

    test('COR-04 failures carry the CORS headers too', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const headers = { Origin: ORIGIN }
      for (const [status, answer] of [
        [412, await tus.post({ length: 5, headers: { ...headers, 'Tus-Resumable': undefined } })],
        [400, await tus.post({ headers })],
        [413, await tus.post({ length: MAX_BYTES + 1, headers })],
        [404, await tus.head(`${UPLOADS}/nothing`, headers)],
        [409, await tus.patch(path, 3, 'lo', headers)],
        [415, await tus.patch(path, 0, 'hello', { ...headers, 'Content-Type': 'text/plain' })],
        [405, await tus.send('PUT', path, { ...headers, 'Tus-Resumable': '1.0.0', 'Content-Length': '0' })],
      ] as const) {
        assert.equal(answer.status, status)
        assert.equal(answer.headers['access-control-allow-origin'], ORIGIN, `on a ${status}`)
      }
    })

    test('COR-05 COR-06 COR-11 another origin is not let in, and is not told of a third', async () => {
      const { tus } = service()
      for (const origin of ['https://evil.example', 'null', `${ORIGIN}.evil.example`]) {
        const preflight = await tus.options(UPLOADS, { Origin: origin, 'Access-Control-Request-Method': 'POST' })
        const actual = await tus.post({ length: 5, headers: { Origin: origin } })
        for (const { headers } of [preflight, actual]) {
          assert.equal(headers['access-control-allow-origin'], undefined, origin)
        }
        assert.ok(names(actual.headers.vary).includes('origin'))
      }
    })

    test('COR-08 without Origin everything works', async () => {
      const { tus, origin } = service()
      const answer = await tus.post({ length: 5 })
      assert.equal(answer.status, 201)
      assert.equal((await tus.patch(pathOf(answer, origin), 0, 'hello', { 'Content-Type': OCT })).status, 204)
    })
  })
}

/** `service` runs with default settings. */
export function corsByDefault(service: () => Service): void {
  test('COR-07 never a star together with credentials', async () => {
    const { tus } = service()
    for (const answer of [
      await tus.options(UPLOADS, { Origin: ORIGIN, 'Access-Control-Request-Method': 'POST' }),
      await tus.post({ length: 5, headers: { Origin: ORIGIN } }),
      await tus.post({ headers: { Origin: ORIGIN } }),
    ]) {
      if (answer.headers['access-control-allow-origin'] === '*') {
        assert.notEqual(answer.headers['access-control-allow-credentials'], 'true')
      }
    }
  })
}
