import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { byteStoreContract, piece } from '../../server/storage/contract.ts'
import { withEncryption } from '../../server/storage/encryption/index.ts'
import { FileByteStore } from '../../server/storage/file/index.ts'
import { S3ByteStore } from '../../server/storage/s3/index.ts'
import { newUploadId } from '../../server/uploads/id.ts'
import { oneStore } from '../../server/uploads/one-store.ts'
import type { ByteStore } from '../../server/uploads/ports/byte-store.ts'
import { freshBucket, testServices } from '../support/services.ts'

for (const s3 of testServices().s3) {
  byteStoreContract(`S3 on ${s3.name}`, async () => {
    const bucket = await freshBucket(s3)
    const { endpoint, region, accessKeyId, secretAccessKey } = s3
    const credentials = { accessKeyId, secretAccessKey }
    // Few sockets, so that one that leaks stops the suite.
    const store = new S3ByteStore({ endpoint, region, bucket: bucket.name, credentials, maxSockets: 8 })
    return {
      store,
      cleanup: async () => {
        await store.close()
        await bucket.cleanup()
      },
    }
  })
}

/** What the engine sees of any store when the service encrypts. */
function encrypted(store: ByteStore): ByteStore {
  const keys = [{ id: 'one', key: randomBytes(32) }]
  const damaged = (_upload: string, key: string) => assert.fail(`${key} is damaged`)
  const { stores, secretsOf } = withEncryption(oneStore(store), { keys, encryptNew: true, damaged })
  const id = newUploadId()
  return stores.of({ id, tenant: 'default', partBytes: 8 * 1024 * 1024, ...secretsOf(id, []) })
}

const LONG = process.env.TEST_LONG === '1'
// With TEST_LONG=1 on every store.
for (const s3 of testServices().s3.slice(0, LONG ? undefined : 1)) {
  byteStoreContract(
    `encrypted on ${s3.name}`,
    async () => {
      const bucket = await freshBucket(s3)
      const { endpoint, region, accessKeyId, secretAccessKey } = s3
      const credentials = { accessKeyId, secretAccessKey }
      const store = new S3ByteStore({ endpoint, region, bucket: bucket.name, credentials, maxSockets: 8 })
      return {
        store: encrypted(store),
        cleanup: async () => {
          await store.close()
          await bucket.cleanup()
        },
      }
    },
    { takesCrc: true },
  )
}

for (const s3 of testServices().s3) {
  test(`reads from ${s3.name} hold ready what they are told to, also in pieces`, async (t) => {
    const bucket = await freshBucket(s3)
    const { endpoint, region, accessKeyId, secretAccessKey } = s3
    const credentials = { accessKeyId, secretAccessKey }
    const store = new S3ByteStore({ endpoint, region, bucket: bucket.name, credentials, readHighWaterMark: 4096 })
    t.after(async () => {
      await store.close()
      await bucket.cleanup()
    })
    await store.putObject('read/one', piece(Buffer.alloc(1_000_000)))
    const stream = await store.read('read/one')
    assert.ok(stream)
    assert.equal(stream.readableHighWaterMark, 4096)
    await once(stream, 'readable')
    assert.ok(stream.readableLength < 500_000, 'no more than the last chunk on top of it')
    stream.destroy()
  })
}

byteStoreContract(
  'encrypted files',
  async () => {
    const root = await mkdtemp(join(tmpdir(), 'byte-store-'))
    const store = await FileByteStore.open({ root })
    return {
      store: encrypted(store),
      cleanup: async () => {
        await store.close()
        await rm(root, { recursive: true })
      },
    }
  },
  { takesCrc: true },
)

byteStoreContract('files', async () => {
  const root = await mkdtemp(join(tmpdir(), 'byte-store-'))
  const store = await FileByteStore.open({ root })
  return {
    store,
    cleanup: async () => {
      await store.close()
      await rm(root, { recursive: true })
    },
  }
})
