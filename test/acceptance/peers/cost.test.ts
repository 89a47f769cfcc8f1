/** What a PATCH costs beside the bytes that it brings. */
import assert from 'node:assert/strict'
import { type FSWatcher, watch } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { resume } from '../support/outcome.ts'
import { idOf, sampleBytes } from '../support/tus.ts'
import { type Instance, MIB, ofUpload, PART, type S3Target, s3Target } from './target.ts'

const LONG = process.env.TEST_LONG === '1'
const BYTES = sampleBytes(2 * PART + MIB, 'peers-cost')
const KIB = 1024

describe('cost', () => {
  let target: S3Target
  let service: Instance
  let scratch: string
  let watcher: FSWatcher
  const appeared = new Set<string>()
  before(async () => {
    target = await s3Target()
    scratch = await mkdtemp(join(tmpdir(), 'peers-cost-'))
    const TMPDIR = join(scratch, 'tmp')
    await mkdir(TMPDIR)
    watcher = watch(TMPDIR, (_, name) => void appeared.add(String(name)))
    // The local socket for administration is below the directory for temporary files by default.
    service = await target.start({ TMPDIR, ADMIN_SOCKET: join(scratch, 'admin', 'admin.sock') })
  })
  after(async () => {
    watcher?.close()
    await target?.remove()
    if (scratch) await rm(scratch, { recursive: true, force: true })
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: a file for each part, and one more for each incomplete one.
  test('R7 the directory for temporary files is empty at every moment', async () => {
    const { tus } = service
    const path = await tus.create({ length: BYTES.length })
    // a part that is filled from two PATCHes, tails, a large body, and the end
    for (const [from, to] of [
      [0, MIB],
      [MIB, PART + MIB],
      [PART + MIB, BYTES.length],
    ] as const) {
      assert.equal((await tus.patch(path, from, BYTES.subarray(from, to))).status, 204)
    }
    await tus.contentIs(path, BYTES)
    assert.deepEqual([...appeared], [])
    assert.deepEqual(await readdir(join(scratch, 'tmp')), [])
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: the PATCH is a 500.
  test('R7 without a directory for temporary files everything works', async () => {
    // Below a file there is none, and none can be made, not even by root.
    const { tus } = await target.start({ TMPDIR: '/dev/null/tmp' })
    const path = await tus.create({ length: BYTES.length })
    assert.equal((await tus.patch(path, 0, BYTES.subarray(0, PART + MIB))).status, 204)
    await resume({ tus }, path, BYTES)
    await tus.contentIs(path, BYTES)
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: 120 requests for 20 PATCHes.
  test('R8 a small PATCH is one request to the store', async (t) => {
    const { tus } = service
    const patches = 20
    const size = 64 * KIB
    const path = await tus.create({ length: BYTES.length })
    target.proxy.reset()
    for (let n = 0; n < patches; n++) {
      assert.equal((await tus.patch(path, n * size, BYTES.subarray(n * size, (n + 1) * size))).status, 204)
    }
    const calls = target.proxy.calls.filter(({ key }) => key.includes(idOf(path)))
    t.diagnostic(`${calls.length} requests for ${patches} PATCHes`)
    // Sixteen tails are merged into one now and then.
    assert.ok(calls.length <= 1.2 * patches, `${calls.length} requests: ${calls.map(({ operation }) => operation)}`)
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: part numbers 1 to 4 where three would do, as each PATCH of 5 MiB and more is a part of its own:
  // a client with chunks of that size gets to part 10,000 after 49 GiB, however long its file.
  test('N13 part numbers follow from the length, not from the number of PATCHes', async () => {
    const { tus } = service
    const step = 5 * MIB
    for (const options of [{ length: BYTES.length }, { defer: true }]) {
      const path = await tus.create(options)
      for (let from = 0; from < BYTES.length; from += step) {
        const to = Math.min(from + step, BYTES.length)
        const last = options.defer && to === BYTES.length ? { 'Upload-Length': String(to) } : {}
        assert.equal((await tus.patch(path, from, BYTES.subarray(from, to), last)).status, 204)
      }
      const numbers = target.proxy.calls.filter(ofUpload(path, 'UploadPart')).map((call) => call.partNumber ?? 0)
      assert.ok(Math.max(...numbers) <= Math.ceil(BYTES.length / PART), `part numbers ${numbers}`)
      await tus.contentIs(path, BYTES)
    }
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7 passes this one, with 40 times the requests: PATCHes of less than 5 MiB share a part.
  test('N13 more than 10,000 PATCHes (with TEST_LONG; a sample of 300 without)', async () => {
    const { tus } = service
    const patches = LONG ? 10_001 : 300
    const bytes = sampleBytes(patches * KIB, 'peers-many')
    const path = await tus.create({ length: bytes.length })
    for (let n = 0; n < patches; n++) {
      const answer = await tus.patch(path, n * KIB, bytes.subarray(n * KIB, (n + 1) * KIB))
      assert.equal(answer.status, 204, `PATCH ${n + 1} answered ${answer.status}`)
    }
    await tus.contentIs(path, bytes)
  })
})
