/** What uploads cost in requests to the store and in bytes sent to it, counted by a proxy before the store. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { test } from 'node:test'
import type { S3Call, S3Proxy } from '../support/s3-proxy.ts'
import type { RunningService } from '../support/service.ts'
import { onStage, type Stage } from './settings/stage.ts'
import { idOf, patchHeaders, sampleBytes, Tus } from './support/tus.ts'

const LONG = process.env.TEST_LONG === '1'
const KIB = 1024
const MIB = 1024 * KIB
/** The smallest part that S3 takes. */
const SMALL_P = { CHUNK_SIZE: '655360' }
const P = 5 * MIB

/** PATCHes of `size` bytes over one connection. Returns where the upload ends. */
async function patchAll(service: RunningService, path: string, bytes: Buffer, size: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    for (let offset = 0; offset < bytes.length; offset += size) {
      const body = bytes.subarray(offset, offset + size)
      const headers = patchHeaders(offset, { 'Content-Length': String(body.length) })
      const req = request(new URL(path, service.url), { agent, method: 'PATCH', headers })
      req.end(body)
      const [answer]: IncomingMessage[] = await once(req, 'response')
      answer?.resume()
      assert.equal(answer?.statusCode, 204, `the PATCH at ${offset} answered ${answer?.statusCode}`)
      assert.equal(answer?.headers['upload-offset'], String(offset + body.length))
    }
  } finally {
    agent.destroy()
  }
}

async function withProxy(stage: Stage, env: Readonly<Record<string, string>> = {}) {
  const proxy = await stage.s3()
  const service = await stage.start({ S3_ENDPOINT: proxy.url, ...env })
  return { proxy, service, tus: new Tus(service.url) }
}

const written = (calls: readonly S3Call[]): number => calls.reduce((sum, { bytes }) => sum + bytes, 0)

const patches = LONG ? 10_000 : 1_500
const fewer = LONG ? '' : ' (TEST_LONG=1: 10,000)'
test(`${patches} PATCHes of 1 KiB: at most 1.2 writes each, and five times the payload${fewer}`, async (t) => {
  await onStage(async (stage) => {
    const { proxy, service, tus } = await withProxy(stage)
    const bytes = sampleBytes(patches * KIB, 'many PATCHes')
    const path = await tus.create({ length: bytes.length })
    proxy.reset()
    await patchAll(service, path, bytes, KIB)
    await tus.contentIs(path, bytes)
    const ours = proxy.calls.filter(({ key }) => key.includes(idOf(path)))
    const writes = ours.filter(({ operation }) => !['GetObject', 'HeadObject', 'ListParts'].includes(operation))
    const seen = `${writes.length} writes of ${written(writes)} bytes for ${patches} PATCHes of 1 KiB`
    t.diagnostic(seen)
    assert.ok(writes.length >= patches, `each PATCH is durable by a write: ${seen}`)
    assert.ok(writes.length <= 1.2 * patches, seen)
    assert.ok(written(writes) <= 5 * bytes.length, seen)
    const readBack = proxy.of('GetObject').filter(({ key }) => key.startsWith('uploads-tails'))
    // In the long run some tails rest for longer than copies of them are kept (30 s).
    if (!LONG) assert.deepEqual(readBack, [], 'within the budget nothing is read back')
  })
})

/** Every multipart upload that the proxy saw: parts by number, all of P but the last, and without a gap. */
function partsAreEqual(proxy: S3Proxy, partBytes: number): number[][] {
  const uploads = new Map<string, Map<number, number>>()
  for (const { multipartId = '', partNumber = 0, bytes, status } of proxy.of('UploadPart')) {
    if (status !== 200) continue
    const parts = uploads.get(multipartId) ?? new Map<number, number>()
    parts.set(partNumber, bytes)
    uploads.set(multipartId, parts)
  }
  return [...uploads.values()].map((parts) => {
    const numbers = [...parts.keys()].sort((a, b) => a - b)
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => index + 1),
    )
    const sizes = numbers.map((number) => parts.get(number) ?? 0)
    for (const size of sizes.slice(0, -1)) assert.equal(size, partBytes)
    assert.ok((sizes.at(-1) ?? 0) <= partBytes)
    return sizes
  })
}

test('parts are P each but for the last, whatever the PATCHes are, and whether the length is known or not', async () => {
  await onStage(async (stage) => {
    const { proxy, service, tus } = await withProxy(stage, SMALL_P)
    const bytes = sampleBytes(17 * MIB + 333, 'equal parts')
    for (const { size, defer } of [
      { size: bytes.length, defer: false },
      { size: 3 * MIB + 7, defer: false },
      { size: 7 * MIB, defer: true },
    ]) {
      proxy.reset()
      const path = await tus.create(defer ? { defer } : { length: bytes.length })
      await patchAll(service, path, bytes, size)
      if (defer) {
        const last = await tus.patch(path, bytes.length, null, { 'Upload-Length': String(bytes.length) })
        assert.equal(last.status, 204, `${last.body}`)
      }
      await tus.contentIs(path, bytes)
      assert.deepEqual(partsAreEqual(proxy, P), [[P, P, P, 2 * MIB + 333]])
    }
  })
})
