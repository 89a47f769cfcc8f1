/** Section 12. `service` runs with default settings. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Service } from '../support/backend.ts'
import { eventually, patchHeaders, pathOf, sampleBytes, sha256, UPLOADS } from '../support/tus.ts'
import { type Headers, Wire } from '../support/wire.ts'

const TUS = ['Tus-Resumable', '1.0.0'] as const

export function robustBodies(service: () => Service): void {
  describe('robustness: bodies', () => {
    test('ROB-02 ROB-03 ROB-04 a stalled PATCH gives way to a HEAD, and to the next PATCH', async () => {
      const { tus } = service()
      const bytes = sampleBytes(500, 'rob-02')
      const path = await tus.create({ length: 500 })
      const stalled = await tus.stalled(path, 0, 500, bytes.subarray(0, 200))
      await sleep(1200)
      const head = await tus.head(path)
      assert.equal(head.status, 200)
      assert.equal(head.headers['upload-offset'], '200')
      assert.ok(head.tookMs < 3000, `HEAD took ${head.tookMs} ms`)
      const next = await tus.patch(path, 200, bytes.subarray(200))
      assert.equal(next.status, 204)
      assert.equal(next.headers['upload-offset'], '500')
      stalled.write('this must not be stored')
      const old = await stalled.answer('PATCH').catch(() => null)
      if (old) assert.ok(old.status >= 400 || old.headers['upload-offset'] === '200', `${old.status}`)
      await stalled.closed
      await tus.contentIs(path, bytes)
    })

    test('ROB-03 a PATCH takes over from a stalled one at the offset that one reached', async () => {
      const { tus } = service()
      const bytes = sampleBytes(500, 'rob-03')
      const path = await tus.createWith(500, bytes.subarray(0, 100))
      const stalled = await tus.stalled(path, 100, 400, bytes.subarray(100, 200))
      await sleep(300)
      const answer = await tus.patch(path, 200, bytes.subarray(200))
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['upload-offset'], '500')
      await stalled.closed
      await tus.contentIs(path, bytes)
    })

    test('ROB-06 a body that says it is too long is refused before it is read', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      assert.equal((await tus.patch(path, 0, 'too long')).status, 413)
      await tus.standsAt(path, 0, 5)
    })

    test('ROB-07 ROB-08 a chunked body beyond the length', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 5 })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(0, { 'Transfer-Encoding': 'chunked' }))
      for (const piece of ['hel', 'lo!!!', '']) wire.chunk(piece)
      const answer = await wire.answer('PATCH')
      assert.ok([400, 413].includes(answer.status), `${answer.status}`)
      wire.socket.destroy()
      const offset = await tus.offset(path)
      assert.ok(offset <= 5)
      if (offset < 5) assert.equal((await tus.patch(path, offset, 'hello'.slice(offset))).status, 204)
      await tus.contentIs(path, 'hello')
    })

    test('ROB-09 ROB-10 ROB-12 empty PATCHes', async () => {
      const { tus, events } = service()
      const path = await tus.createWith(5, 'hel')
      assert.equal((await tus.patch(path, 3, null)).headers['upload-offset'], '3')
      const bare = await tus.send('PATCH', path, { ...patchHeaders(3), 'Content-Length': '0' })
      assert.equal(bare.status, 204)
      assert.equal((await tus.patch(path, 3, 'lo')).status, 204)
      const again = await tus.patch(path, 5, null)
      assert.equal(again.status, 204)
      assert.equal(again.headers['upload-offset'], '5')
      await events.uploadedOnce(path)
    })

    test('ROB-12 a PATCH with neither Content-Length nor Transfer-Encoding has no body', async () => {
      const { tus, origin } = service()
      const path = await tus.createWith(5, 'hel')
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(3))
      const answer = await wire.answer('PATCH')
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['upload-offset'], '3')
      wire.socket.destroy()
    })

    test('ROB-11 a byte for a finished upload', async () => {
      const { tus } = service()
      const path = await tus.createWith(5, 'hello')
      assert.ok([400, 403, 409, 413].includes((await tus.patch(path, 5, '!')).status))
      await tus.standsAt(path, 5, 5)
      await tus.contentIs(path, 'hello')
    })

    test('ROB-26 a chunked body of the exact size', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 5 })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(0, { 'Transfer-Encoding': 'chunked' }))
      for (const piece of ['he', 'llo', '']) wire.chunk(piece)
      const answer = await wire.answer('PATCH')
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['upload-offset'], '5')
      wire.socket.destroy()
      await tus.contentIs(path, 'hello')
    })

    test('ROB-27 two whole PATCHes at once: one wins, the content is one of them', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const answers = await Promise.all([tus.patch(path, 0, 'AAAAA'), tus.patch(path, 0, 'BBBBB')])
      const statuses = answers.map(({ status }) => status)
      assert.equal(statuses.filter((status) => status === 204).length, 1, `${statuses}`)
      for (const status of statuses) assert.ok([204, 409, 423].includes(status), `${statuses}`)
      const content = await tus.downloaded(path)
      assert.equal(content, sha256(statuses[0] === 204 ? 'AAAAA' : 'BBBBB'))
    })

    test('ROB-43 Content-Encoding is refused or stored as it came', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const answer = await tus.patch(path, 0, 'hello', { 'Content-Encoding': 'gzip' })
      assert.ok([204, 400, 415].includes(answer.status), `${answer.status}`)
      await tus.standsAt(path, answer.status === 204 ? 5 : 0, 5)
    })

    test('ROB-49 after a lost answer HEAD shows the finished upload', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const wire = await tus.stalled(path, 0, 5, 'hello')
      await sleep(100)
      wire.cut()
      await eventually(async () => (await tus.offset(path)) === 5, 'the whole upload')
      await tus.contentIs(path, 'hello')
    })
  })
}

export function robustHeaders(service: () => Service): void {
  describe('robustness: headers', () => {
    test('ROB-13 long metadata, and headers beyond the limit', async () => {
      const { tus } = service()
      for (const size of [6_000, 15_000]) {
        const metadata = `name ${Buffer.alloc(size * 0.75 - 10, 'a').toString('base64')}`
        const path = await tus.create({ length: 5, metadata })
        assert.equal((await tus.head(path)).headers['upload-metadata'], metadata)
      }
      const huge = await tus.post({ length: 5, metadata: `name ${'A'.repeat(200_000)}` })
      assert.ok([400, 413, 431].includes(huge.status), `${huge.status}`)
    })

    test('ROB-14 ROB-15 ROB-17 unreadable metadata is a 400', async () => {
      const { tus } = service()
      for (const metadata of ['a !!!!', 'a YQ', 'a Y Q==', ',', 'a YQ==,', 'a YQ==,a Yg==', 'a YQ==,,b Yg==']) {
        assert.equal((await tus.post({ length: 5, metadata })).status, 400, JSON.stringify(metadata))
      }
      const control = await tus.post({ length: 5, metadata: 'a\u0001b YQ==' })
      assert.equal(control.status, 400)
    })

    test('ROB-17 a key that is not ASCII is refused or kept', async () => {
      const { tus, origin } = service()
      const answer = await tus.post({ length: 5, metadata: '\u00e9 YQ==' })
      assert.ok([201, 400].includes(answer.status), `${answer.status}`)
      if (answer.status === 201) {
        const head = await tus.head(pathOf(answer, origin))
        assert.equal(head.headers['upload-metadata'], '\u00e9 YQ==')
      }
    })

    test('ROB-16 keys that JavaScript knows', async () => {
      const { tus } = service()
      for (const key of ['toString', 'constructor', '__proto__', 'hasOwnProperty']) {
        const path = await tus.create({ length: 5, metadata: `${key} YQ==` })
        assert.equal((await tus.head(path)).headers['upload-metadata'], `${key} YQ==`)
        assert.equal((await tus.send('GET', `${path}/info`)).status, 200)
      }
    })

    test('ROB-18 a file name cannot break the headers of a download', async () => {
      const { tus } = service()
      const evil = Buffer.from('a"\r\nX-Evil: 1\r\n\r\n.txt').toString('base64')
      const path = await tus.create({ length: 5, metadata: `filename ${evil},filetype ${evil}`, body: 'hello' })
      await tus.contentIs(path, 'hello')
      const answer = await tus.send('GET', path)
      assert.equal(answer.headers['x-evil'], undefined)
      assert.equal(answer.body.toString(), 'hello')
    })

    test('ROB-19 ROB-20 lenient or strict, never an error of ours', async () => {
      const { tus } = service()
      assert.ok([201, 400].includes((await tus.post({ length: 5, metadata: 'a YQ==, b Yg==' })).status))
      assert.ok([201, 400].includes((await tus.post({ length: 5, metadata: '' })).status))
    })

    test('ROB-21 ROB-22 ROB-23 lengths', async () => {
      const { tus, origin } = service()
      for (const length of ['-1', '1.5', '1e3', '0x10', '+5', '5,5', '']) {
        assert.equal((await tus.post({ length })).status, 400, `"${length}"`)
      }
      const padded = await tus.post({ length: ' 5 ' })
      assert.equal(padded.status, 201)
      await tus.standsAt(pathOf(padded, origin), 0, 5)
      assert.ok([201, 400].includes((await tus.post({ length: '007' })).status))
      for (const length of ['9007199254740993', '9223372036854775807', '9223372036854775808', `1${'0'.repeat(30)}`]) {
        assert.ok([400, 413].includes((await tus.post({ length })).status), length)
      }
    })

    test('ROB-24 two Upload-Length lines', async () => {
      const { tus } = service()
      for (const other of ['5', '6']) {
        const answer = await tus.send('POST', UPLOADS, [TUS, ['Upload-Length', '5'], ['Upload-Length', other]])
        assert.equal(answer.status, 400)
      }
    })

    test('ROB-25 ambiguous framing is a 400 and the connection closes', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 5 })
      const base = Object.entries(patchHeaders(0)).map(([name, value]) => [name, value ?? ''] as const)
      const framings: Headers[] = [
        [...base, ['Content-Length', '5'], ['Transfer-Encoding', 'chunked']],
        [...base, ['Content-Length', '5'], ['Content-Length', '4']],
      ]
      for (const headers of framings) {
        const wire = await Wire.open(origin)
        wire.head('PATCH', path, headers)
        wire.write('5\r\nhello\r\n0\r\n\r\n')
        assert.equal((await wire.answer('PATCH')).status, 400)
        await wire.closed
      }
      await tus.standsAt(path, 0, 5)
    })

    test('ROB-32 Expect with a wrong offset is answered without 100', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 5 })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(3, { 'Content-Length': '2', Expect: '100-continue' }))
      const answer = await wire.answer('PATCH')
      assert.equal(answer.status, 409)
      assert.deepEqual(answer.interim, [])
      wire.socket.destroy()
    })

    test('ROB-34 an unknown expectation', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const answer = await tus.patch(path, 0, 'hello', { Expect: 'foo' })
      assert.ok([204, 417].includes(answer.status), `${answer.status}`)
      await tus.standsAt(path, answer.status === 204 ? 5 : 0, 5)
    })
  })
}

export function robustConnections(service: () => Service): void {
  describe('robustness: connections', () => {
    test('ROB-28 fifty HEADs do not stop a PATCH', async () => {
      const { tus, origin } = service()
      const bytes = sampleBytes(400_000, 'rob-28')
      const path = await tus.create({ length: bytes.length })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': String(bytes.length) }))
      const asking: Promise<number>[] = []
      for (let at = 0; at < bytes.length; at += 20_000) {
        wire.write(bytes.subarray(at, at + 20_000))
        if (at === 100_000 || at === 200_000) for (let n = 0; n < 25; n++) asking.push(tus.offset(path))
        await sleep(50)
      }
      assert.equal((await wire.answer('PATCH')).status, 204)
      wire.socket.destroy()
      for (const offset of await Promise.all(asking)) assert.ok(offset >= 0 && offset <= bytes.length)
      await tus.contentIs(path, bytes)
    })

    test('ROB-35 pipelined requests are done and answered in order', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 10 })
      const wire = await Wire.open(origin)
      for (const [offset, body] of [
        [0, 'hello'],
        [5, 'world'],
      ] as const) {
        wire.head('PATCH', path, patchHeaders(offset, { 'Content-Length': '5' }))
        wire.write(body)
      }
      wire.head('HEAD', path, { 'Tus-Resumable': '1.0.0' })
      assert.equal((await wire.answer('PATCH')).headers['upload-offset'], '5')
      assert.equal((await wire.answer('PATCH')).headers['upload-offset'], '10')
      assert.equal((await wire.answer('HEAD')).headers['upload-offset'], '10')
      wire.socket.destroy()
      await tus.contentIs(path, 'helloworld')
    })

    test('ROB-36 an early refusal of a large body can be read', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 5 })
      const wire = await Wire.open(origin)
      const size = 10 * 1024 * 1024
      wire.head('PATCH', path, patchHeaders(3, { 'Content-Length': String(size) }))
      for (let at = 0; at < size; at += 1024 * 1024) wire.write(Buffer.alloc(1024 * 1024))
      assert.ok([409, 413].includes((await wire.answer('PATCH')).status))
      wire.socket.destroy()
      await tus.standsAt(path, 0, 5)
    })

    test('ROB-41 GET of an unfinished and of a finished upload', async () => {
      const { tus } = service()
      const filetype = Buffer.from('text/html').toString('base64')
      const path = await tus.create({ length: 5, metadata: `filetype ${filetype}` })
      const unfinished = await tus.send('GET', path)
      assert.ok(unfinished.status >= 400 && unfinished.status < 500, `${unfinished.status}`)
      assert.equal((await tus.patch(path, 0, 'hello')).status, 204)
      await tus.contentIs(path, 'hello')
      const answer = await tus.send('GET', path)
      assert.equal(answer.headers['x-content-type-options'], 'nosniff')
      assert.match(answer.headers['content-disposition'] ?? '', /^attachment/)
    })

    test('ROB-42 HTTP/1.0', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 5 })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': '5' }), '1.0')
      wire.write('hello')
      const answer = await wire.answer('PATCH')
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['transfer-encoding'], undefined)
      wire.socket.destroy()
    })

    test('ROB-44 Connection: close', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 5 })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': '5', Connection: 'close' }))
      wire.write('hello')
      assert.equal((await wire.answer('PATCH')).status, 204)
      wire.socket.end()
      await wire.closed
    })

    test('ROB-46 a client that half-closes after its body still gets the answer', async () => {
      const { tus, origin } = service()
      const path = await tus.create({ length: 5 })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': '5' }))
      wire.write('hello')
      wire.socket.end()
      const answer = await wire.answer('PATCH')
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['upload-offset'], '5')
      wire.socket.destroy()
    })

    test('ROB-47 idle uploads hold no file descriptors', async () => {
      const { tus, pid } = service()
      const open = () => readdirSync(`/proc/${pid}/fd`).length
      const before = open()
      for (let round = 0; round < 20; round++) {
        await Promise.all(Array.from({ length: 10 }, () => tus.create({ length: 5 })))
      }
      await eventually(async () => open() < before + 60, 'file descriptors of 200 idle uploads')
    })

    test('a client that leaves right after the last byte of a download', async () => {
      const { tus, origin } = service()
      const path = await tus.createWith(5, 'hello')
      await tus.contentIs(path, 'hello')
      for (let round = 0; round < 10; round++) {
        const wire = await Wire.open(origin)
        wire.head('GET', path)
        if (round % 2 === 0) await wire.answer('GET')
        wire.cut()
        await wire.closed
      }
      await tus.contentIs(path, 'hello')
    })
  })
}
