/** Section 1 of the checklist: the tus core protocol. `service` runs with default settings. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Service } from '../support/backend.ts'
import { eventually, OCT, patchHeaders, pathOf, sampleBytes, UPLOADS } from '../support/tus.ts'
import { Wire } from '../support/wire.ts'

export const UNKNOWN = `${UPLOADS}/01890a5d-ac96-774b-bcce-b302099a8057`

export function coreDiscovery(service: () => Service): void {
  describe('core: OPTIONS and HEAD', () => {
    test('CORE-01 CORE-02 CORE-05 OPTIONS names the version, whatever Tus-Resumable says', async () => {
      const { tus } = service()
      const upload = await tus.create({ length: 5 })
      for (const [path, headers] of [
        [UPLOADS, {}],
        [UPLOADS, { 'Tus-Resumable': '9.9' }],
        [upload, {}],
      ] as const) {
        const answer = await tus.options(path, headers)
        assert.ok(answer.status === 204 || answer.status === 200, `OPTIONS ${path}: ${answer.status}`)
        assert.equal(answer.headers['tus-version']?.split(',')[0]?.trim(), '1.0.0')
      }
    })

    test('CORE-04 CRE-02 CWU-09 Tus-Extension lists exactly what works', async () => {
      const { tus } = service()
      const extensions = (await tus.options()).headers['tus-extension']?.split(',').map((name) => name.trim())
      assert.deepEqual(extensions?.sort(), [
        'checksum',
        'checksum-trailer',
        'concatenation',
        'creation',
        'creation-defer-length',
        'creation-with-upload',
        'expiration',
        'termination',
      ])
    })

    test('CORE-06 CORE-07 CORE-08 CORE-10 HEAD of a new, a partial and a finished upload', async () => {
      const { tus } = service()
      const bytes = sampleBytes(100, 'core-06')
      const path = await tus.create({ length: 100 })
      for (const [from, to] of [
        [0, 0],
        [0, 70],
        [70, 100],
      ] as const) {
        if (to > from) assert.equal((await tus.patch(path, from, bytes.subarray(from, to))).status, 204)
        const answer = await tus.head(path)
        assert.ok(answer.status === 200 || answer.status === 204)
        assert.equal(answer.headers['upload-offset'], String(to))
        assert.equal(answer.headers['upload-length'], '100')
        assert.match(answer.headers['cache-control'] ?? '', /no-store/)
      }
    })

    test('CORE-09 CORE-10 HEAD of an unknown upload is a 404 without offset and not cached', async () => {
      const answer = await service().tus.head(UNKNOWN)
      assert.equal(answer.status, 404)
      assert.equal(answer.headers['upload-offset'], undefined)
      assert.match(answer.headers['cache-control'] ?? '', /no-store/)
    })

    test('CORE-11 HEAD without Tus-Resumable is a 412 on an unfinished upload', async () => {
      const { tus } = service()
      const answer = await tus.send('HEAD', await tus.create({ length: 5 }))
      assert.equal(answer.status, 412)
      assert.equal(answer.headers['tus-version'], '1.0.0')
    })

    test('CORE-12 HEAD never has a body, so the connection stays in step', async () => {
      const { tus, origin } = service()
      const finished = await tus.createWith(5, 'hello')
      const wire = await Wire.open(origin)
      for (const path of [finished, UNKNOWN, finished]) {
        wire.head('HEAD', path, { 'Tus-Resumable': '1.0.0' })
        const answer = await wire.answer('HEAD')
        assert.equal(answer.status, path === finished ? 200 : 404)
      }
      assert.equal(wire.leftOver, '')
      wire.socket.destroy()
    })

    test('CORE-40 the query is no part of the id', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const query of ['?token=a', '?token=a/b', '?']) {
        const answer = await tus.head(`${path}${query}`)
        assert.equal(answer.status, 200, query)
        assert.equal(answer.headers['upload-offset'], '0')
      }
    })

    test('CORE-41 ids that are none are a 404', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const odd = ['..%2f..%2fetc%2fpasswd', '%00', '%5c', '..', 'a', '%', '%zz', 'x'.repeat(3000)]
      for (const id of [...odd, (path.split('/').pop() ?? '').toUpperCase()]) {
        const answer = await tus.head(`${UPLOADS}/${id}`)
        assert.ok(answer.status === 404 || (answer.status === 400 && id.includes('%')), `${id}: ${answer.status}`)
        assert.equal(answer.headers['upload-offset'], undefined)
      }
    })
  })
}

export function corePatch(service: () => Service): void {
  describe('core: PATCH', () => {
    test('CORE-13 a whole upload in one PATCH', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const answer = await tus.patch(path, 0, 'hello')
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['upload-offset'], '5')
      await tus.contentIs(path, 'hello')
    })

    test('CORE-14 bytes are appended at the offset', async () => {
      const { tus } = service()
      const bytes = sampleBytes(100, 'core-14')
      const path = await tus.createWith(100, bytes.subarray(0, 70))
      const answer = await tus.patch(path, 70, bytes.subarray(70))
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['upload-offset'], '100')
      await tus.contentIs(path, bytes)
    })

    test('CORE-15 two PATCHes', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      assert.equal((await tus.patch(path, 0, 'hel')).headers['upload-offset'], '3')
      assert.equal((await tus.patch(path, 3, 'lo')).headers['upload-offset'], '5')
      await tus.contentIs(path, 'hello')
    })

    test('CORE-16 CORE-17 a wrong offset, ahead or behind, is a 409 and changes nothing', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      assert.equal((await tus.patch(path, 3, 'lo')).status, 409)
      await tus.standsAt(path, 0, 5)
      assert.equal((await tus.patch(path, 0, 'hel')).status, 204)
      assert.equal((await tus.patch(path, 0, 'XXX')).status, 409)
      await tus.standsAt(path, 3, 5)
      assert.equal((await tus.patch(path, 3, 'lo')).status, 204)
      await tus.contentIs(path, 'hello')
    })

    test('CORE-18 CORE-19 CORE-20 a missing or unreadable offset is a 400', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const offset of [undefined, '-1', 'abc', '1.5', '1e3', '+0', '0x0', '', '99999999999999999999', '0, 0']) {
        const answer = await tus.patch(path, 0, 'hello', { 'Upload-Offset': offset })
        const allowed = offset === '99999999999999999999' ? [400, 409] : [400]
        assert.ok(allowed.includes(answer.status), `${offset}: ${answer.status}`)
      }
      await tus.standsAt(path, 0, 5)
    })

    test('CORE-21 CORE-22 another or no media type is a 415', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const type of ['text/plain', undefined, 'application/json', 'application/offset']) {
        assert.equal((await tus.patch(path, 0, 'hello', { 'Content-Type': type })).status, 415, type)
      }
      await tus.standsAt(path, 0, 5)
    })

    test('CORE-23 CORE-24 parameters and case of the media type do not matter', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 10 })
      assert.equal((await tus.patch(path, 0, 'hello', { 'Content-Type': `${OCT}; charset=utf-8` })).status, 204)
      assert.equal(
        (await tus.patch(path, 5, 'world', { 'Content-Type': 'Application/Offset+Octet-Stream' })).status,
        204,
      )
      await tus.contentIs(path, 'helloworld')
    })

    test('CORE-25 CORE-26 PATCH of an unknown or terminated upload', async () => {
      const { tus } = service()
      assert.equal((await tus.patch(UNKNOWN, 0, 'hello')).status, 404)
      const path = await tus.create({ length: 5 })
      assert.equal((await tus.terminate(path)).status, 204)
      assert.ok([404, 410].includes((await tus.patch(path, 0, 'hello')).status))
    })

    test('CORE-27 CORE-28 CORE-29 TER-08 a missing or foreign version is a 412 and nothing happens', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const version of [undefined, '0.2.2', '1.0', '2.0.0']) {
        const headers = { 'Tus-Resumable': version }
        for (const answer of [
          await tus.post({ length: 5, headers }),
          await tus.patch(path, 0, 'hello', headers),
          await tus.terminate(path, headers),
        ]) {
          assert.equal(answer.status, 412, String(version))
          assert.equal(answer.headers['tus-version'], '1.0.0')
          assert.equal(answer.headers.location, undefined)
        }
      }
      await tus.standsAt(path, 0, 5)
    })

    test('CORE-30 every answer carries Tus-Resumable', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const answers = [
        await tus.post({ length: 5 }),
        await tus.post({}),
        await tus.post({ length: 5, headers: { 'Tus-Resumable': undefined } }),
        await tus.head(path),
        await tus.head(UNKNOWN),
        await tus.patch(path, 3, 'lo'),
        await tus.patch(path, 0, 'hello', { 'Content-Type': 'text/plain' }),
        await tus.patch(path, 0, 'hello!!'),
        await tus.patch(path, 0, 'hello'),
        await tus.terminate(UNKNOWN),
        await tus.terminate(path),
        await tus.send('PUT', path, { 'Tus-Resumable': '1.0.0', 'Content-Length': '0' }),
      ]
      for (const { status, headers } of answers) assert.equal(headers['tus-resumable'], '1.0.0', `on a ${status}`)
    })

    test('CORE-42 ROB-01 a PATCH that breaks keeps what came', async () => {
      const { tus } = service()
      const bytes = sampleBytes(500, 'core-42')
      const path = await tus.create({ length: 500 })
      const wire = await tus.stalled(path, 0, 500, bytes.subarray(0, 200))
      await wholeArrived(wire)
      wire.cut()
      await eventually(async () => (await tus.offset(path)) === 200, 'the 200 bytes that were sent', 2000)
      assert.equal((await tus.patch(path, 200, bytes.subarray(200))).status, 204)
      await tus.contentIs(path, bytes)
    })
  })
}

/** An RST overtakes bytes that the receiver has not read yet: give it the moment to read them. */
async function wholeArrived(wire: Wire): Promise<void> {
  if (wire.socket.writableLength > 0) await new Promise((resolve) => wire.socket.once('drain', resolve))
  await sleep(150)
}

export function coreMethods(service: () => Service): void {
  describe('core: methods', () => {
    test('CORE-31 POST with override PATCH', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const [name, offset, body] of [
        ['PATCH', 0, 'hel'],
        ['patch', 3, 'lo'],
      ] as const) {
        const answer = await tus.send('POST', path, patchHeaders(offset, { 'X-HTTP-Method-Override': name }), body)
        assert.equal(answer.status, 204, `CORE-35 ${name}`)
        assert.equal(answer.headers['upload-offset'], String(offset + body.length))
      }
      await tus.contentIs(path, 'hello')
    })

    test('CORE-32 POST with override DELETE', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const answer = await tus.send('POST', path, { 'Tus-Resumable': '1.0.0', 'X-HTTP-Method-Override': 'DELETE' })
      assert.equal(answer.status, 204)
      assert.ok([404, 410].includes((await tus.head(path)).status))
    })

    test('CORE-33 POST with override HEAD has the headers and no body', async () => {
      const { tus, origin } = service()
      const path = await tus.createWith(5, 'hel')
      const wire = await Wire.open(origin)
      const headers = { 'Tus-Resumable': '1.0.0', 'X-HTTP-Method-Override': 'HEAD', 'Content-Length': '0' }
      for (let round = 0; round < 2; round++) {
        wire.head('POST', path, headers)
        const answer = await wire.answer('POST')
        assert.ok(answer.status === 200 || answer.status === 204)
        assert.equal(answer.headers['upload-offset'], '3')
        assert.equal(answer.headers['upload-length'], '5')
        assert.equal(answer.body.length, 0)
      }
      assert.equal(wire.leftOver, '')
      wire.socket.destroy()
    })

    test('CORE-34 the override counts on POST only: GET stays a GET', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const answer = await tus.send('GET', path, patchHeaders(0, { 'X-HTTP-Method-Override': 'PATCH' }), 'hello')
      assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`)
      await tus.standsAt(path, 0, 5)
    })

    test('CORE-35 an override that names no method of ours is a 405', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const method of ['FOO', 'CONNECT']) {
        const headers = { 'Tus-Resumable': '1.0.0', 'X-HTTP-Method-Override': method }
        const answer = await tus.send('POST', path, headers)
        assert.ok([404, 405].includes(answer.status), `${method}: ${answer.status}`)
      }
    })

    test('CORE-36 PUT and unknown methods are a 405 with Allow', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const method of ['PUT', 'FOO']) {
        for (const target of [path, UPLOADS]) {
          const answer = await tus.send(method, target, { 'Tus-Resumable': '1.0.0', 'Content-Length': '0' })
          assert.equal(answer.status, 405, `${method} ${target}`)
          assert.match(answer.headers.allow ?? '', method === 'PUT' && target === path ? /PATCH/ : /GET|POST|HEAD/)
        }
      }
      await tus.standsAt(path, 0, 5)
    })

    test('CORE-37 methods of an upload on the collection', async () => {
      const { tus } = service()
      for (const method of ['PATCH', 'HEAD', 'DELETE']) {
        const answer = await tus.send(method, UPLOADS, patchHeaders(0), method === 'PATCH' ? 'hello' : null)
        assert.ok([404, 405].includes(answer.status), `${method}: ${answer.status}`)
      }
    })

    test('CORE-38 a trailing slash on the collection', async () => {
      const { tus, origin } = service()
      const answer = await tus.send('POST', `${UPLOADS}/`, { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5' })
      assert.equal(answer.status, 201)
      await tus.standsAt(pathOf(answer, origin), 0, 5)
    })

    test('CORE-39 outside the base path nothing is created', async () => {
      const { tus } = service()
      for (const path of ['/nope/abc', '/api/v1/uploadsx', '/api/v1', '/']) {
        const answer = await tus.send('POST', path, { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5' })
        assert.ok([404, 405].includes(answer.status), `${path}: ${answer.status}`)
        assert.equal(answer.headers.location, undefined)
      }
    })
  })
}

export function coreDeferred(service: () => Service): void {
  describe('core: deferred length', () => {
    test('CORE-47 CORE-48 CORE-49 a length that comes with a later PATCH', async () => {
      const { tus } = service()
      const path = await tus.create({ defer: true })
      const before = await tus.head(path)
      assert.equal(before.headers['upload-defer-length'], '1')
      assert.equal(before.headers['upload-length'], undefined)
      const answer = await tus.patch(path, 0, 'hel', { 'Upload-Length': '5' })
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['upload-offset'], '3')
      const after = await tus.head(path)
      assert.equal(after.headers['upload-length'], '5')
      assert.equal(after.headers['upload-defer-length'], undefined)
      assert.equal((await tus.patch(path, 3, 'lo')).status, 204)
      await tus.contentIs(path, 'hello')
    })

    test('CORE-50 CORE-51 a length once set stays', async () => {
      const { tus } = service()
      const path = await tus.create({ defer: true })
      assert.equal((await tus.patch(path, 0, 'hel', { 'Upload-Length': '5' })).status, 204)
      const other = await tus.patch(path, 3, 'lo', { 'Upload-Length': '9' })
      assert.ok(other.status >= 400 && other.status < 500, `${other.status}`)
      await tus.standsAt(path, 3, 5)
      const same = await tus.patch(path, 3, 'lo', { 'Upload-Length': '5' })
      assert.ok([204, 400].includes(same.status), `${same.status}`)
      await tus.standsAt(path, same.status === 204 ? 5 : 3, 5)
    })

    test('CORE-52 a length below what is there is refused', async () => {
      const { tus } = service()
      const path = await tus.create({ defer: true })
      assert.equal((await tus.patch(path, 0, 'hel')).status, 204)
      const answer = await tus.patch(path, 3, null, { 'Upload-Length': '2' })
      assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`)
      assert.equal((await tus.head(path)).headers['upload-defer-length'], '1')
      await tus.standsAt(path, 3)
    })

    test('CORE-53 CLI-18 an empty PATCH that tells the length finishes the upload, once', async () => {
      const { tus, events } = service()
      const path = await tus.create({ defer: true })
      assert.equal((await tus.patch(path, 0, 'hello')).status, 204)
      const answer = await tus.patch(path, 5, null, { 'Upload-Length': '5' })
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['upload-offset'], '5')
      await tus.contentIs(path, 'hello')
      assert.equal((await tus.patch(path, 5, null)).status, 204)
      await events.uploadedOnce(path)
    })

    test('CORE-54 CORE-55 CORE-56 a creation says exactly one readable length', async () => {
      const { tus } = service()
      for (const value of ['2', '0', 'true', '']) {
        assert.equal((await tus.post({ headers: { 'Upload-Defer-Length': value } })).status, 400, `defer "${value}"`)
      }
      assert.equal((await tus.post({})).status, 400)
      assert.equal((await tus.post({ length: 5, defer: true })).status, 400)
    })
  })
}
