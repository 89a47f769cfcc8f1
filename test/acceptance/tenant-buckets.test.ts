/** A bucket for every tenant, and what becomes of uploads when the setting is changed. On the strict store: it makes no bucket by itself. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { SignJWT } from 'jose'
import { v7 } from 'uuid'
import { freshWorld, type RunningService, startService, type World } from '../support/service.ts'
import { freshPrefix, s3Client, testServices } from '../support/services.ts'
import { eventually, UPLOADS } from './support/tus.ts'

const SECRET = 'a secret of the tests, of more than 32 bytes'
const PREFIX = freshPrefix('tb')

let world: World
let client: S3Client
const running: RunningService[] = []

before(async () => {
  world = await freshWorld(testServices().s3.find(({ name }) => name === 'versitygw'))
  client = s3Client(world.s3)
})

after(async () => {
  await Promise.all(running.map((service) => service.kill()))
  for (const tenant of ['red', 'blue', 'green', 'red-new']) {
    const Bucket = `${PREFIX}-${tenant}`
    const Objects = (await keysIn(Bucket)).map((Key) => ({ Key }))
    if (Objects.length > 0) await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))
    await client.send(new DeleteBucketCommand({ Bucket }))
  }
  client.destroy()
  await world.remove()
})

async function start(env: Record<string, string>): Promise<RunningService> {
  const jwt = { AUTH_MODE: 'jwt', JWT_SECRET: SECRET }
  const service = await startService({ mode: 'production', env: { ...world.env, ...jwt, ...env } })
  running.push(service)
  return service
}

async function keysIn(Bucket: string): Promise<string[]> {
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }))
  return (Contents ?? []).map(({ Key }) => Key ?? '').sort()
}

/** A caller of this tenant. */
async function caller(service: RunningService, tenant: string) {
  const token = await new SignJWT({ sub: 'somebody', tenant, roles: ['uploader', 'reader'] })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime('5m')
    .sign(Buffer.from(SECRET))
  const own = { Authorization: `Bearer ${token}`, 'Tus-Resumable': '1.0.0' }
  const octets = { 'Content-Type': 'application/offset+octet-stream' }
  const ask = (method: string, path: string, headers: Record<string, string>, body?: string) =>
    fetch(`${service.url}${path}`, { method, headers: { ...own, ...headers }, ...(body === undefined ? {} : { body }) })
  return {
    post: (length: number, body: string) =>
      ask('POST', UPLOADS, { 'Upload-Length': String(length), ...(body === '' ? {} : octets) }, body || undefined),
    patch: (path: string, offset: number, body: string) =>
      ask('PATCH', path, { 'Upload-Offset': String(offset), ...octets }, body),
    async create(length: number, body: string): Promise<string> {
      const answer = await this.post(length, body)
      assert.equal(answer.status, 201, await answer.text())
      return new URL(answer.headers.get('location') ?? '').pathname
    },
    remove: async (path: string) => (await ask('DELETE', path, {})).status,
    content: async (path: string) => (await ask('GET', path, {})).text(),
  }
}

test('every tenant has a bucket; each upload stays in the one that it began in', async (t) => {
  const old = await start({ S3_BUCKET: `${PREFIX}-{tenant}`, S3_CREATE_BUCKET: 'true' })
  const begun: Record<string, { readonly whole: string; readonly part: string }> = {}
  await t.test('it is created when it is first needed, and has nothing of another tenant', async () => {
    for (const tenant of ['red', 'blue']) {
      const tus = await caller(old, tenant)
      begun[tenant] = { whole: await tus.create(5, tenant.padEnd(5)), part: await tus.create(10, 'begun') }
      const ids = (await keysIn(`${PREFIX}-${tenant}`)).map((key) => key.split('/')[2])
      assert.deepEqual(
        ids.sort(),
        Object.values(begun[tenant])
          .map((path) => path.split('/').pop())
          .sort(),
      )
    }
  })

  await t.test('an upload without bytes is removed before there is a bucket', async () => {
    const tus = await caller(old, 'green')
    assert.equal(await tus.remove(await tus.create(5, '')), 204)
  })

  await t.test('a tenant whose bucket would have no name is refused, and the log says why', async () => {
    const answer = await (await caller(old, 'red-')).post(5, 'whole')
    assert.equal(answer.status, 503)
    await eventually(async () => old.logs().includes(`bucket \\"${PREFIX}-red-\\"`), 'the log says it')
  })

  await old.kill()
  const env = { S3_BUCKET: `${PREFIX}-{tenant}-new`, ORPHAN_SWEEP_EVERY: '1s', ORPHAN_AGE: '1s' }
  const current = await start(env)

  await t.test('a later setting is for later uploads', async () => {
    const { whole = '', part = '' } = begun.red ?? {}
    const tus = await caller(current, 'red')
    assert.equal(await tus.content(whole), 'red  ')
    assert.equal((await tus.patch(part, 5, ' now.')).status, 204)
    assert.equal(await tus.content(part), 'begun now.')
    await eventually(async () => (await keysIn(`${PREFIX}-red`)).length === 2, 'two objects, and no tail any more')
  })

  await t.test(
    'a bucket that is not there and must not be created is named, and needed for new uploads only',
    async () => {
      const tus = await caller(current, 'red')
      assert.equal((await tus.post(5, 'whole')).status, 503)
      const said = `The bucket \\"${PREFIX}-red-new\\" does not exist. Create it`
      await eventually(async () => current.logs().includes(said), 'the log says it')
      await client.send(new CreateBucketCommand({ Bucket: `${PREFIX}-red-new` }))
      assert.equal(await tus.content(await tus.create(5, 'whole')), 'whole')
      const health = await (await fetch(`${current.url}/health`)).json()
      assert.partialDeepStrictEqual(health, { status: 'ok', checks: { storage: { state: 'up' } } })
    },
  )

  await t.test('orphans are swept from every bucket that a row names', async () => {
    const left: string[] = []
    for (const Bucket of [`${PREFIX}-red`, `${PREFIX}-blue`, `${PREFIX}-red-new`]) {
      const id = v7()
      const Key = `uploads/${id.slice(-2)}/${id}/1-interrupted`
      await client.send(new PutObjectCommand({ Bucket, Key, Body: 'left behind' }))
      left.push(Key)
    }
    const kept = async () =>
      (await Promise.all([`${PREFIX}-red`, `${PREFIX}-blue`, `${PREFIX}-red-new`].map(keysIn))).flat()
    await eventually(async () => !(await kept()).some((key) => left.includes(key)), 'they are gone', 120_000)
    assert.equal((await kept()).length, 2 + 2 + 1, 'and nothing else is')
  })
})
