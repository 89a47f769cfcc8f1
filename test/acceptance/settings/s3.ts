/** How the store is reached, and where in it the bytes lie. */
import assert from 'node:assert/strict'
import { DeleteBucketCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { FaultProxy } from '../../support/fault-proxy.ts'
import { launchServer } from '../../support/launch.ts'
import { freshPrefix, s3Client } from '../../support/services.ts'
import { eventually, sampleBytes, Tus } from '../support/tus.ts'
import { events, metric, type Stage, shows } from './stage.ts'

const MIB = 1024 * 1024
const SSE = 'x-amz-server-side-encryption'
/** `filename a b.html`, `filetype text/html`. */
const NAMED = 'filename YSBiLmh0bWw=,filetype dGV4dC9odG1s'

export function s3Settings(): void {
  shows(
    'S3_BUCKET S3_CREATE_BUCKET S3_KEY_PREFIX S3_KEY_TEMPLATE S3_TAIL_PREFIX',
    'where in the store the bytes are',
    async (stage) => {
      const { s3 } = stage.world
      const client = s3Client(s3)
      stage.later(() => client.destroy())
      const Bucket = freshPrefix('made')
      const missing = launchServer({ ...stage.world.env, S3_BUCKET: Bucket, PORT: '0' })
      assert.equal(await missing.ends(), 1)
      assert.match(missing.output(), new RegExp(`The bucket "${Bucket}" does not exist at .*S3_CREATE_BUCKET=true`))

      const env = {
        S3_BUCKET: Bucket,
        S3_CREATE_BUCKET: 'true',
        S3_KEY_PREFIX: 'deep/objects',
        S3_KEY_TEMPLATE: '{prefix}/{tenant}/{shard}/{id}/{token}',
        S3_TAIL_PREFIX: 'ends',
      }
      const service = await stage.start(env)
      stage.later(() => client.send(new DeleteBucketCommand({ Bucket })))
      const tus = new Tus(service.url)
      const whole = await tus.create({ length: 5, body: 'whole' })
      const begun = await tus.createWith(10, 'begun')
      const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }))
      const keys = (Contents ?? []).map(({ Key }) => Key ?? '').sort()
      assert.deepEqual(
        keys.map((key) =>
          key
            .replace(/\/[0-9a-f]{2}\//, '/{shard}/')
            .split('/')
            .slice(0, -1)
            .join('/'),
        ),
        [`deep/objects/default/{shard}/${whole.split('/').pop()}`, `ends/{shard}/${begun.split('/').pop()}`],
      )
      for (const path of [whole, begun]) assert.equal((await tus.terminate(path)).status, 204)
      const listed = async () => (await client.send(new ListObjectsV2Command({ Bucket }))).Contents?.length ?? 0
      await eventually(async () => (await listed()) === 0, 'a terminated upload leaves nothing')
    },
  )

  shows(
    'S3_ENDPOINT S3_REGION S3_ACCESS_KEY_ID S3_SECRET_ACCESS_KEY S3_SESSION_TOKEN',
    'who asks which store, and for which region',
    async (stage) => {
      const proxy = await recorder(stage)
      const right = await stage.start({ S3_ENDPOINT: proxy.url })
      assert.equal((await new Tus(right.url).post({ length: 1, body: 'x' })).status, 201)
      const put = proxy.seen.find(({ method }) => method === 'PUT')
      assert.ok(put?.url.startsWith(`/${stage.world.bucket}/uploads/`), 'the object went through S3_ENDPOINT')

      await right.kill()

      proxy.decide(() => ({ kind: 'answer', status: 403 }))
      const env = { S3_ENDPOINT: proxy.url, S3_REGION: 'eu-north-7', S3_ACCESS_KEY_ID: 'AKIDEXAMPLE' }
      const guest = launchServer({ ...stage.world.env, ...env, S3_SESSION_TOKEN: 'for-a-while', PORT: '0' })
      stage.later(() => guest.kill())
      await eventually(async () => proxy.seen.length > 0, 'the store is asked', 60_000)
      const [asked] = proxy.seen
      assert.match(String(asked?.headers.authorization), /Credential=AKIDEXAMPLE\/\d{8}\/eu-north-7\/s3\//)
      assert.equal(asked?.headers['x-amz-security-token'], 'for-a-while')
      await guest.kill()

      proxy.plan()
      const stranger = launchServer({ ...stage.world.env, S3_SECRET_ACCESS_KEY: 'wrong', HOST: '127.0.0.1', PORT: '0' })
      stage.later(() => stranger.kill())
      const [, address = ''] = await stranger.says(/"address":"(http:[^"]+)"/)
      const health = await (await fetch(`${address}/health`)).json()
      assert.partialDeepStrictEqual(health, { status: 'starting', checks: { storage: { state: 'down' } } })
    },
  )

  shows('S3_SSE S3_SSE_KMS_KEY_ID S3_SSE_CUSTOMER_KEY', 'how the store is asked to encrypt', async (stage) => {
    const proxy = await recorder(stage)
    const asked = async (env: Record<string, string>) => {
      // Unchecked, since the start would say so.
      const service = await stage.start({ S3_ENDPOINT: proxy.url, S3_BUCKET_CHECKS: 'off', ...env })
      proxy.plan()
      // The store of the tests may know no such key: what it is asked is what counts.
      await new Tus(service.url).post({ length: 5, body: 'whole' })
      await service.kill()
      const headers = proxy.seen.find(({ method }) => method === 'PUT')?.headers ?? {}
      return Object.fromEntries(
        Object.entries(headers)
          .filter(([name]) => name.startsWith(SSE))
          .map(([name, value]) => [name.slice(SSE.length), value]),
      )
    }
    const kms = { '': 'aws:kms', '-aws-kms-key-id': 'alias/uploads' }
    assert.deepEqual(await asked({ S3_SSE: 'kms', S3_SSE_KMS_KEY_ID: 'alias/uploads' }), kms)
    const key = Buffer.alloc(32, 7)
    const customer = await asked({ S3_SSE: 'customer', S3_SSE_CUSTOMER_KEY: key.toString('base64') })
    assert.equal(customer['-customer-key'], key.toString('base64'))
  })

  shows('S3_STORAGE_CLASS S3_TAGS', 'what objects are marked with, and tails are not', async (stage) => {
    const proxy = await recorder(stage)
    const env = { S3_STORAGE_CLASS: 'STANDARD', S3_TAGS: 'service=upload,tenant={tenant}' }
    const { url } = await stage.start({ S3_ENDPOINT: proxy.url, ...env })
    const marks = async (request: () => Promise<unknown>) => {
      proxy.plan()
      await request()
      const headers = proxy.seen.find(({ method }) => method === 'PUT')?.headers
      assert.ok(headers)
      return [headers['x-amz-storage-class'], headers['x-amz-tagging']]
    }
    const tus = new Tus(url)
    assert.deepEqual(await marks(() => tus.create({ length: 5, body: 'whole' })), [
      'STANDARD',
      'service=upload&tenant=default',
    ])
    assert.deepEqual(await marks(() => tus.createWith(10, 'begun')), [undefined, undefined])
  })

  shows('S3_BUCKET_CHECKS', 'what the start says of a bucket that would lose uploads', async (stage) => {
    const proxy = await recorder(stage)
    const body =
      '<LifecycleConfiguration><Rule><ID>tidy</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>' +
      '<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>' +
      '</Rule></LifecycleConfiguration>'
    proxy.decide(({ url }) => (url.includes('?lifecycle') ? { kind: 'answer', status: 200, body } : null))
    const env = { S3_ENDPOINT: proxy.url, PORT: '0' }
    const refused = launchServer({ ...stage.world.env, ...env })
    assert.equal(await refused.ends(), 1)
    assert.match(
      refused.output(),
      /^The bucket "\S+" is not fit for uploads:\n- .*"tidy" aborts multipart uploads after 1 day/m,
    )

    const warned = await stage.start({ S3_ENDPOINT: proxy.url, S3_BUCKET_CHECKS: 'warn' })
    const said = () => events(warned, 'storage.bucket').filter(({ kind }) => kind === 'danger')
    await eventually(async () => said().length === 1, 'it is logged')
    assert.equal(said()[0]?.level, 'error')
    const unchecked = await stage.start({ S3_ENDPOINT: proxy.url, S3_BUCKET_CHECKS: 'off' })
    assert.deepEqual(events(unchecked, 'storage.bucket'), [])
  })

  shows(
    'DOWNLOADS DOWNLOAD_LINK_EXPIRES S3_PUBLIC_ENDPOINT',
    'whether a download comes from here or from the store',
    async (stage) => {
      const proxy = await recorder(stage)
      const env = { DOWNLOADS: 'redirect', DOWNLOAD_LINK_EXPIRES: '2m', S3_PUBLIC_ENDPOINT: proxy.url }
      const [streaming, linking] = [await stage.start({}), await stage.start(env)]
      const tus = new Tus(streaming.url)
      const path = await tus.create({ length: 9, body: 'plain <b>', headers: { 'Upload-Metadata': NAMED } })
      assert.equal(await (await fetch(`${streaming.url}${path}`, { redirect: 'error' })).text(), 'plain <b>')

      const sent = await fetch(`${linking.url}${path}`, { redirect: 'manual' })
      assert.deepEqual([sent.status, sent.headers.get('cache-control')], [307, 'no-store'])
      const link = new URL(sent.headers.get('location') ?? '')
      assert.deepEqual([link.origin, link.searchParams.get('X-Amz-Expires')], [proxy.url, '120'])
      const file = await fetch(`${linking.url}${path}`)
      assert.equal(new URL(file.url).origin, proxy.url)
      assert.deepEqual(
        [await file.text(), file.headers.get('content-type'), file.headers.get('content-disposition')],
        ['plain <b>', 'text/html', 'attachment; filename="a b.html"'],
      )
      const part = await fetch(`${linking.url}${path}`, { headers: { Range: 'bytes=0-4' } })
      assert.deepEqual([part.status, await part.text()], [206, 'plain'])
      link.searchParams.set('response-content-type', 'text/xml')
      assert.equal((await fetch(link)).status, 403, 'what the store is to say is signed')
      const head = await fetch(`${linking.url}${path}`, { method: 'HEAD', redirect: 'error' })
      assert.equal(head.headers.get('content-length'), '9')
    },
  )

  shows('S3_EQUAL_PARTS', 'what a file that had to be put together consists of', async (stage) => {
    // 10 MiB were in parts when the process was killed, 7 MiB came after: they are copied as they are, or in pieces of
    // one size (5 MiB).
    assert.equal(await piecesOf(stage, 'false'), 2)
    assert.equal(await piecesOf(stage, 'true'), 4)
  })

  shows(
    'ORPHAN_SWEEP_EVERY ORPHAN_AGE ORPHAN_DRY_RUN',
    'what happens to an object that no row names',
    async (stage) => {
      const client = s3Client(stage.world.s3)
      stage.later(() => client.destroy())
      const Bucket = stage.world.bucket
      const Key = 'uploads/ff/01890a5d-ac96-774b-bcce-b302099a80ff/1-interrupted'
      await client.send(new PutObjectCommand({ Bucket, Key, Body: 'left behind' }))
      const isThere = async () => (await client.send(new ListObjectsV2Command({ Bucket }))).KeyCount === 1
      // As old as the oldest upload that may still go on, so that the object's id is not too long ago.
      const env = { ORPHAN_SWEEP_EVERY: '1s', UPLOAD_EXPIRES_AFTER: '3650d' }
      const sweep = async (more: Record<string, string>) => {
        const service = await stage.start({ ...env, ...more })
        await eventually(async () => events(service, 'uploads.orphans_swept').length > 1, 'it swept twice', 60_000)
        const found = await metric(service, 'upload_orphans_total{kind="object"}')
        await service.kill()
        return found
      }
      assert.equal(await sweep({ ORPHAN_AGE: '1h' }), 0, 'it is too young')
      assert.ok((await sweep({ ORPHAN_AGE: '1s', ORPHAN_DRY_RUN: 'true' })) > 0)
      assert.ok(await isThere(), 'it was only counted')
      assert.equal(await sweep({ ORPHAN_AGE: '1s' }), 1)
      assert.ok(!(await isThere()), 'it was removed')
    },
  )

  shows('S3_FORCE_PATH_STYLE', 'the bucket in the path or in the name of the host', async (stage) => {
    const proxy = await recorder(stage)
    const endpoint = proxy.url.replace('127.0.0.1', 'localhost')
    const inPath = await stage.start({ S3_ENDPOINT: endpoint, S3_FORCE_PATH_STYLE: 'true' })
    assert.ok(proxy.seen[0]?.url.startsWith(`/${stage.world.bucket}`))
    assert.equal(proxy.seen[0]?.headers.host, new URL(endpoint).host)
    await inPath.kill()

    proxy.decide(() => ({ kind: 'answer', status: 403 }))
    const env = { ...stage.world.env, S3_ENDPOINT: endpoint, S3_FORCE_PATH_STYLE: 'false' }
    const inHost = launchServer({ ...env, HOST: '127.0.0.1', PORT: '0' })
    stage.later(() => inHost.kill())
    const [, address = ''] = await inHost.says(/"address":"(http:[^"]+)"/)
    const host = `${stage.world.bucket}.localhost`
    // Not every machine knows names below localhost: then the log says which one was looked for.
    await eventually(async () => {
      await (await fetch(`${address}/health`)).arrayBuffer()
      return proxy.seen.some(({ headers }) => headers.host?.startsWith(host)) || inHost.output().includes(host)
    }, 'the bucket is in the name of the host')
  })
}

async function recorder(stage: Stage): Promise<FaultProxy & { readonly url: string }> {
  const proxy = new FaultProxy(stage.world.s3.endpoint)
  const url = await proxy.listen()
  stage.later(() => proxy.close())
  return Object.assign(proxy, { url })
}

/** How many pieces a file of 17 MiB is put together of when another process went on with it after a kill. */
async function piecesOf(stage: Stage, equal: string): Promise<number> {
  const proxy = await stage.s3()
  const parts = { S3_EQUAL_PARTS: equal, CHUNK_SIZE: '655360' }
  // A HEAD must not cut the body, or the hold would be handed over in order.
  const env = { ...parts, S3_ENDPOINT: proxy.url, HOLD_LEASE: '500ms', INSPECT_STALL: '60s' }
  const [doomed, heir] = await Promise.all([stage.start(env), stage.start(env)])
  const file = sampleBytes(17 * MIB, 'composed')
  const [first, second] = [new Tus(doomed.url), new Tus(heir.url)]
  const path = await first.create({ length: file.length })
  const wire = await first.stalled(path, 0, file.length, file.subarray(0, 11 * MIB))
  await eventually(async () => (await first.offset(path)) === 11 * MIB, 'two parts and a tail are stored')
  await doomed.kill()
  wire.socket.destroy()
  assert.equal(await second.offset(path), 11 * MIB)
  assert.equal((await second.patch(path, 11 * MIB, file.subarray(11 * MIB))).status, 204)
  await second.contentIs(path, file)
  const [copy] = proxy.of('UploadPartCopy')
  assert.ok(copy, 'it was put together by copies inside the store')
  return proxy.of('UploadPartCopy', 'UploadPart').filter((call) => call.multipartId === copy.multipartId).length
}
