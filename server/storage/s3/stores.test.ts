import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { newUploadId } from '../../uploads/id.ts'
import { S3Stores, type StoresOptions } from './stores.ts'

const ID = newUploadId()

function stores(t: TestContext, options: Partial<StoresOptions>): S3Stores {
  const credentials = { accessKeyId: 'a', secretAccessKey: 's' }
  const made = new S3Stores({
    endpoint: 'https://s3.internal',
    region: 'us-east-1',
    bucket: 'uploads',
    credentials,
    ...options,
  })
  t.after(() => made.house.close())
  return made
}

test('one bucket: the same store for everybody, but for rows that name another', (t) => {
  const all = stores(t, {})
  const [red, blue] = [all.of({ id: ID, tenant: 'red' }), all.of({ id: ID, tenant: 'blue', bucket: 'uploads' })]
  assert.equal(red, all.house)
  assert.equal(blue, all.house)
  const old = all.of({ id: ID, tenant: 'red', bucket: 'old-uploads' })
  assert.equal(old.bucket, 'old-uploads')
  assert.equal(all.of({ id: ID, tenant: 'blue', bucket: 'old-uploads' }), old)
  assert.deepEqual(
    all.inBuckets(['old-uploads', 'uploads']).map(({ bucket }) => bucket),
    ['uploads', 'old-uploads'],
  )
})

test("a bucket a tenant: each tenant's own, the row's before it", (t) => {
  const told: string[] = []
  const each = stores(t, { bucket: 'up-{tenant}', onBucket: ({ bucket }) => told.push(bucket) })
  assert.equal(each.of({ id: ID, tenant: 'red' }).bucket, 'up-red')
  assert.equal(each.of({ id: ID, tenant: 'red', bucket: null }), each.of({ id: ID, tenant: 'red', bucket: 'up-red' }))
  assert.equal(each.of({ id: ID, tenant: 'red', bucket: 'uploads' }).bucket, 'uploads')
  assert.deepEqual(told, ['up-red', 'uploads'], 'once for each')
  assert.deepEqual(
    each.inBuckets(['up-red']).map(({ bucket }) => bucket),
    ['up-red'],
  )
})

test('where links lead, as a page has to be allowed it', (t) => {
  const source = (options: Partial<StoresOptions>) => stores(t, options).linkSource()
  const publicEndpoint = 'https://files.example'
  assert.equal(source({}), 'https://s3.internal')
  assert.equal(source({ publicEndpoint }), 'https://files.example')
  assert.equal(source({ publicEndpoint, forcePathStyle: false }), 'https://uploads.files.example')
  assert.equal(source({ publicEndpoint, bucket: 'up-{tenant}' }), 'https://files.example')
  assert.equal(source({ publicEndpoint, bucket: 'up-{tenant}', forcePathStyle: false }), 'https://*.files.example')
})
