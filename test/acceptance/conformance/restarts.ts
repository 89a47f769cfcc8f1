/** Rows that need a second process on the same state; kill -9 and SIGTERM in mid PATCH are in faults.test.ts. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import type { Backend } from '../support/backend.ts'
import { eventually, idOf, patchHeaders, pathOf, sampleBytes } from '../support/tus.ts'
import { Wire } from '../support/wire.ts'

/** A module as an operator writes it: it lies elsewhere and imports what hooks/example.ts imports. */
const LIFECYCLE = pathToFileURL(join(import.meta.dirname, '..', '..', '..', 'hooks', 'lifecycle.ts')).href
const REFUSING_HOOKS = `
import { defineHooks, refuse } from '${LIFECYCLE}'

export default defineHooks({
  'pre-create': ({ upload }) => {
    if ('refuse' in upload.metadata) refuse(403, 'not today')
  },
})
`

export function restarts(backend: () => Backend): void {
  describe('hooks and a new process', () => {
    test('CHK-09 kill -9 with parts of an unverified body stored: only what was verified counts', async () => {
      const service = await backend().start()
      const bytes = sampleBytes(12_000_000, 'chk-09-kill')
      const path = await service.tus.createWith(bytes.length, bytes.subarray(0, 1_000_000))
      const before = (await service.store.objectsOf(path)).length
      const sum = `sha1 ${createHash('sha1').update(bytes.subarray(1_000_000)).digest('base64')}`
      const wire = await Wire.open(service.origin)
      const headers = { 'Content-Length': '11000000', 'Upload-Checksum': sum }
      wire.head('PATCH', path, patchHeaders(1_000_000, headers))
      wire.write(bytes.subarray(1_000_000, 11_900_000))
      if (backend().insight) {
        const stored = async () => (await service.store.objectsOf(path)).length > before
        await eventually(stored, 'a multipart upload is open')
      }
      await eventually(async () => wire.socket.writableLength === 0, 'all was sent')
      await service.kill()
      wire.socket.destroy()
      const { insight } = backend()
      if (insight) for (const key of await insight.redis.keys(`*${idOf(path)}*`)) await insight.redis.del(key)
      const next = await service.again()
      assert.equal(await next.tus.offset(path), 1_000_000)
      const rest = await next.tus.patch(path, 1_000_000, bytes.subarray(1_000_000), { 'Upload-Checksum': sum })
      assert.equal(rest.status, 204)
      await next.tus.contentIs(path, bytes)
      await next.stop()
    })

    test('CRE-13 EXP-10 what a hook refuses leaves nothing behind; an expiry outlives the process', async () => {
      const module = join(tmpdir(), `refusing-hooks-${process.pid}-${Date.now()}.mjs`)
      await writeFile(module, REFUSING_HOOKS)
      const env = { HOOKS_MODULE: module, UPLOAD_EXPIRES_AFTER: '2s', SWEEP_EVERY: '500ms' }
      const service = await backend().start(env)
      const before = await backend().insight?.listing()
      const refused = await service.tus.post({ length: 5, body: 'hello', metadata: 'refuse eWVz' })
      assert.equal(refused.status, 403, refused.body.toString())
      assert.equal(refused.headers.location, undefined)
      assert.deepEqual(await backend().insight?.listing(), before)
      const taken = await service.tus.post({ length: 5, body: 'hello', metadata: 'keep eWVz' })
      const finished = pathOf(taken, service.origin)
      await service.tus.contentIs(finished, 'hello')
      const partial = await service.tus.createWith(9, 'hello')
      await service.stop()
      const next = await service.again()
      await eventually(async () => [404, 410].includes((await next.tus.head(partial)).status), 'the upload expires')
      await next.tus.standsAt(finished, 5, 5)
      await next.stop()
      await rm(module)
    })
  })
}
