/** Section 5: checksums, before the body and in a trailer. `service` runs with default settings. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { crc32 } from 'node:zlib'
import type { Service } from '../support/backend.ts'
import { eventually, OCT, patchHeaders, pathOf, sampleBytes, UPLOADS } from '../support/tus.ts'
import { type Answer, Wire } from '../support/wire.ts'

const HELLO = {
  sha1: 'qvTGHdzF6KLavt4PO0gs2a6pQ00=',
  sha256: 'LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=',
  md5: 'XUFAKrxLKna5cZ2REBfFkg==',
  crc32: 'NhCmhg==',
  crc32c: 'mnG7TA==',
} as const
const WRONG = 'sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA='

function sha1(bytes: Buffer | string): string {
  return `sha1 ${createHash('sha1').update(bytes).digest('base64')}`
}

function summed(value: string): Record<string, string> {
  return { 'Upload-Checksum': value }
}

/** A chunked request with the lines of a trailer behind its body. */
async function trailed(
  origin: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string | undefined>>,
  pieces: readonly (string | Buffer)[],
  trailer: string,
): Promise<Answer> {
  const wire = await Wire.open(origin)
  wire.head(method, path, { Trailer: 'Upload-Checksum', 'Transfer-Encoding': 'chunked', ...headers })
  for (const piece of pieces) wire.chunk(piece)
  wire.write(`0\r\n${trailer}\r\n`)
  const answer = await wire.answer(method)
  wire.socket.destroy()
  return answer
}

export function checksums(service: () => Service): void {
  describe('checksums', () => {
    test('CHK-01 CHK-16 the algorithms', async () => {
      const { headers } = await service().tus.options()
      const extensions = headers['tus-extension']?.split(',') ?? []
      assert.ok(extensions.includes('checksum') && extensions.includes('checksum-trailer'))
      assert.deepEqual(headers['tus-checksum-algorithm']?.split(',').sort(), Object.keys(HELLO).sort())
    })

    for (const [algorithm, digest] of Object.entries(HELLO)) {
      test(`CHK-02 CHK-03 ${algorithm}`, async () => {
        const { tus } = service()
        const path = await tus.create({ length: 5 })
        const wrong = await tus.patch(path, 0, 'hellO', summed(`${algorithm} ${digest}`))
        assert.equal(wrong.status, 460)
        await tus.standsAt(path, 0, 5)
        const answer = await tus.patch(path, 0, 'hello', summed(`${algorithm} ${digest}`))
        assert.equal(answer.status, 204)
        assert.equal(answer.headers['upload-offset'], '5')
        await tus.contentIs(path, 'hello')
      })
    }

    test('CHK-04 a mismatch is 460 Checksum Mismatch, and nothing is kept', async () => {
      const { tus, origin, store } = service()
      const path = await tus.create({ length: 5 })
      const wire = await Wire.open(origin)
      let first = ''
      wire.socket.once('data', (chunk: Buffer) => {
        first = chunk.toString('latin1').split('\r\n', 1)[0] ?? ''
      })
      wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': '5', ...summed(WRONG) }))
      wire.write('hello')
      const answer = await wire.answer('PATCH')
      wire.socket.destroy()
      assert.equal(first, 'HTTP/1.1 460 Checksum Mismatch')
      assert.equal(answer.headers['upload-offset'], undefined)
      await tus.standsAt(path, 0, 5)
      assert.deepEqual(await store.objectsOf(path), [])
    })

    test('CHK-05 what was there before a mismatch stays', async () => {
      const { tus } = service()
      const bytes = sampleBytes(100, 'chk-05')
      const path = await tus.createWith(100, bytes.subarray(0, 70))
      assert.equal((await tus.patch(path, 70, bytes.subarray(70), summed(WRONG))).status, 460)
      await tus.standsAt(path, 70, 100)
      assert.equal((await tus.patch(path, 70, bytes.subarray(70), summed(sha1(bytes.subarray(70))))).status, 204)
      await tus.contentIs(path, bytes)
    })

    test('CHK-06 CHK-07 a checksum that is none', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      for (const value of [
        ...['foo AAAA', 'sha1', 'sha1 ', 'sha1 !!!', '', `SHA1 ${HELLO.sha1}`, `sha1  ${HELLO.sha1}`, 'sha1 AAAA'],
        ...[
          `sha1 ${HELLO.sha1} x`,
          `toString ${HELLO.sha1}`,
          `sha1 ${HELLO.sha1.slice(0, -1)}`,
          `sha256 ${HELLO.sha1}`,
        ],
      ]) {
        assert.equal((await tus.patch(path, 0, 'hello', summed(value))).status, 400, value)
        await tus.standsAt(path, 0, 5)
      }
      const wire = await Wire.open(service().origin)
      const twice = { ...patchHeaders(0), 'Content-Length': '5', ...summed(WRONG), 'upload-checksum': WRONG }
      wire.head('PATCH', path, twice)
      wire.write('hello')
      assert.equal((await wire.answer('PATCH')).status, 400)
      wire.socket.destroy()
    })

    test('CHK-08 of a body that breaks off nothing counts, short or long', async () => {
      const { tus, origin } = service()
      const bytes = sampleBytes(12_000_000, 'chk-08')
      for (const [start, sent, declared] of [
        [0, 300, 500],
        [1000, 9_000_000, 10_000_000],
      ] as const) {
        const path = await tus.createWith(bytes.length, bytes.subarray(0, start))
        const wire = await Wire.open(origin)
        const body = bytes.subarray(start, start + declared)
        wire.head('PATCH', path, patchHeaders(start, { 'Content-Length': `${declared}`, ...summed(sha1(body)) }))
        wire.write(body.subarray(0, sent))
        await eventually(async () => wire.socket.writableLength === 0, 'the bytes are on their way')
        wire.socket.destroy()
        assert.equal(await tus.offset(path), start)
        assert.equal((await tus.patch(path, start, body, summed(sha1(body)))).status, 204)
        assert.equal((await tus.patch(path, start + declared, bytes.subarray(start + declared))).status, 204)
        await tus.contentIs(path, bytes)
      }
    })

    test('CHK-09 after a 460 with parts stored what was verified counts, and nothing else', async () => {
      const { tus } = service()
      const bytes = sampleBytes(12_000_000, 'chk-09')
      const path = await tus.createWith(bytes.length, bytes.subarray(0, 1_000_000))
      const rest = bytes.subarray(1_000_000, 11_500_000)
      const broken = Buffer.from(rest)
      broken[10_000_000] = (broken[10_000_000] ?? 0) ^ 1
      assert.equal((await tus.patch(path, 1_000_000, broken, summed(sha1(rest)))).status, 460)
      assert.equal(await tus.offset(path), 1_000_000)
      assert.equal((await tus.patch(path, 1_000_000, rest, summed(sha1(rest)))).status, 204)
      assert.equal(await tus.offset(path), 11_500_000)
      const last = bytes.subarray(11_500_000)
      assert.equal((await tus.patch(path, 11_500_000, last, summed(sha1(last)))).status, 204)
      await tus.contentIs(path, bytes)
    })

    test('CHK-10 CHK-11 CHK-12 a trailer', async () => {
      const { tus, origin } = service()
      const patch = (path: string, trailer: string, more: Record<string, string> = {}) =>
        trailed(origin, 'PATCH', path, { ...patchHeaders(0), ...more }, ['he', 'llo'], trailer)
      const path = await tus.create({ length: 10 })
      for (const [trailer, more, status] of [
        [`Upload-Checksum: ${WRONG}\r\n`, {}, 460],
        [`Upload-Checksum: crc32c ${HELLO.crc32}\r\n`, {}, 460],
        ['Upload-Checksum: foo AAAA\r\n', {}, 400],
        ['', {}, 400],
        ['', summed(`sha1 ${HELLO.sha1}`), 400],
        [`Upload-Checksum: md5 ${HELLO.md5}\r\n`, summed(`sha1 ${HELLO.sha1}`), 400],
        [`Upload-Checksum: sha1 ${HELLO.sha1}\r\n`, summed(WRONG), 400],
      ] as const) {
        assert.equal((await patch(path, trailer, more)).status, status, trailer)
        await tus.standsAt(path, 0, 10)
      }
      for (const [algorithm, digest] of Object.entries(HELLO)) {
        const one = await tus.create({ length: 5 })
        assert.equal((await patch(one, `Upload-Checksum: ${algorithm} ${digest}\r\n`)).status, 204, algorithm)
        await tus.contentIs(one, 'hello')
      }
      const both = `sha1 ${HELLO.sha1}`
      assert.equal((await patch(path, `upload-checksum: ${both}\r\n`, summed(both))).status, 204)
      await tus.standsAt(path, 5, 10)
    })

    test('CHK-10 a long body with a trailer', async () => {
      const { tus, origin } = service()
      const bytes = sampleBytes(9_000_000, 'chk-10')
      const pieces = Array.from({ length: 9 }, (_, index) => bytes.subarray(index * 1_000_000, (index + 1) * 1_000_000))
      const crc = Buffer.alloc(4)
      crc.writeUInt32BE(crc32(bytes))
      const path = await tus.create({ length: bytes.length })
      const wrong = await trailed(origin, 'PATCH', path, patchHeaders(0), pieces, 'Upload-Checksum: crc32 AAAAAA==\r\n')
      assert.equal(wrong.status, 460)
      assert.equal(await tus.offset(path), 0)
      const trailer = `Upload-Checksum: crc32 ${crc.toString('base64')}\r\n`
      assert.equal((await trailed(origin, 'PATCH', path, patchHeaders(0), pieces, trailer)).status, 204)
      await tus.contentIs(path, bytes)
    })

    test('CHK-13 with a creation: a mismatch leaves nothing', async () => {
      const { tus, origin } = service()
      const bytes = sampleBytes(9_000_000, 'chk-13')
      for (const [length, body] of [
        [5, Buffer.from('hello')],
        [10, Buffer.from('hello')],
        [bytes.length, bytes],
      ] as const) {
        const wrong = await tus.post({ length, body, headers: summed(WRONG) })
        assert.equal(wrong.status, 460)
        assert.equal(wrong.headers.location, undefined)
        const good = await tus.post({ length, body, headers: summed(sha1(body)) })
        assert.equal(good.status, 201)
        assert.equal(good.headers['upload-offset'], String(body.length))
        await tus.standsAt(pathOf(good, origin), body.length, length)
        if (length === body.length) await tus.contentIs(pathOf(good, origin), body)
      }
      const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5', 'Content-Type': OCT }
      const trailer = `Upload-Checksum: sha1 ${HELLO.sha1}\r\n`
      assert.equal((await trailed(origin, 'POST', UPLOADS, headers, ['hello'], trailer)).status, 201)
      assert.equal((await trailed(origin, 'POST', UPLOADS, headers, ['hellO'], trailer)).status, 460)
    })

    test('CHK-14 CHK-15 an empty body; a body beyond the length', async () => {
      const { tus, origin } = service()
      const path = await tus.createWith(5, 'hel')
      assert.equal((await tus.patch(path, 3, '', summed(sha1('')))).status, 204)
      assert.equal((await tus.patch(path, 3, '', summed(WRONG))).status, 460)
      assert.ok([400, 413].includes((await tus.patch(path, 3, 'lo!', summed(sha1('lo!')))).status))
      const trailer = `Upload-Checksum: ${sha1('lo!')}\r\n`
      const long = await trailed(origin, 'PATCH', path, patchHeaders(3), ['lo', '!'], trailer)
      assert.ok([400, 413].includes(long.status))
      await tus.standsAt(path, 3, 5)
    })
  })
}
