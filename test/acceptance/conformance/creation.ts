/** Sections 2, 3 and 6: creation, creation with upload, termination. `service` runs with default settings. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Service } from '../support/backend.ts'
import { eventually, OCT, pathOf, sampleBytes, sha256, UPLOADS } from '../support/tus.ts'
import { Wire } from '../support/wire.ts'
import { UNKNOWN } from './core.ts'

export function creation(service: () => Service): void {
  describe('creation', () => {
    test('CRE-01 CRE-12 a creation answers 201 with a Location that works', async () => {
      const { tus, origin } = service()
      const first = await tus.post({ length: 100 })
      const second = await tus.post({ length: 100 })
      assert.equal(first.status, 201)
      assert.notEqual(pathOf(first, origin), pathOf(second, origin))
      assert.match(
        pathOf(first, origin),
        /^\/api\/v1\/uploads\/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-/,
      )
      await tus.standsAt(pathOf(first, origin), 0, 100)
      await tus.standsAt(pathOf(second, origin), 0, 100)
    })

    test('CRE-03 CRE-04 CRE-05 CLI-28 metadata comes back byte for byte', async () => {
      const { tus } = service()
      const values = [
        'filename d29ybGQ=,is_confidential',
        'bin /wA=',
        'k',
        'empty ,k',
        'z YQ==,a Yg==,m Yw==',
        'filename w6kudHh0',
      ]
      for (const metadata of values) {
        const path = await tus.create({ length: 5, metadata })
        assert.equal((await tus.head(path)).headers['upload-metadata'], metadata)
      }
      // A trailing space is optional white space of the header field: HTTP itself takes it away.
      const path = await tus.create({ length: 5, metadata: 'k ' })
      assert.match((await tus.head(path)).headers['upload-metadata'] ?? '', /^k ?$/)
    })

    test('CRE-06 no metadata, no header', async () => {
      const { tus } = service()
      assert.equal((await tus.head(await tus.create({ length: 5 }))).headers['upload-metadata'], undefined)
    })

    test('CRE-07 CLI-20 an empty file is finished by its creation', async () => {
      const { tus, events } = service()
      const path = await tus.create({ length: 0 })
      await tus.standsAt(path, 0, 0)
      await tus.contentIs(path, '')
      await events.uploadedOnce(path)
    })

    test('CRE-08 a foreign Content-Type without a body is ignored', async () => {
      const { tus, origin } = service()
      const answer = await tus.post({ length: 100, headers: { 'Content-Type': 'text/plain', 'Content-Length': '0' } })
      assert.equal(answer.status, 201)
      await tus.standsAt(pathOf(answer, origin), 0, 100)
    })

    test('CRE-09 CRE-10 forwarded headers of an untrusted sender are ignored, and never an error', async () => {
      const { tus, origin } = service()
      for (const headers of [
        { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'a.example' },
        { 'X-Forwarded-Proto': 'https,http' },
        { 'X-Forwarded-Proto': 'wss' },
        { Forwarded: 'for=1;host="a.example";proto=https' },
        { 'X-Forwarded-Host': 'bad host, "' },
      ]) {
        const answer = await tus.post({ length: 5, headers })
        assert.equal(answer.status, 201, JSON.stringify(headers))
        assert.equal(new URL(answer.headers.location ?? '', origin).origin, origin)
      }
    })

    test('CRE-14 CLI-27 Location is absolute, on the host that was asked', async () => {
      const { tus, origin } = service()
      const answer = await tus.post({ length: 5, headers: { Host: 'uploads.example:8080' } })
      assert.ok(answer.headers.location?.startsWith(`http://uploads.example:8080${UPLOADS}/`))
      assert.equal(pathOf(answer, origin).split('/').length, 5)
    })
  })
}

export function creationWithUpload(service: () => Service): void {
  describe('creation with upload', () => {
    test('CWU-01 the first bytes come with the creation', async () => {
      const { tus, origin } = service()
      const answer = await tus.post({ length: 10, body: 'hello' })
      assert.equal(answer.status, 201)
      assert.equal(answer.headers['upload-offset'], '5')
      const path = pathOf(answer, origin)
      await tus.standsAt(path, 5, 10)
      assert.equal((await tus.patch(path, 5, 'world')).status, 204)
      await tus.contentIs(path, 'helloworld')
    })

    test('CWU-02 a whole file in one request', async () => {
      const { tus, origin, events } = service()
      const answer = await tus.post({ length: 5, body: 'hello' })
      assert.equal(answer.status, 201)
      assert.equal(answer.headers['upload-offset'], '5')
      await tus.contentIs(pathOf(answer, origin), 'hello')
      await events.uploadedOnce(pathOf(answer, origin))
    })

    test('CWU-03 the media type alone is no body', async () => {
      const { tus, origin } = service()
      const answer = await tus.post({ length: 100, body: '' })
      assert.equal(answer.status, 201)
      assert.ok([undefined, '0'].includes(answer.headers['upload-offset']))
      await tus.standsAt(pathOf(answer, origin), 0, 100)
    })

    test('CWU-04 a body of another media type is refused or ignored, never stored', async () => {
      const { tus, origin } = service()
      const answer = await tus.post({ length: 5, body: 'hello', headers: { 'Content-Type': 'text/plain' } })
      assert.ok([201, 400, 415].includes(answer.status), `${answer.status}`)
      if (answer.status === 201) await tus.standsAt(pathOf(answer, origin), 0, 5)
    })

    test('CWU-05 a body beyond the length', async () => {
      const { tus, origin } = service()
      const answer = await tus.post({ length: 3, body: 'hello' })
      assert.equal(answer.status, 413)
      if (answer.headers.location !== undefined) {
        assert.ok((await tus.offset(pathOf(answer, origin))) <= 3)
      }
    })

    test('CWU-06 with a deferred length', async () => {
      const { tus, origin } = service()
      const answer = await tus.post({ defer: true, body: 'hello' })
      assert.equal(answer.status, 201)
      assert.equal(answer.headers['upload-offset'], '5')
      const head = await tus.head(pathOf(answer, origin))
      assert.equal(head.headers['upload-offset'], '5')
      assert.equal(head.headers['upload-defer-length'], '1')
    })

    test('CWU-07 a chunked body', async () => {
      const { tus, origin } = service()
      const wire = await Wire.open(origin)
      wire.head('POST', UPLOADS, {
        'Tus-Resumable': '1.0.0',
        'Upload-Length': '100',
        'Content-Type': OCT,
        'Transfer-Encoding': 'chunked',
      })
      for (const piece of ['he', 'llo']) wire.chunk(piece)
      wire.chunk('')
      const answer = await wire.answer('POST')
      assert.equal(answer.status, 201)
      assert.equal(answer.headers['upload-offset'], '5')
      await tus.standsAt(pathOf(answer, origin), 5, 100)
      wire.socket.destroy()
    })

    test('CWU-08 a body that breaks leaves the service well', async () => {
      const { tus, origin } = service()
      const wire = await Wire.open(origin)
      wire.head('POST', UPLOADS, {
        'Tus-Resumable': '1.0.0',
        'Upload-Length': '5',
        'Content-Type': OCT,
        'Content-Length': '5',
      })
      wire.write('hel')
      wire.cut()
      await wire.closed
      await tus.contentIs(await tus.createWith(5, 'hello'), 'hello')
    })

    test('CWU-10 Expect: 100-continue, then the body, then 201', async () => {
      const { tus, origin } = service()
      const wire = await Wire.open(origin)
      wire.head('POST', UPLOADS, {
        'Tus-Resumable': '1.0.0',
        'Upload-Length': '5',
        'Content-Type': OCT,
        'Content-Length': '5',
        Expect: '100-continue',
      })
      assert.equal(await wire.interim(), 100)
      wire.write('hello')
      const answer = await wire.answer('POST')
      assert.equal(answer.status, 201)
      await tus.contentIs(pathOf(answer, origin), 'hello')
      wire.socket.destroy()
    })

    test('CWU-11 what is refused is refused without 100', async () => {
      const { origin } = service()
      const good = { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5', 'Content-Type': OCT, 'Content-Length': '5' }
      for (const [bad, status] of [
        [{ 'Tus-Resumable': '0.2.2' }, 412],
        [{ 'Upload-Length': '9007199254740991' }, 413],
        [{ 'Upload-Metadata': 'a !!!!' }, 400],
        [{ 'Upload-Length': 'x' }, 400],
      ] as const) {
        const wire = await Wire.open(origin)
        wire.head('POST', UPLOADS, { ...good, ...bad, Expect: '100-continue' })
        const answer = await wire.answer('POST')
        assert.equal(answer.status, status)
        assert.deepEqual(answer.interim, [])
        wire.socket.destroy()
      }
    })
  })
}

export function termination(service: () => Service): void {
  describe('termination', () => {
    test('TER-01 TER-02 TER-03 an unfinished and a finished upload can be terminated', async () => {
      const { tus } = service()
      for (const bytes of ['hel', 'hello']) {
        const path = await tus.createWith(5, bytes)
        const answer = await tus.terminate(path)
        assert.equal(answer.status, 204)
        assert.equal(answer.body.length, 0)
        for (const after of [
          await tus.head(path),
          await tus.patch(path, bytes.length, 'x'),
          await tus.terminate(path),
        ]) {
          assert.ok([404, 410].includes(after.status), `${after.status}`)
          assert.equal(after.headers['upload-offset'], undefined)
        }
        assert.ok([404, 410].includes((await tus.send('GET', path)).status))
      }
    })

    test('TER-01 the bytes are gone from the store', async () => {
      const { tus, store } = service()
      for (const length of [5, 9]) {
        const path = await tus.createWith(length, 'hello')
        assert.ok((await store.objectsOf(path)).length > 0, 'the bytes were never seen in the store')
        assert.equal((await tus.terminate(path)).status, 204)
        await eventually(async () => (await store.objectsOf(path)).length === 0, 'no object of a terminated upload')
      }
    })

    test('TER-04 an unknown upload', async () => {
      assert.equal((await service().tus.terminate(UNKNOWN)).status, 404)
    })

    test('TER-06 DELETE during a PATCH cuts it, and nothing comes back', async () => {
      const { tus, store } = service()
      const bytes = sampleBytes(300_000, 'ter-06')
      const path = await tus.createWith(bytes.length, bytes.subarray(0, 100_000))
      const wire = await tus.stalled(path, 100_000, 200_000, bytes.subarray(100_000, 200_000))
      await eventually(async () => (await tus.offset(path)) === 200_000, 'the bytes of the second PATCH')
      const again = await tus.stalled(path, 200_000, 100_000, bytes.subarray(200_000, 250_000))
      await sleep(200)
      assert.equal((await tus.terminate(path)).status, 204)
      await Promise.all([wire.closed, again.closed])
      assert.ok([404, 410].includes((await tus.head(path)).status))
      await eventually(async () => (await store.objectsOf(path)).length === 0, 'no object of a terminated upload')
    })

    test('TER-07 two DELETEs at once', async () => {
      const { tus } = service()
      const path = await tus.createWith(5, 'hel')
      const statuses = (await Promise.all([tus.terminate(path), tus.terminate(path)])).map(({ status }) => status)
      assert.ok(statuses.includes(204), `${statuses}`)
      for (const status of statuses) assert.ok([204, 404, 410, 423].includes(status), `${status}`)
      assert.ok([404, 410].includes((await tus.head(path)).status))
    })

    test('EXP-11 CLI-26 a terminated upload can be asked for again without harm', async () => {
      const { tus } = service()
      const path = await tus.createWith(5, 'hello')
      assert.equal(await tus.downloaded(path), sha256('hello'))
      assert.equal((await tus.terminate(path)).status, 204)
      assert.ok([204, 404, 410].includes((await tus.terminate(path)).status))
    })
  })
}
