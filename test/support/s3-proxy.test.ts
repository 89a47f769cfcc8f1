import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { classify } from './s3-operations.ts'
import { delay, failNext, type S3Proxy, startS3Proxy } from './s3-proxy.ts'
import { freshBucket, type TestS3, testServices } from './services.ts'

let undo: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const step of undo.reverse()) await step()
  undo = []
})

async function rig(s3: TestS3, maxAttempts = 1): Promise<{ proxy: S3Proxy; client: S3Client; Bucket: string }> {
  const bucket = await freshBucket(s3)
  const proxy = await startS3Proxy(s3.endpoint)
  const { region, accessKeyId, secretAccessKey } = s3
  const credentials = { accessKeyId, secretAccessKey }
  const client = new S3Client({ endpoint: proxy.url, region, credentials, forcePathStyle: true, maxAttempts })
  undo.push(bucket.cleanup, proxy.close, async () => client.destroy())
  return { proxy, client, Bucket: bucket.name }
}

for (const s3 of testServices().s3) {
  test(`${s3.name} accepts signatures through the proxy, and every call is told apart`, async () => {
    const { proxy, client, Bucket } = await rig(s3)
    const Key = 'a b/ü+%.bin'
    await client.send(new PutObjectCommand({ Bucket, Key, Body: Buffer.alloc(100_000) }))
    await client.send(new HeadObjectCommand({ Bucket, Key }))
    const got = await client.send(new GetObjectCommand({ Bucket, Key }))
    assert.equal((await got.Body?.transformToByteArray())?.length, 100_000)
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'm' }))
    await client.send(new UploadPartCommand({ Bucket, Key: 'm', UploadId, PartNumber: 3, Body: Buffer.alloc(10) }))
    await client.send(new ListPartsCommand({ Bucket, Key: 'm', UploadId }))
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key: 'm', UploadId }))
    await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'some/' }))
    await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'x' }, { Key: 'y/z' }] } }))
    assert.deepEqual(
      proxy.calls.map(({ operation, bucket, key, partNumber }) => [operation, bucket, key, partNumber]),
      [
        ['PutObject', Bucket, Key, undefined],
        ['HeadObject', Bucket, Key, undefined],
        ['GetObject', Bucket, Key, undefined],
        ['CreateMultipartUpload', Bucket, 'm', undefined],
        ['UploadPart', Bucket, 'm', 3],
        ['ListParts', Bucket, 'm', undefined],
        ['AbortMultipartUpload', Bucket, 'm', undefined],
        ['ListObjectsV2', Bucket, '', undefined],
        ['DeleteObjects', Bucket, '', undefined],
      ],
    )
    assert.deepEqual(proxy.of('ListObjectsV2')[0]?.prefix, 'some/')
    assert.deepEqual(proxy.of('DeleteObjects')[0]?.keys, ['x', 'y/z'])
    for (const call of proxy.calls) assert.ok(call.status === 200 || call.status === 204, call.operation)
    assert.ok((proxy.calls[0]?.bytes ?? 0) >= 100_000)
    assert.equal(proxy.peakBodies, 1)
  })
}

const [seaweedfs] = testServices().s3
if (seaweedfs === undefined) throw new Error('no store')

test('bodies in flight are counted', async () => {
  const { proxy, client, Bucket } = await rig(seaweedfs)
  proxy.before = delay(200, 'PutObject')
  const put = (Key: string): Promise<unknown> => client.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }))
  await Promise.all(['a', 'b', 'c'].map(put))
  assert.equal(proxy.peakBodies, 3)
  proxy.reset()
  await put('d')
  assert.equal(proxy.peakBodies, 1)
})

test('a call dropped before the store was never applied; one whose answer is dropped was', async () => {
  const { proxy, client, Bucket } = await rig(seaweedfs)
  proxy.before = failNext('PutObject', { kind: 'drop' })
  await assert.rejects(client.send(new PutObjectCommand({ Bucket, Key: 'early', Body: 'x' })))
  proxy.before = undefined
  proxy.after = failNext('PutObject', { kind: 'drop' })
  await assert.rejects(client.send(new PutObjectCommand({ Bucket, Key: 'late', Body: 'x' })))
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }))
  assert.deepEqual(
    Contents?.map(({ Key }) => Key),
    ['late'],
  )
  const [early, late] = proxy.of('PutObject')
  assert.deepEqual([early?.storeStatus, early?.status], [undefined, undefined])
  assert.deepEqual([late?.storeStatus, late?.status], [200, undefined])
})

test('an injected error reaches the client as S3 would say it, for as often as asked', async () => {
  const { proxy, client, Bucket } = await rig(seaweedfs, 3)
  proxy.before = failNext('PutObject', { kind: 'error', status: 503, code: 'SlowDown' }, 2)
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: Buffer.alloc(200_000) }))
  assert.deepEqual(
    proxy.of('PutObject').map(({ status }) => status),
    [503, 503, 200],
  )
  proxy.after = failNext('PutObject', { kind: 'error', status: 403, code: 'AccessDenied' })
  await assert.rejects(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' })), { name: 'AccessDenied' })
})

test('a call whose client left while a hook waited ends, and the store does not apply it', async () => {
  const { proxy, client, Bucket } = await rig(seaweedfs)
  const [reached, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  proxy.before = async () => {
    reached.resolve()
    await goOn.promise
    return undefined
  }
  const leaving = new AbortController()
  const put = fetch(`${proxy.url}/${Bucket}/k`, { method: 'PUT', body: Buffer.alloc(100_000), signal: leaving.signal })
  await reached.promise
  leaving.abort()
  await assert.rejects(put, { name: 'AbortError' })
  await sleep(200)
  goOn.resolve()
  proxy.before = undefined
  for (let tries = 0; proxy.of('PutObject')[0]?.endedAt === undefined; tries++) {
    assert.ok(tries < 100, 'it never ended')
    await sleep(50)
  }
  assert.equal(proxy.of('PutObject')[0]?.storeStatus, undefined)
  assert.equal((await client.send(new ListObjectsV2Command({ Bucket }))).KeyCount ?? 0, 0)
})

test('a store that is away breaks the connection instead of hanging', async () => {
  const proxy = await startS3Proxy('http://127.0.0.1:1')
  undo.push(proxy.close)
  await assert.rejects(fetch(`${proxy.url}/b/k`, { method: 'PUT', body: 'x' }))
})

test('operations are told apart by method, path and query', () => {
  const operation = (method: string, url: string, copies = false): string => classify(method, url, copies).operation
  assert.equal(operation('POST', '/b/k?uploadId=u'), 'CompleteMultipartUpload')
  assert.equal(operation('PUT', '/b/k?uploadId=u&partNumber=1', true), 'UploadPartCopy')
  assert.equal(operation('PUT', '/b/k', true), 'CopyObject')
  assert.equal(operation('POST', '/b?delete='), 'DeleteObjects')
  assert.equal(operation('POST', '/b/?delete='), 'DeleteObjects')
  assert.equal(operation('GET', '/b?uploads'), 'ListMultipartUploads')
  assert.equal(operation('GET', '/b?versioning'), 'Other')
  assert.equal(operation('HEAD', '/b'), 'HeadBucket')
  assert.equal(operation('DELETE', '/b/k?x-id=DeleteObject'), 'DeleteObject')
})
