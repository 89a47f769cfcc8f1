/** What S3_SSE, S3_STORAGE_CLASS and S3_TAGS ask of the store, request by request, and that real stores take it. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { describe, type TestContext, test } from 'node:test'
import {
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
} from '@aws-sdk/client-s3'
import { listed, piece, readAll } from '../../server/storage/contract.ts'
import { type S3ByteStore, type S3Options, S3Stores, type StoreEncryption } from '../../server/storage/s3/index.ts'
import { newUploadId } from '../../server/uploads/id.ts'
import type { ByteStore } from '../../server/uploads/ports/byte-store.ts'
import { FaultProxy, type Seen } from '../support/fault-proxy.ts'
import { freshBucket, s3Client, type TestS3, testServices } from '../support/services.ts'

const MIB = 1024 * 1024
const P = 5 * MIB
const ACME = { id: newUploadId(), tenant: 'acme' }
const KEY = randomBytes(32)
const MD5 = createHash('md5').update(KEY).digest('base64')
const TAGS = { service: 'upload', tenant: '{tenant}' }

type Marks = NonNullable<S3Options['marks']>

function marks(encryption: StoreEncryption, more: Partial<Marks> = {}): Marks {
  return { encryption, storageClass: null, tags: {}, ...more }
}

/** Every kind of request that touches bytes, in this order. The last part of the multipart upload is a copy. */
async function everything(store: ByteStore): Promise<void> {
  const bytes = Buffer.alloc(P, 'p')
  await store.putObject('tails/one', piece(Buffer.from('tail')), { shortLived: true })
  await store.putObject('objects/one', piece(Buffer.from('object')), { contentType: 'text/plain' })
  const id = await store.createMultipart('objects/two', P, { contentType: 'text/plain' })
  const first = await store.uploadPart('objects/two', id, 1, piece(bytes))
  const source = { key: 'objects/one', range: { first: 0, last: 2 } }
  const last = await store.copyPart('objects/two', id, 2, source)
  assert.ok(first && last)
  assert.equal((await store.listParts('objects/two', id))?.length, 2)
  const whole = { bytes: P + 3, crc32: null }
  assert.equal(await store.completeMultipart('objects/two', id, [first, last], whole), 'done')
  assert.equal((await store.head('objects/two'))?.bytes, P + 3)
  assert.equal((await readAll(store, 'objects/two', { first: P - 1, last: P + 2 })).toString(), 'pobj')
  assert.equal((await readAll(store, 'tails/one')).toString(), 'tail')
}

/** A store that takes everything and keeps nothing: what it is asked is all that counts. */
function takesEverything({ method, url, headers }: Seen) {
  const { pathname, searchParams: query } = new URL(url, 'http://store')
  const xml = (root: string, inner: string) => ({ body: `<?xml version="1.0"?><${root}>${inner}</${root}>` })
  const answer = (): { body?: string; headers?: Record<string, string> } => {
    if (method === 'PUT' && headers['x-amz-copy-source']) return xml('CopyPartResult', '<ETag>"2"</ETag>')
    if (method === 'PUT') return { headers: { etag: '"1"' } }
    if (query.has('uploads')) return xml('InitiateMultipartUploadResult', '<UploadId>mp</UploadId>')
    if (method === 'POST') return xml('CompleteMultipartUploadResult', '<ETag>"3"</ETag>')
    const part = (n: number) => `<Part><PartNumber>${n}</PartNumber><ETag>"${n}"</ETag><Size>1</Size></Part>`
    if (query.has('uploadId')) return xml('ListPartsResult', `${part(1)}${part(2)}<IsTruncated>false</IsTruncated>`)
    if (method === 'HEAD') return { headers: { 'content-length': String(P + 3), etag: '"3"' } }
    return { body: pathname.endsWith('tails/one') ? 'tail' : 'pobj' }
  }
  return { kind: 'answer', status: 200, ...answer() } as const
}

const OPERATIONS = [
  'put tail',
  'put object',
  'create',
  'part',
  'copy',
  'list parts',
  'complete',
  'head',
  'read object',
  'read tail',
] as const

/** The headers of each request about encryption, class and tags, without their prefix; nothing for those with none. */
async function asked(t: TestContext, options: Marks): Promise<Record<string, Record<string, string>>> {
  const proxy = new FaultProxy('http://127.0.0.1:1')
  const endpoint = await proxy.listen()
  proxy.decide(takesEverything)
  const credentials = { accessKeyId: 'a', secretAccessKey: 's' }
  const stores = new S3Stores({ endpoint, region: 'us-east-1', bucket: 'bucket', credentials, marks: options })
  t.after(async () => {
    await stores.house.close()
    await proxy.close()
  })
  await everything(stores.of(ACME))
  assert.equal(proxy.seen.length, OPERATIONS.length)
  const found: Record<string, Record<string, string>> = {}
  for (const [index, { headers }] of proxy.seen.entries()) {
    const about = Object.entries(headers).filter(([name]) => /server-side-encryption|storage-class|tagging/.test(name))
    const signed = /SignedHeaders=([^,]+)/.exec(String(headers.authorization))?.[1]?.split(';') ?? []
    for (const [name] of about) assert.ok(signed.includes(name), `${OPERATIONS[index]}: ${name} is signed`)
    assert.deepEqual(signed, signed.toSorted(), 'in the order that is signed')
    if (about.length === 0) continue
    found[OPERATIONS[index] ?? ''] = Object.fromEntries(
      about.map(([name, value]) => [
        name.replace('x-amz-', '').replace('server-side-encryption', 'sse'),
        String(value),
      ]),
    )
  }
  return found
}

describe('what the store is asked', { concurrency: true }, () => {
  test('nothing, unless told', async (t) => {
    assert.deepEqual(await asked(t, marks({ kind: 'none' })), {})
  })

  test('SSE-S3 and SSE-KMS where an object or a multipart upload begins, tails too', async (t) => {
    const aes = { sse: 'AES256' }
    assert.deepEqual(await asked(t, marks({ kind: 'aes256' })), { 'put tail': aes, 'put object': aes, create: aes })
    const own = { sse: 'aws:kms' }
    const kms = marks({ kind: 'kms', keyId: null })
    assert.deepEqual(await asked(t, kms), { 'put tail': own, 'put object': own, create: own })
    const named = { sse: 'aws:kms', 'sse-aws-kms-key-id': 'arn:aws:kms:eu-central-1:1:key/k' }
    assert.deepEqual(await asked(t, marks({ kind: 'kms', keyId: 'arn:aws:kms:eu-central-1:1:key/k' })), {
      'put tail': named,
      'put object': named,
      create: named,
    })
  })

  test("a customer's key with every request that touches bytes; a copy names the key of its source too", async (t) => {
    const key = {
      'sse-customer-algorithm': 'AES256',
      'sse-customer-key': KEY.toString('base64'),
      'sse-customer-key-md5': MD5,
    }
    const source = Object.fromEntries(Object.entries(key).map(([name, value]) => [`copy-source-${name}`, value]))
    const expected = Object.fromEntries(OPERATIONS.map((operation) => [operation, key]))
    assert.deepEqual(await asked(t, marks({ kind: 'customer', key: KEY })), {
      ...expected,
      copy: { ...key, ...source },
    })
  })

  test('class and tags for what stays, with the tenant in them; none for tails', async (t) => {
    const more = { storageClass: 'STANDARD_IA', tags: { ...TAGS, 'cost:center': 'a b+c' } }
    const stays = { 'storage-class': 'STANDARD_IA', tagging: 'service=upload&tenant=acme&cost%3Acenter=a%20b%2Bc' }
    assert.deepEqual(await asked(t, marks({ kind: 'none' }, more)), { 'put object': stays, create: stays })
  })
})

async function realStores(
  t: TestContext,
  s3: TestS3,
  options: Marks,
  endpoint = s3.endpoint,
): Promise<{ store: S3ByteStore; Bucket: string }> {
  const bucket = await freshBucket(s3)
  const { region, accessKeyId, secretAccessKey } = s3
  const credentials = { accessKeyId, secretAccessKey }
  const stores = new S3Stores({ endpoint, region, bucket: bucket.name, credentials, marks: options })
  t.after(async () => {
    await stores.house.close()
    await bucket.cleanup()
  })
  return { store: stores.of(ACME), Bucket: bucket.name }
}

for (const s3 of testServices().s3) {
  test(`${s3.name} takes the signed headers of class and tags, and keeps the tags`, async (t) => {
    const { store, Bucket } = await realStores(t, s3, marks({ kind: 'none' }, { storageClass: 'STANDARD', tags: TAGS }))
    await everything(store)
    const client = s3Client(s3)
    t.after(() => client.destroy())
    for (const Key of ['objects/one', 'objects/two']) {
      const { TagSet } = await client.send(new GetObjectTaggingCommand({ Bucket, Key }))
      const tags = Object.fromEntries((TagSet ?? []).map((tag) => [tag.Key, tag.Value]))
      assert.deepEqual(tags, { service: 'upload', tenant: 'acme' })
    }
  })
}

test('SeaweedFS really encrypts: with its own key, and with ours, without which nobody reads', async (t) => {
  const [seaweedfs] = testServices().s3
  assert.ok(seaweedfs)
  const client = s3Client(seaweedfs)
  t.after(() => client.destroy())
  const own = await realStores(t, seaweedfs, marks({ kind: 'aes256' }))
  await everything(own.store)
  for (const Key of ['tails/one', 'objects/one', 'objects/two']) {
    const { ServerSideEncryption } = await client.send(new HeadObjectCommand({ Bucket: own.Bucket, Key }))
    assert.equal(ServerSideEncryption, 'AES256', Key)
  }

  const { store, Bucket } = await realStores(t, seaweedfs, marks({ kind: 'customer', key: KEY }))
  await store.putObject('tails/one', piece(Buffer.from('tail')), { shortLived: true })
  const id = await store.createMultipart('objects/two', P)
  const parts = [
    await store.uploadPart('objects/two', id, 1, piece(Buffer.alloc(P, 'p'))),
    await store.uploadPart('objects/two', id, 2, piece(Buffer.from('end'))),
  ].filter((part) => part !== null)
  assert.equal((await store.listParts('objects/two', id))?.length, 2)
  assert.equal(await store.completeMultipart('objects/two', id, parts, { bytes: P + 3, crc32: null }), 'done')
  assert.equal((await store.head('objects/two'))?.bytes, P + 3)
  assert.equal((await readAll(store, 'objects/two', { first: P - 1, last: P + 2 })).toString(), 'pend')
  for (const Key of ['tails/one', 'objects/two']) {
    await assert.rejects(client.send(new GetObjectCommand({ Bucket, Key })), /must provide the customer key/, Key)
  }
})

/** What the start would say, as kinds and beginnings of sentences. */
async function said(store: S3ByteStore): Promise<string[]> {
  const findings = await store.check({ objects: ['uploads/'], tails: 'uploads-tails/', expiresAfterMs: 1, tags: {} })
  return findings.filter(({ kind }) => kind !== 'unknown').map(({ kind, message }) => `${kind}: ${message}`)
}

describe('what the start finds out by writing', () => {
  const [seaweedfs, versitygw] = testServices().s3
  assert.ok(seaweedfs && versitygw)

  test('a store that does as it is told has nothing said of it, and nothing left in it', async (t) => {
    const { store } = await realStores(
      t,
      seaweedfs,
      marks({ kind: 'aes256' }, { storageClass: 'STANDARD', tags: TAGS }),
    )
    assert.deepEqual(await said(store), [])
    assert.deepEqual(await listed(store, ''), [])
  })

  test('a store that takes no notice of S3_SSE', async (t) => {
    for (const encryption of [
      { kind: 'aes256' },
      { kind: 'kms', keyId: null },
      { kind: 'customer', key: KEY },
    ] as const) {
      const { store } = await realStores(t, versitygw, marks(encryption))
      const [finding = '', ...more] = await said(store)
      assert.match(finding, new RegExp(`^danger: The store takes S3_SSE=${encryption.kind} without a word`))
      assert.deepEqual([more, await listed(store, '')], [[], []])
    }
  })

  test("a store that cannot copy what has a customer's key could not finish every upload", async (t) => {
    const { store, Bucket } = await realStores(t, seaweedfs, marks({ kind: 'customer', key: KEY }))
    assert.match((await said(store)).join(), /^danger: The store refuses what S3_SSE.*UploadPartCopy.*NotImplemented/)
    const client = s3Client(seaweedfs)
    t.after(() => client.destroy())
    assert.deepEqual((await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? [], [])
    assert.deepEqual(await listed(store, ''), [])
  })

  test('a class that the store takes no notice of costs, and loses nothing', async (t) => {
    const { store } = await realStores(t, versitygw, marks({ kind: 'none' }, { storageClass: 'STANDARD_IA' }))
    assert.match((await said(store)).join(), /^warning: S3_STORAGE_CLASS is STANDARD_IA, but .* class STANDARD\.$/)
  })

  test('what the store refuses is said before anybody uploads', async (t) => {
    const proxy = new FaultProxy(versitygw.endpoint)
    const endpoint = await proxy.listen()
    t.after(() => proxy.close())
    const body = '<Error><Code>InvalidStorageClass</Code><Message>No such class</Message></Error>'
    proxy.decide(({ method }) => (method === 'PUT' ? { kind: 'answer', status: 400, body } : null))
    const options = marks({ kind: 'none' }, { storageClass: 'STANDARD_IA' })
    const { store } = await realStores(t, versitygw, options, endpoint)
    assert.match(
      (await said(store)).join(),
      /^danger: The store refuses what S3_SSE.*InvalidStorageClass: No such class\.$/,
    )
  })
})
