/** The S3 driver against a store that fails: a proxy before each real store answers wrongly, late or not at all. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { DeleteBucketCommand } from '@aws-sdk/client-s3'
import { chunked, piece, readAll } from '../../server/storage/contract.ts'
import { S3ByteStore, type S3Options } from '../../server/storage/s3/index.ts'
import { combineCrc32s } from '../../server/uploads/crc32.ts'
import { hasCode } from '../../server/uploads/errors.ts'
import type { Part } from '../../server/uploads/words.ts'
import { type Fault, FaultProxy } from '../support/fault-proxy.ts'
import { freshBucket, s3Client, type TestS3, testServices } from '../support/services.ts'

const MIB = 1024 * 1024
/** Shorter than the driver's default, for tests that wait for it. */
const STALL_MS = 800

const away = (error: unknown): boolean => hasCode(error, 'store_unavailable')
const xmlError = (code: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>as planned</Message></Error>`
const failing = (status: number, code: string, headers: Record<string, string> = {}): Fault => ({
  kind: 'answer',
  status,
  body: xmlError(code),
  headers,
})

/** A counter that is a callback. */
function calls(): { (): void; count: number } {
  const counter = () => {
    counter.count++
  }
  counter.count = 0
  return counter
}

interface Rig {
  proxy: FaultProxy
  store: S3ByteStore
  options: S3Options
}

async function rig(s3: TestS3, bucket: string, more: Partial<S3Options> = {}): Promise<Rig> {
  const proxy = new FaultProxy(s3.endpoint)
  const { region, accessKeyId, secretAccessKey } = s3
  const credentials = { accessKeyId, secretAccessKey }
  const options = {
    endpoint: await proxy.listen(),
    region,
    bucket,
    credentials,
    requestTimeoutMs: STALL_MS,
    maxSockets: 1,
    ...more,
  }
  return { proxy, store: new S3ByteStore(options), options }
}

for (const s3 of testServices().s3) {
  describe(`S3 faults before ${s3.name}`, { concurrency: 4 }, () => {
    let bucket: Awaited<ReturnType<typeof freshBucket>>
    before(async () => {
      bucket = await freshBucket(s3)
    })
    after(() => bucket.cleanup())

    /** A test with a proxy and a store of its own, of one connection: what leaks it stops the next call. */
    const faulty = (name: string, act: (rig: Rig) => Promise<void>, more?: Partial<S3Options>): void => {
      test(name, async () => {
        const made = await rig(s3, bucket.name, more)
        try {
          await act(made)
        } finally {
          await made.store.close()
          await made.proxy.close()
        }
      })
    }
    writeFaults(faulty)
    multipartFaults(faulty)
    abortFaults(faulty)
    readFaults(faulty)
    configurationFaults(faulty, s3)
  })
}

type Faulty = (name: string, act: (rig: Rig) => Promise<void>, more?: Partial<S3Options>) => void

function writeFaults(faulty: Faulty): void {
  faulty('500 and 503 are tried again with the same bytes, and were answers', async ({ proxy, store }) => {
    const bytes = randomBytes(100_000)
    const onUnanswered = calls()
    proxy.plan(failing(500, 'InternalError'), failing(503, 'SlowDown'))
    await store.putObject('fault/retried', chunked(bytes), { onUnanswered })
    assert.equal(proxy.seen.length, 3)
    for (const { body } of proxy.seen) assert.deepEqual(body, bytes)
    assert.equal(onUnanswered.count, 0)
    proxy.plan()
    assert.deepEqual(await readAll(store, 'fault/retried'), bytes)
  })

  faulty('after three tries the store is unavailable; other refusals are not tried again', async ({ proxy, store }) => {
    proxy.decide(() => failing(503, 'ServiceUnavailable'))
    await assert.rejects(store.putObject('fault/away', piece(Buffer.from('x'))), away)
    assert.equal(proxy.seen.length, 3)
    proxy.decide(() => failing(400, 'InvalidArgument'))
    await assert.rejects(store.putObject('fault/wrong', piece(Buffer.from('x'))), (error) => hasCode(error, 'internal'))
    assert.equal(proxy.seen.length, 1)
  })

  faulty('a refusal before the body was read is an answer', async ({ proxy, store }) => {
    const bytes = randomBytes(64 * 1024)
    proxy.plan({ kind: 'refuse', status: 503, body: xmlError('SlowDown') })
    await store.putObject('fault/early', piece(bytes))
    proxy.plan()
    assert.deepEqual(await readAll(store, 'fault/early'), bytes)
  })

  faulty('a gateway that gave up does not say what is behind it', async ({ proxy, store }) => {
    const onUnanswered = calls()
    proxy.plan({ kind: 'answer', status: 504, body: '<html>Gateway Timeout</html>' })
    await store.putObject('fault/gateway', piece(Buffer.from('x')), { onUnanswered })
    assert.equal(onUnanswered.count, 1)
  })

  faulty(
    'a stall ends by its time without progress, and is tried again',
    async ({ proxy, store }) => {
      const onUnanswered = calls()
      proxy.plan({ kind: 'stall' }, { kind: 'answer', status: 200, headers: { etag: '"e"' } })
      await store.putObject('fault/stalled', piece(Buffer.from('x')), { onUnanswered })
      assert.equal(proxy.seen.length, 2)
      assert.equal(onUnanswered.count, 1)
      proxy.decide(() => ({ kind: 'stall' }))
      await assert.rejects(store.putObject('fault/stalled', piece(Buffer.from('x')), { onUnanswered }), away)
      assert.equal(proxy.seen.length, 3)
      assert.equal(onUnanswered.count, 2, 'once a write')
    },
    { requestTimeoutMs: STALL_MS },
  )

  faulty('a clock that the store refuses is corrected', async ({ proxy, store }) => {
    const storeTime = new Date(Date.now() - 3_600_000)
    proxy.plan(failing(403, 'RequestTimeTooSkewed', { date: storeTime.toUTCString() }), {
      kind: 'answer',
      status: 200,
      headers: { etag: '"e"' },
    })
    await store.putObject('fault/skewed', piece(Buffer.from('x')))
    const said = String(proxy.seen[1]?.headers['x-amz-date'])
    const [, year, month, day, hour] = /^(\d{4})(\d\d)(\d\d)T(\d\d)/.exec(said) ?? []
    const expected = [storeTime, new Date(storeTime.getTime() + 60_000)].map((time) => time.toISOString().slice(0, 13))
    assert.ok(expected.includes(`${year}-${month}-${day}T${hour}`), said)
    assert.notEqual(proxy.seen[0]?.headers['x-amz-date'], proxy.seen[1]?.headers['x-amz-date'])
  })
}

function multipartFaults(faulty: Faulty): void {
  /** One upload of a full part and a last one, all sent. */
  async function sent({ store }: Rig, key: string): Promise<{ id: string; parts: Part[]; bytes: Buffer }> {
    const bytes = randomBytes(5 * MIB + 1000)
    const id = await store.createMultipart(key, 5 * MIB)
    const first = await store.uploadPart(key, id, 1, chunked(bytes.subarray(0, 5 * MIB)))
    const last = await store.uploadPart(key, id, 2, piece(bytes.subarray(5 * MIB)))
    assert.ok(first && last)
    return { id, parts: [first, last], bytes }
  }
  const wholeOf = (parts: Part[], bytes: Buffer) => ({ bytes: bytes.length, crc32: combineCrc32s(parts) })

  faulty('a part whose answer was lost is sent again, the same, and told as unanswered once', async (made) => {
    const { proxy, store } = made
    const bytes = randomBytes(5 * MIB)
    const onUnanswered = calls()
    const id = await store.createMultipart('fault/lost', 5 * MIB)
    proxy.plan({ kind: 'lose-answer' }, { kind: 'reset' })
    const part = await store.uploadPart('fault/lost', id, 1, chunked(bytes), { onUnanswered })
    assert.equal(proxy.seen.length, 3)
    for (const { body } of proxy.seen) assert.ok(body.equals(bytes))
    assert.equal(onUnanswered.count, 1)
    assert.ok(part)
    proxy.plan()
    assert.deepEqual(
      (await store.listParts('fault/lost', id))?.map(({ number, etag }) => [number, etag]),
      [[1, part.etag]],
    )
    assert.equal(await store.completeMultipart('fault/lost', id, [part], wholeOf([part], bytes)), 'done')
    assert.ok((await readAll(store, 'fault/lost')).equals(bytes))
  })

  faulty('a Complete that answers 200 and an error was not done, and is tried again', async (made) => {
    const { proxy, store } = made
    const { id, parts, bytes } = await sent(made, 'fault/late-error')
    const body = xmlError('InternalError')
    const onUnanswered = calls()
    // The second ends with a line break, which hides it from the SDK.
    proxy.plan({ kind: 'answer', status: 200, body }, { kind: 'answer', status: 200, body: `${body}\n` })
    assert.equal(
      await store.completeMultipart('fault/late-error', id, parts, wholeOf(parts, bytes), { onUnanswered }),
      'done',
    )
    assert.equal(proxy.seen.length, 3)
    assert.equal(onUnanswered.count, 0)
    assert.ok((await readAll(store, 'fault/late-error')).equals(bytes))
  })

  faulty('a Complete that answers 200 and NoSuchUpload says so', async (made) => {
    const { proxy, store } = made
    const { id, parts, bytes } = await sent(made, 'fault/late-gone')
    proxy.plan({ kind: 'answer', status: 200, body: xmlError('NoSuchUpload') })
    const result = await store.completeMultipart('fault/late-gone', id, parts, wholeOf(parts, bytes))
    assert.equal(result, 'no-such-upload')
  })

  faulty('a Complete whose answer was lost leaves the right object', async (made) => {
    const { proxy, store } = made
    const { id, parts, bytes } = await sent(made, 'fault/lost-complete')
    const onUnanswered = calls()
    proxy.plan({ kind: 'lose-answer' })
    const whole = wholeOf(parts, bytes)
    const result = await store.completeMultipart('fault/lost-complete', id, parts, whole, { onUnanswered })
    assert.ok(result === 'done' || result === 'no-such-upload')
    assert.equal(onUnanswered.count, 1)
    assert.equal((await store.head('fault/lost-complete'))?.bytes, bytes.length)
    assert.ok((await readAll(store, 'fault/lost-complete')).equals(bytes))
  })

  faulty('ListParts goes through all pages', async (made) => {
    const { proxy, store } = made
    const { id, parts } = await sent(made, 'fault/pages')
    const page = (number: number, next: number | null): Fault => ({
      kind: 'answer',
      status: 200,
      body:
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListPartsResult>' +
        `<IsTruncated>${next !== null}</IsTruncated>${next === null ? '' : `<NextPartNumberMarker>${next}</NextPartNumberMarker>`}` +
        `<Part><PartNumber>${number}</PartNumber><ETag>"old"</ETag><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Part>` +
        `<Part><PartNumber>${number}</PartNumber><ETag>"new"</ETag><Size>2</Size><LastModified>2026-01-01T00:00:02Z</LastModified></Part>` +
        `<Part><PartNumber>${number}</PartNumber><ETag>"older"</ETag><Size>3</Size><LastModified>2026-01-01T00:00:01Z</LastModified></Part>` +
        '</ListPartsResult>',
    })
    proxy.plan(page(1, 1), failing(503, 'SlowDown'), page(2, null))
    assert.deepEqual(await store.listParts('fault/pages', id), [
      { number: 1, bytes: 2, etag: '"new"', crc32: null },
      { number: 2, bytes: 2, etag: '"new"', crc32: null },
    ])
    assert.match(proxy.seen[2]?.url ?? '', /part-number-marker=1/)
    proxy.plan()
    assert.deepEqual(
      (await store.listParts('fault/pages', id))?.map(({ etag }) => etag),
      parts.map(({ etag }) => etag),
    )
  })
}

function abortFaults(faulty: Faulty): void {
  faulty('an abort amid the request is unanswered, and frees the connection', async ({ proxy, store }) => {
    const onUnanswered = calls()
    const controller = new AbortController()
    const reason = new Error('the hold is lost')
    proxy.decide(() => {
      controller.abort(reason)
      return { kind: 'stall' }
    })
    const aborted = store.putObject('fault/aborted', piece(Buffer.from('x')), {
      signal: controller.signal,
      onUnanswered,
    })
    await assert.rejects(aborted, reason)
    assert.equal(onUnanswered.count, 1)
    assert.equal(proxy.seen.length, 1)
    proxy.plan()
    await store.putObject('fault/aborted', piece(Buffer.from('y')))
  })

  faulty('an abort while it waits for a connection is no unanswered request', async ({ proxy, store }) => {
    const onUnanswered = calls()
    const controller = new AbortController()
    const reason = new Error('enough')
    proxy.decide((_, index) => {
      controller.abort(reason)
      return index === 0 ? { kind: 'reset' } : null
    })
    const first = store.putObject('fault/first', piece(Buffer.from('x')))
    const waiting = store.putObject('fault/waiting', piece(Buffer.from('x')), {
      signal: controller.signal,
      onUnanswered,
    })
    await assert.rejects(waiting, reason)
    assert.equal(onUnanswered.count, 0)
    await first
    await store.putObject('fault/after', piece(Buffer.from('x')))
    assert.ok(!proxy.seen.some(({ url }) => url.includes('waiting')))
  })
}

function readFaults(faulty: Faulty): void {
  for (const then of ['stall', 'reset'] as const) {
    faulty(
      `a read whose answer ends in a ${then} fails as unavailable`,
      async ({ proxy, store }) => {
        await store.putObject('fault/read', chunked(randomBytes(MIB)))
        proxy.plan({ kind: 'half-answer', bytes: 200_000, then })
        await assert.rejects(readAll(store, 'fault/read'), away)
      },
      { requestTimeoutMs: STALL_MS },
    )
  }

  faulty(
    'a reader may pause longer than a request may stand still',
    async ({ store }) => {
      const bytes = randomBytes(8 * MIB)
      await store.putObject('fault/paused', chunked(bytes))
      const stream = await store.read('fault/paused')
      assert.ok(stream)
      await once(stream, 'readable')
      await new Promise((resolve) => setTimeout(resolve, 2 * STALL_MS))
      const chunks: Buffer[] = []
      for await (const chunk of stream) chunks.push(chunk)
      assert.ok(Buffer.concat(chunks).equals(bytes))
    },
    { requestTimeoutMs: STALL_MS },
  )

  faulty('destroyed reads close their connections', async ({ proxy, store }) => {
    await store.putObject('fault/destroyed', chunked(randomBytes(4 * MIB)))
    for (let i = 0; i < 20; i++) {
      const stream = await store.read('fault/destroyed')
      assert.ok(stream)
      stream.destroy()
      await once(stream, 'close')
    }
    await store.head('fault/destroyed')
    assert.ok((await proxy.connections()) <= 4)
  })

  faulty('a listing takes its pages up again after a failure', async ({ proxy, store }) => {
    await store.putObject('fault-list/one', piece(Buffer.from('1')))
    proxy.plan(failing(503, 'SlowDown'), { kind: 'reset' })
    const keys: string[] = []
    for await (const object of store.list('fault-list/')) keys.push(object.key)
    assert.deepEqual(keys, ['fault-list/one'])
  })
}

function configurationFaults(faulty: Faulty, s3: TestS3): void {
  faulty('a bucket that is not there is another thing than a store that is away', async ({ options }) => {
    const name = `${options.bucket}-missing`
    const store = new S3ByteStore({ ...options, bucket: name })
    await assert.rejects(store.ensureBucket(false), { name: 'BucketMissing', bucket: name })
    await assert.rejects(store.head('any/key'), away, 'not "no object"')
    await assert.rejects(store.ping(), away)
    await store.ensureBucket(true)
    await store.ensureBucket(true)
    await store.ensureBucket(false)
    await store.ping()
    await store.close()
    const client = s3Client(s3)
    await client.send(new DeleteBucketCommand({ Bucket: name }))
    client.destroy()
  })

  faulty('nobody listening: unavailable, and nothing was sent', async ({ options }) => {
    const gone = new FaultProxy(s3.endpoint)
    const endpoint = await gone.listen()
    await gone.close()
    const store = new S3ByteStore({ ...options, endpoint })
    const onUnanswered = calls()
    await assert.rejects(store.putObject('fault/nobody', piece(Buffer.from('x')), { onUnanswered }), away)
    await assert.rejects(store.createMultipart('fault/nobody', 5 * MIB, { onUnanswered }), away)
    assert.equal(onUnanswered.count, 0)
    await assert.rejects(store.ensureBucket(false), away)
    await assert.rejects(store.ping(), away)
    await store.close()
  })

  faulty('keys that the store refuses are the operator’s to put right', async ({ options }) => {
    const credentials = { accessKeyId: s3.accessKeyId, secretAccessKey: 'wrong-secret' }
    const store = new S3ByteStore({ ...options, credentials })
    await assert.rejects(store.putObject('fault/refused', piece(Buffer.from('x'))), away)
    await assert.rejects(store.ensureBucket(false), away)
    await store.close()
  })

  faulty('keys are asked for again when they expire, and when the store says so', async ({ options, proxy }) => {
    let asked = 0
    const credentials = async () => {
      asked++
      const { accessKeyId, secretAccessKey } = s3
      return { accessKeyId, secretAccessKey, expiration: new Date(Date.now() + (asked === 1 ? 1_000 : 3_600_000)) }
    }
    const store = new S3ByteStore({ ...options, credentials })
    for (let i = 0; i < 5; i++) await store.putObject('fault/keys', piece(Buffer.from('x')))
    assert.equal(asked, 2)
    proxy.plan(failing(400, 'ExpiredToken'))
    await store.putObject('fault/keys', piece(Buffer.from('x')))
    assert.equal(asked, 3)
    assert.equal(proxy.seen.length, 2)
    await store.close()
  })
}
