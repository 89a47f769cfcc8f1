/** The engine over stores that encrypt: what is stored shows nothing, what is read is what was sent, or nothing. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { type EncryptionKey, Keyring, withEncryption } from '../../server/storage/encryption/index.ts'
import { rewrapAll } from '../../server/storage/encryption/rewrapping.ts'
import { S3ByteStore } from '../../server/storage/s3/index.ts'
import { hasCode } from '../../server/uploads/errors.ts'
import { newUploadId } from '../../server/uploads/id.ts'
import { oneStore } from '../../server/uploads/one-store.ts'
import type { ByteStore } from '../../server/uploads/ports/byte-store.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { freshBucket, testServices } from '../support/services.ts'
import {
  ALICE,
  bodyOf,
  bytesOf,
  embeddedWorld,
  MIB,
  openBody,
  readAll,
  realWorld,
  SETTINGS,
  sha256,
  type TestEngine,
} from './support/engine.ts'

const keyOf = (id: string): EncryptionKey => ({ id, key: randomBytes(32) })
const ONE = keyOf('one')

const worlds = [
  { name: 'files and PGlite', open: embeddedWorld, partBytes: SETTINGS.partBytes, real: false, sample: false },
  ...testServices().s3.map((s3, index) => ({
    name: `Redis, Postgres and ${s3.name}`,
    open: () => realWorld(s3),
    partBytes: 5 * MIB,
    real: true,
    sample: index > 0 && process.env.TEST_LONG !== '1',
  })),
]

for (const { name, open, partBytes: P, real, sample } of worlds) {
  describe(`encryption by the service: ${name}${sample ? ' (a sample; TEST_LONG=1: all)' : ''}`, () => {
    const unlessSample = sample ? () => {} : test
    let world: Awaited<ReturnType<typeof open>>
    let engine: TestEngine
    const damages: string[] = []
    before(async () => {
      world = await open()
      engine = await engineWith([ONE])
    })
    after(() => world.remove())

    const settings = { ...SETTINGS, partBytes: P, rebuildWaitMs: real ? 100 : 0 }
    const engineWith = (
      keys: readonly EncryptionKey[],
      change: Parameters<typeof world.engine>[0] & { encryptNew?: boolean; store?: ByteStore } = {},
    ) => {
      const { encryptNew = true, store = world.store, ...rest } = change
      const damaged = (_upload: string, key: string) => void damages.push(key)
      return world.engine({ settings, ...rest, ...withEncryption(oneStore(store), { keys, encryptNew, damaged }) })
    }
    const row = async (id: UploadId) => {
      const found = await world.database.records.find(id)
      assert.ok(found)
      return found
    }
    const whole = async (bytes: Buffer, { by = engine, partial = false } = {}) => {
      const request = { length: bytes.length, metadataRaw: null, body: bodyOf(bytes), bodyLength: bytes.length }
      return (await by.create(ALICE, { ...request, ...(partial ? { partial } : {}) })).upload.id
    }
    const create = async (length: number) =>
      (await engine.create(ALICE, { length, metadataRaw: null, body: null, bodyLength: 0 })).upload.id
    const append = (id: UploadId, offset: number, bytes: Buffer, by = engine) =>
      by.append(ALICE, id, { offset, body: bodyOf(bytes), bodyLength: bytes.length })
    const content = async (id: UploadId, range?: { first: number; last: number }, by = engine) =>
      readAll(await (await by.download(ALICE, id)).open(range))
    /** Every stored object whose key has the id. */
    const stored = async (id: UploadId) => {
      const found: { key: string; bytes: Buffer }[] = []
      for await (const { key } of world.store.list('uploads')) {
        if (!key.includes(id)) continue
        const stream = await world.store.read(key)
        found.push({ key, bytes: stream ? await readAll(stream) : Buffer.of() })
      }
      return found
    }
    const put = (key: string, bytes: Buffer) =>
      world.store.putObject(key, { body: { chunks: [bytes], length: bytes.length }, crc32: crc32(bytes) })

    /** The file is what was sent, in every way that it can be read; the store has none of it. */
    async function isRight(id: UploadId, bytes: Buffer): Promise<void> {
      const upload = await row(id)
      assert.deepEqual([upload.state, upload.length, upload.encoding], ['uploaded', bytes.length, 'aes-256-gcm'])
      assert.ok(upload.crc32 === null || upload.crc32 === crc32(bytes))
      assert.equal(sha256(await content(id)), sha256(bytes))
      const [object, ...others] = (await stored(id)).filter(({ key }) => key === upload.objectKey)
      assert.ok(object && others.length === 0)
      assert.equal(object.bytes.length, upload.storedLength)
      for (let at = 0; at + 32 <= bytes.length; at += Math.max(1, Math.floor(bytes.length / 50))) {
        assert.equal(object.bytes.indexOf(bytes.subarray(at, at + 32)), -1, 'nothing of the file shows')
      }
      const edges = [0, 1, 65_535, 65_536, P - 1, P, P + 65_536, 2 * P, Math.floor(bytes.length / 2), bytes.length - 1]
      for (const first of new Set(edges.filter((edge) => edge >= 0 && edge < bytes.length))) {
        const last = Math.min(bytes.length - 1, first + 100_000)
        const found = await content(id, { first, last })
        assert.ok(found.equals(bytes.subarray(first, last + 1)), `bytes ${first} to ${last} of ${bytes.length}`)
      }
    }

    unlessSample('a small file, an empty one, a large PATCH and many small ones', async () => {
      const small = bytesOf(10_000)
      await isRight(await whole(small), small)
      await isRight(await whole(Buffer.of()), Buffer.of())
      const large = bytesOf(2 * P + 12_345)
      const id = await create(large.length)
      await append(id, 0, large)
      await isRight(id, large)
      assert.equal((await row(id)).crc32, crc32(large))
      const many = bytesOf(P + 90_000)
      const step = Math.ceil(many.length / 20)
      const other = await create(many.length)
      for (let at = 0; at < many.length; at += step) await append(other, at, many.subarray(at, at + step))
      await isRight(other, many)
      assert.equal((await row(other)).crc32, crc32(many))
    })

    test('segments of all sizes, frozen after cuts and without a session, are put together', async () => {
      const bytes = bytesOf(5 * P + 70_000)
      const id = await create(bytes.length)
      let offset = 0
      for (const piece of [P + 100_000, 1000, P, 2 * P - 7, 30_000]) {
        const rolling = await engineWith([ONE], { settings: { ...settings, segmentParts: 1, leaseMs: 1000 } })
        const { body, send, cut } = openBody()
        const cutOff = assert.rejects(rolling.append(ALICE, id, { offset, body, bodyLength: bytes.length - offset }))
        send(bytes.subarray(offset, offset + piece))
        while ((await engine.inspect(ALICE, id)).offset < offset + piece) await new Promise(setImmediate)
        cut()
        await cutOff
        offset += piece
        if ('forget' in world) await world.forget()
        assert.equal((await engine.inspect(ALICE, id)).offset, offset, 'nothing that was acknowledged is lost')
      }
      await append(id, offset, bytes.subarray(offset))
      await isRight(id, bytes)
      const { layout } = await row(id)
      assert.ok(layout && layout.length > 1, 'it was put together of several objects')
    })

    test('partial uploads of all kinds become one file by copies, each under its own data key', async () => {
      const plain = await engineWith([], { encryptNew: false })
      const rolled = bytesOf(2 * P + 100)
      const several = (
        await engine.create(ALICE, {
          length: rolled.length,
          metadataRaw: null,
          partial: true,
          body: null,
          bodyLength: 0,
        })
      ).upload.id
      const rolling = await engineWith([ONE], { settings: { ...settings, segmentParts: 1 } })
      await append(several, 0, rolled.subarray(0, P + 50), rolling)
      await append(several, P + 50, rolled.subarray(P + 50), rolling)
      const pieces = [bytesOf(2 * P + 99_999), bytesOf(70_000), bytesOf(2 * P + 1), bytesOf(2 * P)]
      const [a, b, c, d] = pieces
      assert.ok(a && b && c && d)
      const ids = [await whole(a, { partial: true }), await whole(b, { partial: true })]
      ids.push(await whole(c, { partial: true, by: plain }), several, await whole(d, { partial: true }))
      const all = Buffer.concat([a, b, c, rolled, d])
      const raw = `final;${ids.map((id) => `/files/${id}`).join(' ')}`
      const { upload } = await engine.concatenate(ALICE, { raw, partials: ids, metadataRaw: null })
      const made = await row(upload.id)
      assert.equal(made.crc32, crc32(all))
      assert.equal(sha256(await content(upload.id)), sha256(all))
      const moved = new Set(made.layout?.map((run) => run.upload))
      for (const id of world.store.equalParts ? ids.slice(0, 1) : [ids[0], ids[3], ids[4], null]) {
        assert.ok(moved.has(id ?? null), 'bytes were moved as they are stored, also behind others')
      }
      for (let first = 0; first < all.length; first += 431_111) {
        const last = Math.min(all.length - 1, first + 150_000)
        assert.ok((await content(upload.id, { first, last })).equals(all.subarray(first, last + 1)), `from ${first}`)
      }
      const object = await world.store.head(made.objectKey ?? '')
      assert.equal(object?.bytes, made.storedLength)
      // Its partial uploads may be gone, and with them their rows' keys.
      for (const id of ids) await engine.terminate(ALICE, id)
      assert.equal(sha256(await content(upload.id)), sha256(all))
    })

    unlessSample('whichever byte of the object is flipped, a download ends before a wrong byte', async () => {
      const bytes = bytesOf(P + 200_000)
      const id = await create(bytes.length)
      await append(id, 0, bytes)
      const [object] = await stored(id)
      assert.ok(object)
      const places = [
        0,
        20,
        40,
        100_000,
        object.bytes.length - 1,
        ...Array.from({ length: 5 }, () => randomBytes(4).readUInt32BE() % object.bytes.length),
      ]
      for (const place of places) {
        const flipped = Buffer.from(object.bytes)
        flipped.writeUInt8(flipped.readUInt8(place) ^ 1, place)
        await put(object.key, flipped)
        const before = damages.length
        const got: Buffer[] = []
        const reading = async () => {
          for await (const chunk of await (await engine.download(ALICE, id)).open()) got.push(chunk)
        }
        await assert.rejects(reading(), (error) => hasCode(error, 'content_damaged'), `byte ${place}`)
        const right = Buffer.concat(got)
        assert.ok(right.equals(bytes.subarray(0, right.length)) && right.length <= place, `byte ${place}`)
        assert.equal(damages.length, before + 1, 'somebody is told')
        // What does not need that byte is well.
        const other = place < object.bytes.length / 2 ? bytes.length - 10 : 0
        assert.ok((await content(id, { first: other, last: other + 5 })).equals(bytes.subarray(other, other + 6)))
      }
      await put(object.key, object.bytes.subarray(0, object.bytes.length - 100))
      await assert.rejects(content(id), (error) => hasCode(error, 'content_damaged'), 'cut off')
      await put(object.key, object.bytes)
      assert.ok((await content(id)).equals(bytes))
    })

    unlessSample('the same offset sent twice with other bytes is encrypted under another key', async () => {
      const id = await create(P)
      const sent = [bytesOf(40_000), bytesOf(40_000)]
      const tails: { key: string; bytes: Buffer }[] = []
      const store: ByteStore = wrapped(world.store, {
        async putObject(key, piece, options) {
          tails.push({ key, bytes: Buffer.concat(piece.body.chunks) })
          // The answer of the first is lost, and so is what it wrote.
          if (tails.length === 1) throw Object.assign(new Error('no answer'), { code: 'store_unavailable' })
          return world.store.putObject(key, piece, options)
        },
      })
      const fragile = await engineWith([ONE], { store })
      for (const bytes of sent) await append(id, 0, bytes, fragile).catch(() => {})
      assert.equal(tails.length, 2)
      const [first, second] = tails.map(({ bytes }) => bytes)
      assert.ok(first && second)
      const salts = [first, second].map((bytes) => bytes.subarray(8, 40).toString('hex'))
      assert.notEqual(salts[0], salts[1])
      // With one key and nonce the two would differ by what the files differ by.
      const mix = (a: Buffer | undefined, b: Buffer | undefined) =>
        Buffer.from((a ?? []).map((byte, n) => byte ^ (b?.[n] ?? 0)))
      assert.notDeepEqual(
        mix(first.subarray(40, 1040), second.subarray(40, 1040)),
        mix(sent[0]?.subarray(0, 1000), sent[1]?.subarray(0, 1000)),
      )
    })

    unlessSample(
      'a new key: old uploads are read, a rotation wraps their data keys again, and the old key can go',
      async () => {
        const bytes = bytesOf(P + 10)
        const [finished, partial] = [await whole(bytes), await whole(bytes, { partial: true })]
        const begun = await create(2 * P)
        await append(begun, 0, bytes)
        const { upload: final } = await engine.concatenate(ALICE, {
          raw: `final;/files/${partial}`,
          partials: [partial],
          metadataRaw: null,
        })
        const before = await stored(finished)
        const two = keyOf('two')
        const both = await engineWith([two, ONE])
        const fresh = await whole(bytes, { by: both })
        assert.equal((await row(fresh)).keyId, 'two')
        assert.ok((await content(finished, undefined, both)).equals(bytes))
        const gone = await engine.create(ALICE, { length: 5, metadataRaw: null, body: null, bodyLength: 0 })
        await engine.terminate(ALICE, gone.upload.id)
        assert.deepEqual((await row(gone.upload.id)).dataKeys, {}, 'what ended has no data key')

        assert.ok((await rewrapAll(world.database.dataKeys, new Keyring([two, ONE]))) >= 4)
        assert.equal(await rewrapAll(world.database.dataKeys, new Keyring([two, ONE])), 0)
        assert.deepEqual([...(await world.database.dataKeys.uses()).keys()], ['two'])
        const alone = await engineWith([two])
        for (const id of [finished, final.id, fresh]) assert.ok((await content(id, undefined, alone)).equals(bytes))
        await append(begun, bytes.length, bytes.subarray(0, 2 * P - bytes.length), alone)
        assert.equal((await row(begun)).state, 'uploaded')
        assert.deepEqual(await stored(finished), before, 'no file was touched')
        await assert.rejects(
          content(finished),
          (error) => hasCode(error, 'store_unavailable'),
          'the old key opens nothing any more',
        )
        engine = both
        await rewrapAll(world.database.dataKeys, new Keyring([ONE, two]))
        engine = await engineWith([ONE])
      },
    )

    unlessSample('without the key nothing is handed out, and the upload goes on when it is back', async () => {
      const bytes = bytesOf(P)
      const id = await create(bytes.length)
      await append(id, 0, bytes.subarray(0, 1000))
      for (const keys of [[], [keyOf('other')], [{ ...keyOf('x'), id: 'one' }]]) {
        const locked = await engineWith(keys, { encryptNew: false })
        await assert.rejects(append(id, 1000, bytes.subarray(1000), locked), (error) =>
          hasCode(error, 'store_unavailable'),
        )
      }
      assert.equal((await engine.inspect(ALICE, id)).offset, 1000)
      await append(id, 1000, bytes.subarray(1000))
      await isRight(id, bytes)
      const locked = await engineWith([], { encryptNew: false })
      await assert.rejects(content(id, undefined, locked), (error) => hasCode(error, 'store_unavailable'))
    })

    unlessSample('uploads from before stay as they are, finished and unfinished ones', async () => {
      const bytes = bytesOf(P + 5)
      const plain = await engineWith([], { encryptNew: false })
      const finished = await whole(bytes, { by: plain })
      const begun = (await plain.create(ALICE, { length: bytes.length, metadataRaw: null, body: null, bodyLength: 0 }))
        .upload.id
      await append(begun, 0, bytes.subarray(0, 10), plain)
      await append(begun, 10, bytes.subarray(10))
      for (const id of [finished, begun]) {
        assert.equal((await row(id)).encoding, null)
        assert.ok((await content(id)).equals(bytes))
        assert.ok((await stored(id)).some((object) => object.bytes.equals(bytes)))
      }
    })

    unlessSample('a budget that holds little more than a part is enough for many uploads at once', async () => {
      const small = await engineWith([ONE], { memoryBytes: 3 * P })
      const bytes = bytesOf(2 * P + 1000)
      const sent = await Promise.all(
        Array.from({ length: 4 }, async () => {
          const id = await create(bytes.length)
          await append(id, 0, bytes, small)
          return id
        }),
      )
      for (const id of sent) assert.ok((await content(id)).equals(bytes))
      await small.close()
      assert.equal(small.gauges().memoryBytes, 0, 'everything was given back')
    })

    test('where parts must be equal, the stored ones are', async () => {
      const sizes: number[][] = []
      const store = wrapped(world.store, {
        equalParts: true,
        async completeMultipart(key, id, parts, made, options) {
          sizes.push(parts.map(({ bytes }) => bytes))
          return world.store.completeMultipart(key, id, parts, made, options)
        },
      })
      const equal = await engineWith([ONE], { store, settings: { ...settings, segmentParts: 2 } })
      const bytes = bytesOf(5 * P + 1234)
      const id = await create(bytes.length)
      await append(id, 0, bytes.subarray(0, 4 * P + 9), equal)
      await append(id, 4 * P + 9, bytes.subarray(4 * P + 9), equal)
      await isRight(id, bytes)
      const pieces = [bytesOf(2 * P + 9), bytesOf(2 * P + 9)]
      const ids = await Promise.all(pieces.map((piece) => whole(piece, { partial: true, by: equal })))
      const raw = `final;${ids.map((one) => `/files/${one}`).join(' ')}`
      const { upload } = await equal.concatenate(ALICE, { raw, partials: ids, metadataRaw: null })
      assert.ok((await content(upload.id)).equals(Buffer.concat(pieces)))
      assert.ok(sizes.length >= 4)
      for (const parts of sizes) assert.equal(new Set(parts.slice(0, -1)).size <= 1, true, `parts of ${parts}`)
    })
  })
}

test('a write that is tried again sends the same encrypted bytes', async (t) => {
  const [s3] = testServices().s3
  assert.ok(s3)
  const bucket = await freshBucket(s3)
  const proxy = new FaultProxy(s3.endpoint)
  const { region, accessKeyId, secretAccessKey } = s3
  const credentials = { accessKeyId, secretAccessKey }
  const store = new S3ByteStore({ endpoint: await proxy.listen(), region, bucket: bucket.name, credentials })
  t.after(async () => {
    await store.close()
    await proxy.close()
    await bucket.cleanup()
  })
  const { stores, secretsOf } = withEncryption(oneStore(store), { keys: [ONE], encryptNew: true, damaged: () => {} })
  const id = newUploadId()
  const own = stores.of({ id, tenant: 'default', partBytes: 5 * MIB, ...secretsOf(id, []) })
  const bytes = bytesOf(5 * MIB)
  const piece = { body: { chunks: [bytes], length: bytes.length }, crc32: crc32(bytes) }
  const multipart = await own.createMultipart('retry/part', 5 * MIB)
  proxy.plan({ kind: 'answer', status: 503 }, { kind: 'answer', status: 503 })
  const part = await own.uploadPart('retry/part', multipart, 1, piece)
  const [first, second, third] = proxy.seen.filter(({ method }) => method === 'PUT').map(({ body }) => body)
  assert.ok(first && second && third && first.length > bytes.length)
  assert.ok(first.equals(second) && first.equals(third))
  assert.equal(part?.stored?.crc32, crc32(first), 'and the store checked them')
  const again = await own.uploadPart('retry/part', multipart, 1, piece)
  assert.notEqual(again?.etag, part?.etag, 'a part that is sent anew is encrypted anew')
})

/** The store with some calls replaced. */
function wrapped(store: ByteStore, change: Partial<ByteStore>): ByteStore {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(name in change ? change : target, name)
      return typeof value === 'function' ? value.bind(name in change ? change : target) : value
    },
  })
}
