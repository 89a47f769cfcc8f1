import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { newUploadId } from '../../server/uploads/id.ts'
import { newObjectKey, tailKey } from '../../server/uploads/keys.ts'
import { type OrphanKind, type OrphanOptions, sweepOrphans } from '../../server/uploads/orphans.ts'
import type { ByteStore } from '../../server/uploads/ports/byte-store.ts'
import type { Inventory } from '../../server/uploads/ports/housekeeping.ts'
import { testServices } from '../support/services.ts'
import { ALICE, bodyOf, bytesOf, embeddedWorld, realWorld, SETTINGS, type TestEngine } from './support/engine.ts'

const { keys } = SETTINGS
const ours = (id = newUploadId()) => ({ id, tenant: ALICE.tenant })
const worlds = [
  { name: 'files and PGlite', open: embeddedWorld },
  ...testServices().s3.map((s3) => ({ name: `Postgres and ${s3.name}`, open: () => realWorld(s3) })),
]

for (const { name, open } of worlds) {
  describe(`orphans: ${name}`, () => {
    let world: Awaited<ReturnType<typeof open>>
    let engine: TestEngine

    before(async () => {
      world = await open()
      engine = await world.engine()
    })
    after(() => world.remove())

    const put = (key: string) => {
      const chunk = Buffer.from('orphan')
      return world.store.putObject(key, { body: { chunks: [chunk], length: chunk.length }, crc32: crc32(chunk) })
    }
    const everything = async (store: ByteStore & Inventory) => {
      const found: string[] = []
      for await (const { key } of store.objects('', '')) found.push(key)
      for await (const { key, multipartId } of store.multiparts('')) found.push(`${key}?${multipartId}`)
      return found.sort()
    }
    const sweep = async (change: Partial<OrphanOptions> = {}) => {
      const found: [OrphanKind, string][] = []
      const counts = await sweepOrphans({
        inventory: world.store,
        records: world.database.housekeeping,
        store: world.store,
        keys,
        // A second of slack: a store's clock counts in seconds.
        minAgeMs: -1000,
        windowMs: null,
        dryRun: false,
        found: (kind, key) => found.push([kind, key]),
        stopping: () => false,
        ...change,
      })
      return { counts, found }
    }

    test('what no row names goes, what one names and what is not ours stays', async () => {
      const bytes = bytesOf(6 * 1024 * 1024)
      const create = async () =>
        (await engine.create(ALICE, { length: bytes.length, metadataRaw: null, body: null, bodyLength: 0 })).upload.id
      const [finished, unfinished] = [await create(), await create()]
      await engine.append(ALICE, finished, { offset: 0, body: bodyOf(bytes), bodyLength: bytes.length })
      const part = bytes.subarray(0, 5_500_000)
      await engine.append(ALICE, unfinished, { offset: 0, body: bodyOf(part), bodyLength: part.length })
      await put('uploads/readme.txt')
      await put('other-app/backup.tar')
      await put(`uploads/zz/${newUploadId()}/1-aa`)
      const foreign = await world.store.createMultipart('other-app/big.tar', SETTINGS.partBytes)
      const noRow = newObjectKey(keys, ours(), 1)
      const unknown = await world.store.createMultipart(noRow, SETTINGS.partBytes)
      const kept = await everything(world.store)

      const tail = { generation: 2, token: 'ab', start: 0, end: 6 }
      const orphans = [noRow, newObjectKey(keys, ours(finished), 1), newObjectKey(keys, ours(unfinished), 1)]
      const tails = [
        tailKey(keys, newUploadId(), tail),
        tailKey(keys, finished, tail),
        tailKey(keys, unfinished, { ...tail, generation: 1 }),
      ]
      for (const key of [...orphans, ...tails]) await put(key)
      const composing = newObjectKey(keys, ours(unfinished), 2)
      await world.store.createMultipart(composing, SETTINGS.partBytes)
      const full = await everything(world.store)
      assert.equal(full.length, kept.length + 7)

      const young = await sweep({ minAgeMs: 3_600_000 })
      assert.deepEqual(young.counts, { object: 0, tail: 0, multipart: 0 })
      const dry = await sweep({ dryRun: true })
      assert.deepEqual(dry.counts, { object: 3, tail: 3, multipart: 1 })
      assert.deepEqual(await everything(world.store), full)

      const { counts, found } = await sweep()
      assert.deepEqual(counts, { object: 3, tail: 3, multipart: 1 })
      assert.deepEqual(found.map(([, key]) => key).sort(), [...orphans, ...tails, composing].sort())
      assert.deepEqual(await everything(world.store), kept)
      await world.store.abortMultipart('other-app/big.tar', foreign)
      await world.store.abortMultipart(noRow, unknown)
    })

    test('uploads from before the window are not looked at', async () => {
      const key = newObjectKey(keys, ours(), 1)
      await put(key)
      assert.equal((await sweep({ windowMs: -60_000 })).counts.object, 0)
      assert.equal((await sweep({ windowMs: 60_000 })).counts.object, 1)
    })

    test('the buckets that rows name are known', async () => {
      await engine.create(ALICE, { length: 1, metadataRaw: null, body: null, bodyLength: 0 })
      const { housekeeping } = world.database
      const named = world.store.bucket === null ? [] : [world.store.bucket]
      assert.deepEqual(await housekeeping.bucketsSince(null), named)
      assert.deepEqual(await housekeeping.bucketsSince(Date.now() - 60_000), named)
      assert.deepEqual(await housekeeping.bucketsSince(Date.now() + 60_000), [])
    })

    test('one holder at a time has a lease, until it runs out', async () => {
      const { housekeeping } = world.database
      assert.equal(await housekeeping.lease('test', 'a', 60_000), true)
      assert.equal(await housekeeping.lease('test', 'b', 60_000), false)
      assert.equal(await housekeeping.lease('test', 'a', 1), true)
      while (!(await housekeeping.lease('test', 'b', 60_000)));
      assert.equal(await housekeeping.lease('test', 'a', 60_000), false)
      const many = await Promise.all(Array.from({ length: 20 }, (_, i) => housekeeping.lease('race', `r${i}`, 60_000)))
      assert.equal(many.filter(Boolean).length, 1)
    })
  })
}
