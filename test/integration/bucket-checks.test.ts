/** What the start learns of a bucket from real stores, and from answers that they do not give. */
import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import {
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { S3ByteStore } from '../../server/storage/s3/index.ts'
import { hasCode } from '../../server/uploads/errors.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { freshBucket, s3Client, type TestS3, testServices } from '../support/services.ts'

const DAY = 86_400_000
const KEYS = { objects: ['uploads/'], tails: 'uploads-tails/', expiresAfterMs: 7 * DAY, tags: {} }

interface Ground {
  readonly Bucket: string
  readonly client: S3Client
  /** Kinds and beginnings of what would be said. */
  said(): Promise<string[]>
}

/** An empty bucket of this store, asked through `endpoint`. */
async function ground(t: TestContext, s3: TestS3, endpoint = s3.endpoint): Promise<Ground> {
  const bucket = await freshBucket(s3)
  const client = s3Client(s3)
  const { region, accessKeyId, secretAccessKey } = s3
  const credentials = { accessKeyId, secretAccessKey }
  const store = new S3ByteStore({ endpoint, region, bucket: bucket.name, credentials })
  t.after(async () => {
    await store.close()
    await bucket.cleanup()
    client.destroy()
  })
  const said = async () => (await store.check(KEYS)).map(({ kind, message }) => `${kind}: ${message}`)
  return { Bucket: bucket.name, client, said }
}

for (const s3 of testServices().s3) {
  describe(`the bucket of ${s3.name}`, { concurrency: true }, () => {
    test('a new one is well', async (t) => {
      const { said } = await ground(t, s3)
      const found = await said()
      assert.deepEqual(
        found.filter((line) => !line.startsWith('unknown')),
        [],
      )
      // versitygw has no lifecycle rules at all.
      assert.equal(found.length, s3.name === 'versitygw' ? 1 : 0, found.join('\n'))
    })

    test('versioning, and a default retention over it', async (t) => {
      const { Bucket, client, said } = await ground(t, s3)
      await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }))
      assert.match((await said())[0] ?? '', /^warning: Versioning is on/)
      const retention = { DefaultRetention: { Mode: 'GOVERNANCE', Days: 30 } } as const
      const lock = { ObjectLockEnabled: 'Enabled', Rule: retention } as const
      await client.send(new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration: lock }))
      assert.match((await said())[0] ?? '', /^warning: Object Lock keeps every new object for 30 days \(GOVERNANCE\)/)
    })
  })
}

test('lifecycle rules as SeaweedFS keeps them', async (t) => {
  const [seaweedfs] = testServices().s3
  assert.ok(seaweedfs)
  const { Bucket, client, said } = await ground(t, seaweedfs)
  const rule = (days: number) => ({
    Bucket,
    LifecycleConfiguration: {
      Rules: [
        {
          ID: 'tidy',
          Status: 'Enabled' as const,
          Filter: { Prefix: 'uploads' },
          AbortIncompleteMultipartUpload: { DaysAfterInitiation: days },
          Expiration: { Days: days },
        },
      ],
    },
  })
  await client.send(new PutBucketLifecycleConfigurationCommand(rule(3)))
  assert.deepEqual(
    (await said()).map((line) => line.slice(0, 'danger: The lifecycle rule "tidy" removes objects and tails'.length)),
    [
      'danger: The lifecycle rule "tidy" removes objects and tails',
      'danger: The lifecycle rule "tidy" aborts multipart uploads ',
    ],
  )
  await client.send(new PutBucketLifecycleConfigurationCommand(rule(30)))
  assert.match((await said()).join(), /^warning: The lifecycle rule "tidy" removes finished files after 30 days[^\n]*$/)
})

describe('answers', { concurrency: true }, () => {
  const [, versitygw] = testServices().s3
  assert.ok(versitygw)

  for (const [status, code] of [
    [403, 'AccessDenied'],
    [404, 'NoSuchConfiguration'],
    [405, 'MethodNotAllowed'],
    [501, 'NotImplemented'],
  ] as const) {
    test(`${status} ${code} to all that is asked: it does not say, and that is no reason not to start`, async (t) => {
      const proxy = new FaultProxy(versitygw.endpoint)
      const endpoint = await proxy.listen()
      t.after(() => proxy.close())
      const { said } = await ground(t, versitygw, endpoint)
      const body = `<Error><Code>${code}</Code><Message>No.</Message></Error>`
      proxy.decide(() => ({ kind: 'answer', status, body }))
      const found = await said()
      assert.deepEqual(
        found.map((line) => /^unknown: The bucket "\S+" does not say its (.+?): /.exec(line)?.[1]).sort(),
        ['Object Lock', 'lifecycle rules', 'versioning'],
      )
      assert.equal(proxy.seen.length, 3, 'and nothing is asked twice')
    })
  }

  test('a store that is away is asked again, and then it is away', async (t) => {
    const proxy = new FaultProxy(versitygw.endpoint)
    const endpoint = await proxy.listen()
    t.after(() => proxy.close())
    const { said } = await ground(t, versitygw, endpoint)
    proxy.decide(({ url }) => (url.includes('?lifecycle') ? { kind: 'answer', status: 503 } : null))
    await assert.rejects(said(), (error) => hasCode(error, 'store_unavailable'))
    assert.equal(proxy.seen.filter(({ url }) => url.includes('?lifecycle')).length, 3)
  })
})
