import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { s3Client } from '../test/support/services.ts'
import { startDiscardStore } from './discard-store.ts'

test('the store that throws bytes away knows sizes, keeps what is read back and counts each bucket', async () => {
  const store = await startDiscardStore()
  const client = s3Client(store.s3)
  try {
    const at = { Bucket: 'one', Key: 'a' }
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(at))
    await client.send(new UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: 'x'.repeat(1000) }))
    await client.send(new UploadPartCommand({ ...at, UploadId, PartNumber: 2, Body: 'x'.repeat(10) }))
    await client.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts: [] } }))
    assert.equal((await client.send(new HeadObjectCommand(at))).ContentLength, 1010)
    await client.send(new PutObjectCommand({ Bucket: 'other', Key: 'b.info', Body: 'kept', Metadata: { id: '7' } }))
    const info = await client.send(new GetObjectCommand({ Bucket: 'other', Key: 'b.info' }))
    assert.equal(await info.Body?.transformToString(), 'kept')
    assert.deepEqual(info.Metadata, { id: '7' })
    const listed = await client.send(new ListObjectsV2Command({ Bucket: 'other', Prefix: 'b' }))
    assert.deepEqual(
      listed.Contents?.map(({ Key, Size }) => [Key, Size]),
      [['b.info', 4]],
    )
    assert.deepEqual((await store.settled('one')).requests, {
      CreateMultipartUpload: 1,
      UploadPart: 2,
      CompleteMultipartUpload: 1,
      HeadObject: 1,
    })
    const { requests, bytesOut } = await store.settled('other')
    assert.deepEqual([requests, bytesOut], [{ PutObject: 1, GetObject: 1, ListObjectsV2: 1 }, 4])
  } finally {
    client.destroy()
    await store.stop()
  }
})
