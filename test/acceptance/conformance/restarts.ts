/** Rows about a process that ends: each starts services of its own. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { Backend } from '../support/backend.ts'
import { eventually, pathOf, sampleBytes } from '../support/tus.ts'

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
  describe('a process that ends', () => {
    test('ROB-05 after kill -9 in mid PATCH nothing acknowledged is lost', async () => {
      const service = await backend().start()
      const bytes = sampleBytes(300_000, 'rob-05')
      const path = await service.tus.createWith(bytes.length, bytes.subarray(0, 100_000))
      const wire = await service.tus.stalled(path, 100_000, 200_000, bytes.subarray(100_000, 250_000))
      await sleep(200)
      await service.kill()
      await wire.closed
      const next = await service.again()
      const offset = await next.tus.offset(path)
      assert.ok(offset >= 100_000 && offset <= 250_000, `${offset}`)
      assert.equal((await next.tus.patch(path, offset, bytes.subarray(offset))).status, 204)
      await next.tus.contentIs(path, bytes)
      await next.events.uploadedOnce(path)
      await next.stop()
    })

    test('ROB-45 SIGTERM in mid PATCH keeps what came', async () => {
      const service = await backend().start()
      const bytes = sampleBytes(300_000, 'rob-45')
      const path = await service.tus.create({ length: bytes.length })
      const wire = await service.tus.stalled(path, 0, bytes.length, bytes.subarray(0, 150_000))
      await sleep(300)
      const asked = Date.now()
      const answer = wire.answer('PATCH').catch(() => null)
      assert.equal(await service.stop(), 0)
      assert.ok(Date.now() - asked < 15_000)
      const status = (await answer)?.status ?? 503
      assert.ok([503, 423].includes(status), `${status}`)
      const next = await service.again()
      assert.equal(await next.tus.offset(path), 150_000)
      assert.equal((await next.tus.patch(path, 150_000, bytes.subarray(150_000))).status, 204)
      await next.tus.contentIs(path, bytes)
      await next.stop()
    })

    test('EXP-10 an expiry outlives the process', async () => {
      const service = await backend().start({ UPLOAD_EXPIRES_AFTER: '2s', SWEEP_EVERY: '500ms' })
      const path = await service.tus.createWith(9, 'hello')
      await service.stop()
      const next = await service.again()
      await eventually(async () => [404, 410].includes((await next.tus.head(path)).status), 'the upload expires')
      await next.stop()
    })

    test('CRE-13 what a hook refuses leaves nothing behind', async () => {
      const module = join(tmpdir(), `refusing-hooks-${process.pid}-${Date.now()}.mjs`)
      await writeFile(module, REFUSING_HOOKS)
      const service = await backend().start({ HOOKS_MODULE: module })
      const before = await backend().insight?.listing()
      const refused = await service.tus.post({ length: 5, body: 'hello', metadata: 'refuse eWVz' })
      assert.equal(refused.status, 403, refused.body.toString())
      assert.equal(refused.headers.location, undefined)
      assert.deepEqual(await backend().insight?.listing(), before)
      const taken = await service.tus.post({ length: 5, body: 'hello', metadata: 'keep eWVz' })
      await service.tus.contentIs(pathOf(taken, service.origin), 'hello')
      await service.stop()
    })
  })
}
