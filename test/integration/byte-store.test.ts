import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { byteStoreContract } from '../../server/storage/contract.ts'
import { FileByteStore } from '../../server/storage/file/index.ts'
import { S3ByteStore } from '../../server/storage/s3/index.ts'
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
