/** Concurrency and memory: what the numbers of the production guide count. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { freshDataDir, type RunningService } from '../../support/service.ts'
import { eventually, patchHeaders, sampleBytes, Tus } from '../support/tus.ts'
import { Wire } from '../support/wire.ts'
import { events, gate, metric, shows } from './stage.ts'

const MIB = 1024 * 1024

export function memorySettings(): void {
  shows(
    'MAX_CONCURRENT_UPLOADS CHUNK_SIZE',
    'calls with a body in flight are never more; a part is eight chunks',
    async (stage) => {
      const file = sampleBytes(26 * MIB, 'parts')
      for (const { limit, chunk, withSmall } of [
        { limit: 1, chunk: 655_360, withSmall: 1 },
        { limit: 3, chunk: 786_432, withSmall: 4 },
      ]) {
        const proxy = await stage.s3()
        const service = await stage.start({
          S3_ENDPOINT: proxy.url,
          MAX_CONCURRENT_UPLOADS: String(limit),
          CHUNK_SIZE: String(chunk),
        })
        const tus = new Tus(service.url)
        const held = gate()
        proxy.before = async ({ operation }) => {
          if (operation === 'UploadPart' || operation === 'PutObject') await held.opened
          return undefined
        }
        const path = await tus.create({ length: file.length })
        const patched = tus.patch(path, 0, file)
        await eventually(
          async () => proxy.peakBodies === limit && (await metric(service, 'storage_writes_waiting')) === 4 - limit,
          `${limit} parts in flight, and the others of four waiting`,
        )
        const small = tus.post({ length: 100, body: sampleBytes(100, 'small') })
        await eventually(
          async () =>
            proxy.peakBodies === withSmall &&
            (await metric(service, 'storage_writes_waiting')) === 4 - limit + (limit === 1 ? 1 : 0),
          limit === 1 ? 'the small file waits too' : 'the small file is the one more',
        )
        assert.equal(await metric(service, 'storage_writes_in_flight'), withSmall)
        held.open()
        assert.equal((await patched).status, 204)
        assert.equal((await small).status, 201)
        assert.equal(proxy.peakBodies, withSmall)
        const parts = proxy.of('UploadPart').sort((a, b) => (a.partNumber ?? 0) - (b.partNumber ?? 0))
        const sizes = parts.map(({ bytes }) => bytes)
        const full = Math.floor(file.length / (8 * chunk))
        assert.deepEqual(sizes, [...Array(full).fill(8 * chunk), file.length - full * 8 * chunk])
        const page = await (await fetch(service.url)).text()
        assert.match(page, new RegExp(`"chunkBytes":${chunk}\\b`), 'the upload page sends such chunks')
      }
    },
  )

  shows(
    'MEMORY_LIMIT_MB UPLOAD_MEMORY_MB MEMORY_WARNING_THRESHOLD',
    'budget, share of the limit, early flush and warning',
    async (stage) => {
      const proxy = await stage.s3()
      const env = { S3_ENDPOINT: proxy.url, CHUNK_SIZE: '655360' }
      const early = await stage.start({
        ...env,
        MEMORY_LIMIT_MB: '1024',
        UPLOAD_MEMORY_MB: '32',
        MEMORY_WARNING_THRESHOLD: '0.05',
        BUFFER_POOL_SIZE: '10',
      })
      const late = await stage.start({ ...env, MEMORY_LIMIT_MB: '800', MEMORY_WARNING_THRESHOLD: '0.95' })
      assert.equal(await metric(early, 'upload_memory_budget_bytes'), 32 * MIB)
      assert.equal(await metric(late, 'upload_memory_budget_bytes'), 200 * MIB, 'a quarter of the limit')
      await usesPercentOf(early, 1024)
      await usesPercentOf(late, 800)

      const flushed = 'hold_flush_total{reason="memory"}'
      const bytes = sampleBytes(3 * MIB, 'slow')
      const first = await slowUpload(early, bytes)
      await eventually(async () => (await metric(early, flushed)) === 1, 'a flush at 5 % of the budget')
      assert.ok(proxy.of('PutObject').some((call) => call.bytes >= 0.045 * 32 * MIB))
      const second = await slowUpload(late, bytes)
      await eventually(async () => (await metric(late, 'upload_memory_bytes')) >= bytes.length, 'all bytes in memory')
      assert.equal(await metric(late, flushed), 0, 'far from 95 % of the budget nothing is flushed')
      for (const wire of [first, second]) wire.cut()

      await eventually(async () => events(early, 'memory.high').length === 1, 'the warning that memory is high')
      assert.equal(events(early, 'memory.high')[0]?.limitBytes, 1024 * MIB)
      assert.deepEqual(events(late, 'memory.high'), [])
    },
  )

  shows(
    'BUFFER_POOL_SIZE STREAM_BUFFER_SIZE',
    'blocks kept for reuse, and how large the reads of a download are',
    async (stage) => {
      const reads: number[] = []
      for (const { blocks, readBytes } of [
        { blocks: 3, readBytes: 4096 },
        { blocks: 6, readBytes: MIB },
      ]) {
        const { dir, remove } = await freshDataDir()
        stage.later(remove)
        const service = await stage.start({
          STORAGE: 'file',
          DATA_DIR: dir,
          CHUNK_SIZE: '2048',
          BUFFER_POOL_SIZE: String(blocks),
          STREAM_BUFFER_SIZE: String(readBytes),
        })
        await fillPool(service, blocks)
        reads.push(await readsOfDownload(service, 512 * 1024))
      }
      const [small = 0, large = 0] = reads
      assert.ok(small >= 128, `512 KiB in pieces of 4 KiB took only ${small} reads`)
      assert.ok(large < small - 100, `one piece of 512 KiB took ${large} reads, 128 pieces ${small}`)
    },
  )
}

/** A PATCH that sends these bytes of a larger body and then stands still. */
async function slowUpload(service: RunningService, bytes: Buffer): Promise<Wire> {
  const tus = new Tus(service.url)
  const path = await tus.create({ length: 20 * MIB })
  return tus.stalled(path, 0, 20 * MIB, bytes)
}

async function usesPercentOf(service: RunningService, limitMb: number): Promise<void> {
  const status = await readFile(`/proc/${service.pid}/status`, 'utf8')
  const residentMb = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024
  const percent = await metric(service, 'memory_usage_percent')
  const expected = (100 * residentMb) / limitMb
  assert.ok(
    Math.abs(percent - expected) < expected / 4,
    `${percent} % of ${limitMb} MiB, and ${residentMb} are resident`,
  )
}

/** Sends parts of eight blocks in little pieces until the pool is full; it never holds more than `most`. */
async function fillPool(service: RunningService, most: number): Promise<void> {
  const tus = new Tus(service.url)
  const part = sampleBytes(8 * 2048, 'pieces')
  for (let round = 0, kept = 0; kept < most || round < 3; round++) {
    assert.ok(round < 20, `the pool holds ${kept} blocks and never ${most}`)
    const path = await tus.create({ length: 2 * part.length })
    const wire = await Wire.open(service.url)
    wire.head('PATCH', path, patchHeaders(0, { 'Content-Length': String(part.length) }))
    for (let at = 0; at < part.length; at += 512) {
      wire.write(part.subarray(at, at + 512))
      // Pieces that arrive together are one chunk, and a large chunk needs no block.
      await sleep(1)
    }
    assert.equal((await wire.answer('PATCH')).status, 204)
    wire.socket.destroy()
    kept = await metric(service, 'upload_buffer_pool_blocks')
    assert.ok(kept <= most, `the pool holds ${kept} blocks, more than ${most}`)
  }
}

/** Calls of read(2) and its kin that the process makes meanwhile. */
async function readsOfDownload(service: RunningService, bytes: number): Promise<number> {
  const tus = new Tus(service.url)
  const file = sampleBytes(bytes, 'read back')
  const path = await tus.create({ length: bytes, body: file })
  await eventually(async () => (await tus.head(path)).status === 200, 'the file is finished')
  const count = async () => Number(/syscr: (\d+)/.exec(await readFile(`/proc/${service.pid}/io`, 'utf8'))?.[1])
  const before = await count()
  await tus.contentIs(path, file)
  return (await count()) - before
}
