import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ListBucketsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import pg from 'pg'
import { freshBucket, freshDatabase, freshPrefix, s3Client, servicesFromEnvironment, testServices } from './services.ts'

async function databases(): Promise<string[]> {
  const client = new pg.Client({ connectionString: testServices().databaseUrl })
  await client.connect()
  try {
    const { rows } = await client.query<{ datname: string }>('select datname from pg_database')
    return rows.map((row) => row.datname)
  } finally {
    await client.end()
  }
}

test('a fresh database is empty, reachable and gone after drop, open connections or not', async () => {
  const { url, name, drop } = await freshDatabase()
  const client = new pg.Client({ connectionString: url })
  const cut = new Promise((resolve) => client.on('error', resolve))
  await client.connect()
  await client.query('create table t (x int)')
  assert.ok((await databases()).includes(name))
  await drop()
  assert.ok(!(await databases()).includes(name))
  await cut
})

for (const s3 of testServices().s3) {
  test(`a fresh bucket of ${s3.name} goes with what is in it`, async () => {
    const { name, cleanup } = await freshBucket(s3)
    const client = s3Client(s3)
    const names = async (): Promise<(string | undefined)[]> =>
      ((await client.send(new ListBucketsCommand({}))).Buckets ?? []).map((bucket) => bucket.Name)
    try {
      await client.send(new PutObjectCommand({ Bucket: name, Key: 'a/b', Body: 'x' }))
      assert.ok((await names()).includes(name))
      await cleanup()
      assert.ok(!(await names()).includes(name))
    } finally {
      client.destroy()
    }
  })
}

test('prefixes differ and are safe in names of databases and buckets', () => {
  const some = Array.from({ length: 100 }, () => freshPrefix())
  assert.equal(new Set(some).size, 100)
  for (const prefix of some) assert.match(prefix, /^[a-z][a-z0-9]{10,40}$/)
})

test('the environment names stores one by one', () => {
  const given = servicesFromEnvironment({ TEST_S3_STRICT_ENDPOINT: 'http://127.0.0.1:1', TEST_S3_ACCESS_KEY: 'k' })
  assert.deepEqual(given, {
    s3: [
      {
        name: 'versitygw',
        endpoint: 'http://127.0.0.1:1',
        accessKeyId: 'k',
        secretAccessKey: 'test-secret',
        region: 'us-east-1',
      },
    ],
  })
})
