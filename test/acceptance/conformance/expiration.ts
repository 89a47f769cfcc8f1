/** Section 4. `service` runs with UPLOAD_EXPIRES_AFTER of {@link EXPIRES_AFTER_MS}. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Service } from '../support/backend.ts'
import { eventually, patchHeaders, sampleBytes } from '../support/tus.ts'
import { type Answer, Wire } from '../support/wire.ts'

export const EXPIRES_AFTER_MS = 3000
const IMF_FIXDATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/

function expiry(answer: Answer): number {
  const value = answer.headers['upload-expires']
  assert.match(value ?? 'absent', IMF_FIXDATE, `Upload-Expires of a ${answer.status}`)
  return Date.parse(value ?? '')
}

export function expiration(service: () => Service): void {
  describe('expiration', { concurrency: true }, () => {
    test('EXP-01 EXP-02 EXP-03 EXP-07 every answer of an unfinished upload tells when it expires', async () => {
      const { tus, origin } = service()
      const before = Date.now()
      const created = await tus.post({ length: 5 })
      const first = expiry(created)
      assert.ok(first >= before + EXPIRES_AFTER_MS - 2000 && first <= Date.now() + EXPIRES_AFTER_MS + 2000)
      const path = new URL(created.headers.location ?? '', origin).pathname
      assert.ok(expiry(await tus.head(path)) >= first)
      const patched = await tus.patch(path, 0, 'hel')
      assert.equal(patched.status, 204)
      assert.ok(expiry(patched) >= first)
      assert.ok(expiry(await tus.head(path)) >= expiry(patched) - 1000)
    })

    test('EXP-04 the answer that finishes an upload has no expiry', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5 })
      const answer = await tus.patch(path, 0, 'hello')
      assert.equal(answer.status, 204)
      assert.equal(answer.headers['upload-expires'], undefined)
      assert.equal((await tus.head(path)).headers['upload-expires'], undefined)
      assert.equal((await tus.post({ length: 5, body: 'hello' })).headers['upload-expires'], undefined)
    })

    test('EXP-05 EXP-06 EXP-11 only unfinished uploads expire', async () => {
      const { tus } = service()
      const finished = await tus.createWith(5, 'hello')
      const partial = await tus.createWith(9, 'hello')
      const untouched = await tus.create({ length: 5 })
      const gone = async (path: string) => [404, 410].includes((await tus.head(path)).status)
      await sleep(EXPIRES_AFTER_MS)
      for (const path of [partial, untouched]) {
        await eventually(() => gone(path), `${path} expires`, 10_000)
        assert.equal((await tus.head(path)).headers['upload-offset'], undefined)
        assert.ok([404, 410].includes((await tus.patch(path, 0, 'hello')).status))
        assert.ok([204, 404, 410].includes((await tus.terminate(path)).status))
      }
      await tus.standsAt(finished, 5, 5)
      await tus.contentIs(finished, 'hello')
    })

    test('EXP-08 bytes that flow past the moment of expiry are not cut in half', async () => {
      const { tus, origin } = service()
      const bytes = sampleBytes(50_000, 'exp-08')
      const path = await tus.create({ length: bytes.length })
      const wire = await Wire.open(origin)
      wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': String(bytes.length) }))
      const pieces = 10
      for (let piece = 0; piece < pieces; piece++) {
        wire.write(bytes.subarray(piece * 5000, (piece + 1) * 5000))
        await sleep((EXPIRES_AFTER_MS * 1.5) / pieces)
      }
      const answer = await wire.answer('PATCH')
      wire.socket.destroy()
      if (answer.status === 204) await tus.contentIs(path, bytes)
      else assert.ok([404, 410].includes(answer.status), `${answer.status}`)
    })
  })
}
