import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { S3Config } from './config.ts'
import { ConfigError, loadConfig } from './load.ts'
import type { Env } from './values.ts'

const KEY = Buffer.alloc(32, 7).toString('base64')
const STORE = { STORAGE: 's3', S3_BUCKET: 'uploads', S3_ENDPOINT: 'https://store.example' }

/** An embedded service with S3 and this. */
function load(more: Env) {
  return loadConfig({ ...STORE, ...more }, { embedded: true })
}

function s3(more: Env): S3Config {
  const { storage } = load(more)
  assert.ok(storage.driver === 's3')
  return storage.s3
}

function assertFault(more: Env, pattern: RegExp): void {
  assert.throws(
    () => load(more),
    (error) => {
      assert.ok(error instanceof ConfigError)
      assert.equal(error.faults.length, 1, error.faults.join('\n'))
      assert.match(error.faults[0] ?? '', pattern)
      return true
    },
  )
}

describe('encryption by the store', () => {
  test('each way with what it needs', () => {
    assert.deepEqual(s3({}).encryption, { kind: 'none' })
    assert.deepEqual(s3({ S3_SSE: 'aes256' }).encryption, { kind: 'aes256' })
    assert.deepEqual(s3({ S3_SSE: 'kms' }).encryption, { kind: 'kms', keyId: null })
    assert.deepEqual(s3({ S3_SSE: 'kms', S3_SSE_KMS_KEY_ID: 'k' }).encryption, { kind: 'kms', keyId: 'k' })
    assert.deepEqual(s3({ S3_SSE: 'customer', S3_SSE_CUSTOMER_KEY: KEY }).encryption, { kind: 'customer', key: KEY })
  })

  test('a key that nothing uses, or none where one is needed', () => {
    assertFault({ S3_SSE_KMS_KEY_ID: 'k' }, /^S3_SSE_KMS_KEY_ID is set, but S3_SSE is none/)
    assertFault({ S3_SSE: 'kms', S3_SSE_CUSTOMER_KEY: KEY }, /^S3_SSE_CUSTOMER_KEY is set, but S3_SSE is kms/)
    assertFault({ S3_SSE: 'customer' }, /^S3_SSE_CUSTOMER_KEY is not set/)
  })

  test('a key is 32 bytes in base64, and is never shown', () => {
    for (const wrong of ['hunter2', KEY.slice(0, -1), Buffer.alloc(31).toString('base64'), 'x'.repeat(32)]) {
      assertFault(
        { S3_SSE: 'customer', S3_SSE_CUSTOMER_KEY: wrong },
        /^S3_SSE_CUSTOMER_KEY is \(value hidden\): give 32/,
      )
    }
  })

  test('a key on an open line is warned of', () => {
    const open = load({ S3_SSE: 'customer', S3_SSE_CUSTOMER_KEY: KEY, S3_ENDPOINT: 'http://store' })
    assert.match(open.warnings.join(), /the key goes over the network in the clear/)
  })
})

describe('class and tags', () => {
  test('tags are pairs; a value may hold the tenant', () => {
    const { tags, storageClass } = s3({ S3_TAGS: 'a=b, c:d = e f ,t=x-{tenant}', S3_STORAGE_CLASS: 'GLACIER_IR' })
    assert.deepEqual(tags, { a: 'b', 'c:d': 'e f', t: 'x-{tenant}' })
    assert.equal(storageClass, 'GLACIER_IR')
    for (const [wrong, why] of [
      ['a', /"a" has no form name=value/],
      ['a=', /"a=" has no form/],
      ['=b', /"=b" has no form/],
      ['a=b,', /"" has no form/],
      ['a=b&c', /has a sign that a tag cannot have/],
      ['{tenant}=b', /only {tenant} is known/],
      ['a={owner}', /only {tenant} is known/],
      ['a=b,a=c', /give each name once/],
      [`a=${'x'.repeat(257)}`, /is too long/],
      [`a={tenant}${'x'.repeat(200)}`, /is too long/],
      ['aws:a=b', /begins with aws:/],
      [Array.from({ length: 11 }, (_, i) => `t${i}=x`).join(), /10 tags/],
    ] as const) {
      assertFault({ S3_TAGS: wrong }, why)
    }
  })

  test('a class that cannot be read at once is refused', () => {
    assertFault({ S3_STORAGE_CLASS: 'DEEP_ARCHIVE' }, /cannot be read before they are restored/)
    assertFault({ S3_STORAGE_CLASS: 'standard' }, /give a storage class like STANDARD_IA/)
  })
})

test('links need a store that gives any, and objects that can be read by one', () => {
  const links = load({ DOWNLOADS: 'redirect', S3_PUBLIC_ENDPOINT: 'https://files.example/' })
  assert.deepEqual([links.server.downloads, links.server.linkMs], ['redirect', 300_000])
  assert.equal(
    s3({ DOWNLOADS: 'redirect', S3_PUBLIC_ENDPOINT: 'https://files.example/' }).publicEndpoint,
    'https://files.example',
  )
  assertFault({ DOWNLOADS: 'redirect', STORAGE: 'file' }, /^DOWNLOADS is redirect, but STORAGE=file has no links/)
  const customer = { S3_SSE: 'customer', S3_SSE_CUSTOMER_KEY: KEY }
  assertFault({ DOWNLOADS: 'redirect', ...customer }, /^DOWNLOADS is redirect, but S3_SSE=customer/)
  assertFault({ DOWNLOADS: 'redirect', DOWNLOAD_LINK_EXPIRES: '8d' }, /^DOWNLOAD_LINK_EXPIRES/)
  assert.match(load({ S3_PUBLIC_ENDPOINT: 'https://files.example' }).warnings.join(), /S3_PUBLIC_ENDPOINT is not used/)
})

test('a link that clients may not be able to follow is warned of', () => {
  const warnings = (more: Env) => load({ DOWNLOADS: 'redirect', ...more }).warnings.join()
  assert.equal(warnings({}), '')
  assert.match(warnings({ S3_ENDPOINT: 'http://minio:9000' }), /http:\/\/minio:9000, a name that clients may not know/)
  assert.equal(warnings({ S3_ENDPOINT: 'http://minio:9000', S3_PUBLIC_ENDPOINT: 'https://files.example' }), '')
  const secure = { PUBLIC_URL: 'https://u.example' }
  assert.match(warnings({ ...secure, S3_ENDPOINT: 'http://s3.example' }), /without: browsers do not follow that/)
  assert.equal(warnings({ ...secure, S3_ENDPOINT: 'https://s3.example' }), '')
})

describe('key templates', () => {
  test('the default, another one, and earlier ones behind it', () => {
    const mine = '{prefix}/{tenant}/{shard}/{id}/{generation}-{token}'
    const before = '{prefix}/{shard}/{id}/{generation}-{token}'
    assert.deepEqual(load({}).keys.objects, [before])
    assert.deepEqual(load({ S3_KEY_TEMPLATE: ` ${mine} , ${before}` }).keys.objects, [mine, before])
    for (const right of ['{prefix}/{id}/{token}', '{prefix}/v2/{tenant}_{id}.{token}', '{prefix}/{token}-{id}']) {
      assert.deepEqual(load({ S3_KEY_TEMPLATE: right }).keys.objects, [right])
    }
  })

  test('one by which the sweeper could not know or list our keys is refused', () => {
    for (const [wrong, why] of [
      ['{prefix}/{id}', /lacks {token}/],
      ['{prefix}/{token}', /lacks {id}/],
      ['{tenant}/{id}/{token}', /does not begin with {prefix}\//],
      ['{prefix}{id}/{token}', /does not begin with {prefix}\//],
      ['{prefix}/{id}/{id}/{token}', /has {id} twice/],
      ['{prefix}/{owner}/{id}/{token}', /has {owner}; known are {prefix}, {shard}/],
      ['{prefix}/{id}{token}', /run into each other/],
      ['{prefix}/{tenant}-{id}/{token}', /run into each other/],
      ['{prefix}/a{id}/{token}', /runs into a placeholder/],
      ['{prefix}/{id}/{token}/', /signs or lengths/],
      ['{prefix}/../{id}/{token}', /signs or lengths/],
      ['{prefix}/{id}/{token} x', /signs or lengths/],
      ['{prefix}/{id/{token}', /lacks {id}|signs or lengths/],
      [`{prefix}/{id}-${'x'.repeat(165)}-{token}`, /signs or lengths/],
    ] as const) {
      assertFault({ S3_KEY_TEMPLATE: wrong }, why)
    }
  })
})

describe('buckets', () => {
  test('one for all, or one for each tenant', () => {
    for (const right of ['uploads', 'Old_Bucket', 'uploads-{tenant}', '{tenant}.files', 'u{tenant}']) {
      assert.equal(s3({ S3_BUCKET: right }).bucket, right)
    }
  })

  test('a name that no bucket could have, or that could be anybody’s', () => {
    for (const [wrong, why] of [
      ['ab', /give the name of a bucket/],
      ['up/loads', /give the name of a bucket/],
      ['up-{owner}', /give the name of a bucket/],
      ['{tenant}', /a tenant could be called like any other bucket/],
      ['-{tenant}.', /a tenant could be called like any other bucket/],
      ['Up-{tenant}', /lower-case/],
      ['up-{tenant}-{tenant}', /once/],
      ['up-{tenant}-', /lower-case/],
    ] as const) {
      assertFault({ S3_BUCKET: wrong }, why)
    }
  })
})
