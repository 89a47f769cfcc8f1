/** Limits and times of uploads. */
import assert from 'node:assert/strict'
import pg from 'pg'
import { eventually, idOf, sampleBytes, Tus } from '../support/tus.ts'
import { gate, metric, settled, shows } from './stage.ts'

export function uploadSettings(): void {
  shows('MAX_FILE_SIZE MAX_METADATA_BYTES MAX_HEADER_BYTES', 'what is too large, to the byte', async (stage) => {
    const service = await stage.start({ MAX_FILE_SIZE: '1000', MAX_METADATA_BYTES: '20', MAX_HEADER_BYTES: '8192' })
    const tus = new Tus(service.url)
    assert.equal((await tus.options()).headers['tus-max-size'], '1000')
    assert.equal((await tus.post({ length: 1000 })).status, 201)
    assert.equal((await tus.post({ length: 1001 })).status, 413)
    assert.match(await (await fetch(service.url)).text(), /"maxBytes":1000\b/, 'the upload page knows it')
    assert.equal((await tus.post({ length: 1, metadata: `k ${'QUFB'.repeat(4)}AA==`.slice(0, 18) })).status, 201)
    const longer = await tus.post({ length: 1, metadata: `key2 ${'QUFB'.repeat(4)}` })
    assert.equal(longer.status, 431, `21 bytes of metadata: ${longer.body}`)
    assert.equal((await tus.options('/api/v1/uploads', { 'X-Long': 'x'.repeat(7000) })).status, 204)
    assert.equal((await tus.options('/api/v1/uploads', { 'X-Long': 'x'.repeat(9000) })).status, 431)
  })

  shows(
    'UPLOAD_EXPIRES_AFTER SWEEP_EVERY',
    'when an upload expires, and who looks after it how often',
    async (stage) => {
      const seldom = await stage.start({ UPLOAD_EXPIRES_AFTER: '1s', SWEEP_EVERY: '60m' })
      const tus = new Tus(seldom.url)
      const created = await tus.post({ length: 10 })
      const expires = Date.parse(created.headers['upload-expires'] ?? '')
      assert.ok(expires - Date.now() < 2100, `it expires at ${created.headers['upload-expires']}`)
      const path = new URL(created.headers.location ?? '').pathname
      await eventually(async () => (await tus.head(path)).status === 410, 'it has expired')
      const db = new pg.Client({ connectionString: stage.world.databaseUrl })
      await db.connect()
      stage.later(() => db.end())
      const state = async () => (await db.query('select state from uploads where id = $1', [idOf(path)])).rows[0].state
      assert.equal(await state(), 'created', 'nobody has swept yet')
      await stage.start({ UPLOAD_EXPIRES_AFTER: '7d', SWEEP_EVERY: '200ms' })
      await eventually(async () => (await state()) === 'expired', 'a sweeper came by')
    },
  )

  shows('IDLE_TIMEOUT FLUSH_AFTER', 'bodies that stand still', async (stage) => {
    const proxy = await stage.s3()
    const impatient = await stage.start({ S3_ENDPOINT: proxy.url, IDLE_TIMEOUT: '600ms' })
    const flushing = await stage.start({ S3_ENDPOINT: proxy.url, FLUSH_AFTER: '300ms' })
    const [first, second] = [new Tus(impatient.url), new Tus(flushing.url)]
    const path = await first.create({ length: 100 })
    const cut = await first.stalled(path, 0, 100, 'a'.repeat(40))
    const answer = await cut.answer('PATCH')
    assert.ok(answer.status >= 400, `a stalled body was answered ${answer.status}`)
    assert.ok(answer.tookMs > 500 && answer.tookMs < 10_000, `after ${answer.tookMs} ms`)
    assert.equal(await first.offset(path), 40, 'what came is kept')
    cut.socket.destroy()
    assert.equal(await metric(impatient, 'hold_flush_total{reason="age"}'), 0)

    proxy.reset()
    const open = await second.create({ length: 100 })
    const wire = await second.stalled(open, 0, 100, 'a'.repeat(40))
    await eventually(async () => (await metric(flushing, 'hold_flush_total{reason="age"}')) === 1, 'a flush by age')
    assert.equal(proxy.of('PutObject').length, 1, 'a tail is in the store')
    wire.write('b'.repeat(60))
    assert.equal((await wire.answer('PATCH')).status, 204, 'and the body was still open')
    wire.socket.destroy()
  })

  shows('FINISH_WAIT S3_REQUEST_TIMEOUT', 'how long a request waits for the store', async (stage) => {
    const proxy = await stage.s3()
    const held = gate()
    const env = { S3_ENDPOINT: proxy.url, CHUNK_SIZE: '655360' }
    const service = await stage.start({ ...env, FINISH_WAIT: '400ms' })
    const tus = new Tus(service.url)
    proxy.before = async ({ operation }) => {
      if (operation === 'CompleteMultipartUpload') await held.opened
      return undefined
    }
    const file = sampleBytes(6 * 1024 * 1024, 'finish')
    const path = await tus.create({ length: file.length })
    const pending = await tus.patch(path, 0, file)
    assert.equal(pending.status, 423, `${pending.body}`)
    assert.ok(Number(pending.headers['retry-after']) > 0)
    held.open()
    await eventually(async () => (await tus.head(path)).headers['upload-offset'] === String(file.length), 'it finished')

    const hurried = await stage.start({ ...env, S3_REQUEST_TIMEOUT: '300ms' })
    const silence = gate()
    stage.later(silence.open)
    proxy.before = async ({ operation }) => {
      if (operation !== 'PutObject') return undefined
      await silence.opened
      return { kind: 'drop' }
    }
    proxy.reset()
    const answer = await new Tus(hurried.url).post({ length: 5, body: 'bytes' })
    assert.equal(answer.status, 503, `${answer.body}`)
    const tries = proxy.of('PutObject').map(({ startedAt }) => startedAt)
    assert.ok(tries.length > 1, 'it was tried again')
    const between = (tries[1] ?? 0) - (tries[0] ?? 0)
    assert.ok(between > 250 && between < 5_000, `the second try came after ${between} ms`)
  })

  shows('SEGMENT_PARTS', 'how large a multipart upload gets before it is an object of its own', async (stage) => {
    const proxy = await stage.s3()
    const file = sampleBytes(26 * 1024 * 1024, 'segments')
    const env = { S3_ENDPOINT: proxy.url, CHUNK_SIZE: '655360', MAX_FILE_SIZE: String(file.length) }
    for (const { parts, copied } of [
      { parts: '2', copied: [2, 2] },
      { parts: '640', copied: [] },
    ]) {
      proxy.reset()
      const service = await stage.start({ ...env, SEGMENT_PARTS: parts })
      const tus = new Tus(service.url)
      const path = await tus.create({ length: file.length })
      assert.equal((await tus.patch(path, 0, file)).status, 204)
      await tus.contentIs(path, file)
      const [composed] = proxy.of('UploadPartCopy')
      const sizes = new Map<string, number>()
      for (const { multipartId = '' } of proxy.of('UploadPart')) {
        if (multipartId !== composed?.multipartId) sizes.set(multipartId, (sizes.get(multipartId) ?? 0) + 1)
      }
      assert.deepEqual([...sizes.values()].slice(0, copied.length), copied)
      assert.equal(proxy.of('UploadPartCopy').length, copied.length === 0 ? 0 : 3, 'segments are copied in the store')
    }
  })

  shows('INSPECT_STALL', 'a HEAD cuts a body only when nothing came for so long', async (stage) => {
    for (const { stall, cut } of [
      { stall: '50ms', cut: true },
      { stall: '60s', cut: false },
    ]) {
      const service = await stage.start({ INSPECT_STALL: stall })
      const tus = new Tus(service.url)
      const path = await tus.create({ length: 100 })
      const wire = await tus.stalled(path, 0, 100, 'a'.repeat(40))
      await eventually(async () => (await metric(service, 'upload_memory_bytes')) >= 40, 'the bytes are there')
      if (cut) {
        const answer = wire.answer('PATCH')
        await eventually(async () => (await tus.offset(path)) === 40 && settled(answer), 'a HEAD cuts the body')
        assert.equal((await answer).status, 423)
      } else {
        assert.equal(await tus.offset(path), 40)
        wire.write('b'.repeat(60))
        assert.equal((await wire.answer('PATCH')).status, 204, 'the body went on')
      }
      wire.socket.destroy()
    }
  })

  shows('HOLD_LEASE', 'how soon an upload of a killed process goes on', async (stage) => {
    const survivor = new Tus((await stage.start({})).url)
    const died = async (lease: string): Promise<string> => {
      const service = await stage.start({ HOLD_LEASE: lease })
      const tus = new Tus(service.url)
      const path = await tus.create({ length: 100 })
      const wire = await tus.stalled(path, 0, 100, 'a'.repeat(40))
      await eventually(async () => (await metric(service, 'upload_memory_bytes')) >= 40, 'the bytes are there')
      await service.kill()
      wire.socket.destroy()
      return path
    }
    const long = await died('60s')
    const soon = await died('500ms')
    const waiting = survivor.patch(long, 0, 'b')
    const start = performance.now()
    assert.equal((await survivor.patch(soon, 0, 'b')).status, 204)
    assert.ok(performance.now() - start < 4_000, `a lease of 500 ms held for ${performance.now() - start} ms`)
    assert.equal((await waiting).status, 423, 'a lease of 60 s is not over')
  })
}
