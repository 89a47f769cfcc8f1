/** Section 7: concatenation. `service` runs with default settings, that of {@link concatenationLimits} with LIMITS. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Service } from '../support/backend.ts'
import { uploaded } from '../support/client.ts'
import { eventually, OCT, pathOf, sampleBytes, UPLOADS } from '../support/tus.ts'
import type { Answer } from '../support/wire.ts'
import { UNKNOWN } from './core.ts'
import { MAX_BYTES } from './limits.ts'

type Extra = Readonly<Record<string, string>>

/** A finished partial upload. */
async function partial({ tus }: Service, bytes: string | Buffer, metadata?: string): Promise<string> {
  const path = await tus.create({
    length: bytes.length,
    headers: { 'Upload-Concat': 'partial' },
    ...(metadata === undefined ? {} : { metadata }),
  })
  if (bytes.length > 0) assert.equal((await tus.patch(path, 0, bytes)).status, 204)
  return path
}

function concat({ tus }: Service, value: string, headers: Extra = {}): Promise<Answer> {
  return tus.post({ headers: { 'Upload-Concat': value, ...headers } })
}

/** The path of the final upload of these. */
async function joined(service: Service, ...paths: readonly string[]): Promise<string> {
  const answer = await concat(service, `final;${paths.join(' ')}`)
  assert.equal(answer.status, 201, `concatenating answered ${answer.status}: ${answer.body}`)
  return pathOf(answer, service.origin)
}

export function concatenation(service: () => Service): void {
  describe('concatenation', () => {
    test('CON-01 CON-21 a partial upload is an upload that says so', async () => {
      const { tus, origin } = service()
      const created = await tus.post({ length: 5, headers: { 'Upload-Concat': 'partial' } })
      assert.equal(created.status, 201)
      const head = await tus.head(pathOf(created, origin))
      assert.equal(head.headers['upload-concat'], 'partial')
      assert.equal(head.headers['upload-offset'], '0')
      const late = await tus.create({ defer: true, headers: { 'Upload-Concat': 'partial' } })
      assert.equal((await tus.patch(late, 0, 'hel')).status, 204)
      assert.equal((await concat(service(), `final;${late}`)).status, 400)
      assert.equal((await tus.patch(late, 3, 'lo', { 'Upload-Length': '5' })).status, 204)
      await tus.contentIs(await joined(service(), late), 'hello')
    })

    test('CON-02 CON-03 CON-04 CON-06 CON-08 in the order that was said, by any form of address', async () => {
      const { tus, origin } = service()
      const [a, b] = [await partial(service(), 'hello'), await partial(service(), ' world')]
      for (const [value, content] of [
        [`final;${a} ${b}`, 'hello world'],
        [`final;${origin}${a} ${origin}${b}`, 'hello world'],
        [`final; ${origin}${a} ${b}`, 'hello world'],
        [`final;${b} ${a}`, ' worldhello'],
        [`final;uploads/${a.split('/').at(-1)} ${b}`, 'hello world'],
      ] as const) {
        const answer = await concat(service(), value)
        assert.equal(answer.status, 201, `${value}: ${answer.body}`)
        const path = pathOf(answer, origin)
        const head = await tus.head(path)
        assert.equal(head.headers['upload-concat'], value)
        assert.deepEqual([head.headers['upload-length'], head.headers['upload-offset']], ['11', '11'])
        await tus.contentIs(path, content)
      }
    })

    test('CON-05 CON-13 what is not an upload of this service makes nothing', async () => {
      const { tus, origin } = service()
      const mine = await partial(service(), 'hello')
      const id = mine.split('/').at(-1)
      for (const address of [
        `http://evil.example${mine}`,
        `${new URL(origin).protocol}//127.0.0.1:1${mine}`,
        `http://169.254.169.254/latest/${id}`,
        `${origin}/elsewhere/${id}`,
        `file://${mine}`,
        `${UPLOADS}/../${id}`,
        `${UPLOADS}/%2e%2e/${id}`,
        `${mine}%00`,
        `${UPLOADS}/${'a'.repeat(32)}`,
        UNKNOWN,
        'x',
      ]) {
        const answer = await concat(service(), `final;${mine} ${address}`)
        assert.ok([400, 404].includes(answer.status), `${address}: ${answer.status}`)
        assert.equal(answer.headers.location, undefined)
      }
      assert.equal((await tus.head(mine)).status, 200)
    })

    test('CON-07 CON-25 one partial upload twice, and in two final ones at once', async () => {
      const { tus } = service()
      const [a, b] = [await partial(service(), 'hello'), await partial(service(), ' world')]
      const twice = await joined(service(), a, a)
      await tus.standsAt(twice, 10, 10)
      await tus.contentIs(twice, 'hellohello')
      const [one, two] = await Promise.all([joined(service(), a, b), joined(service(), b, a)])
      await tus.contentIs(one, 'hello world')
      await tus.contentIs(two, ' worldhello')
    })

    test('CON-09 CON-10 a final upload takes no bytes', async () => {
      const { tus, origin } = service()
      const a = await partial(service(), 'hello')
      const path = await joined(service(), a)
      assert.equal((await tus.patch(path, 5, 'x')).status, 403)
      assert.equal((await tus.patch(path, 0, 'x')).status, 403)
      await tus.standsAt(path, 5, 5)
      await tus.standsAt(a, 5, 5)
      await tus.contentIs(path, 'hello')
      const withBody = await tus.post({ body: 'x', headers: { 'Upload-Concat': `final;${origin}${a}` } })
      assert.equal(withBody.status, 403)
      assert.equal(withBody.headers.location, undefined)
    })

    test('CON-11 CON-12 of an unfinished one nothing is made, and nothing else is advertised', async () => {
      const { tus } = service()
      const [a, b] = [
        await partial(service(), 'hello'),
        await tus.create({ length: 5, headers: { 'Upload-Concat': 'partial' } }),
      ]
      const answer = await concat(service(), `final;${a} ${b}`)
      assert.equal(answer.status, 400)
      assert.equal(answer.headers.location, undefined)
      const extensions = (await tus.options()).headers['tus-extension'] ?? ''
      assert.ok(!extensions.includes('concatenation-unfinished'))
    })

    test('CON-14 CON-15 CON-20 a header that says neither, a length, other kinds of uploads', async () => {
      const { tus } = service()
      const a = await partial(service(), 'hello')
      for (const value of ['final;', 'final', `Final;${a}`, 'partial;', 'Partial', 'foo', '', `final ${a}`]) {
        for (const length of [undefined, '5']) {
          const answer = await concat(service(), value, length === undefined ? {} : { 'Upload-Length': length })
          assert.equal(answer.status, 400, value)
        }
      }
      assert.equal((await concat(service(), `final;${a}`, { 'Upload-Length': '5' })).status, 400)
      const plain = await tus.createWith(5, 'hello')
      assert.equal((await concat(service(), `final;${plain}`)).status, 400)
      assert.equal((await concat(service(), `final;${await joined(service(), a)}`)).status, 400)
    })

    test('CON-17 metadata is that of the final upload alone', async () => {
      const { tus, origin } = service()
      const a = await partial(service(), 'hello', 'a YQ==')
      const made = await concat(service(), `final;${a}`, { 'Upload-Metadata': 'b Yg==' })
      assert.equal((await tus.head(pathOf(made, origin))).headers['upload-metadata'], 'b Yg==')
      const bare = await concat(service(), `final;${a}`)
      assert.equal((await tus.head(pathOf(bare, origin))).headers['upload-metadata'], undefined)
    })

    test('CON-18 CON-19 a partial upload can be removed once the final one is made', async () => {
      const { tus, store } = service()
      const [a, b] = [await partial(service(), 'hello'), await partial(service(), ' world')]
      const path = await joined(service(), a, b)
      assert.ok([200, 404, 410].includes((await tus.head(a)).status))
      assert.equal((await tus.terminate(a)).status, 204)
      await eventually(async () => (await store.objectsOf(a)).length === 0, 'its bytes are gone')
      await tus.contentIs(path, 'hello world')
      assert.equal((await tus.terminate(path)).status, 204)
      await tus.standsAt(b, 6, 6)
    })

    test('CON-22 Upload-Concat of a PATCH says nothing', async () => {
      const { tus } = service()
      const path = await tus.create({ length: 5, headers: { 'Upload-Concat': 'partial' } })
      assert.equal((await tus.patch(path, 0, 'hello', { 'Upload-Concat': 'partial' })).status, 204)
    })

    test('CON-23 the final upload is processed once, partial ones never', async () => {
      const { tus, events } = service()
      const [a, b] = [await partial(service(), 'hello'), await partial(service(), ' world')]
      const path = await joined(service(), a, b)
      await events.uploadedOnce(path)
      await eventually(async () => (await tus.info(path)).state === 'available', 'the final upload is available')
      for (const one of [a, b]) {
        assert.equal((await tus.info(one)).state, 'uploaded')
        assert.equal((await tus.send('GET', one)).status, 404)
      }
    })

    test('CON-26 two hundred absolute addresses', async () => {
      const { tus, origin } = service()
      const a = await partial(service(), 'ab')
      const answer = await concat(service(), `final;${Array(200).fill(`${origin}${a}`).join(' ')}`)
      assert.equal(answer.status, 201, `${answer.body}`)
      await tus.contentIs(pathOf(answer, origin), 'ab'.repeat(200))
      const tooMany = await concat(service(), `final;${Array(2000).fill(`${origin}${a}`).join(' ')}`)
      assert.ok([400, 431].includes(tooMany.status), `${tooMany.status}`)
    })

    test('a partial upload with its bytes in the creation; empty ones; large ones', async () => {
      const { tus } = service()
      const headers = { 'Upload-Concat': 'partial', 'Content-Type': OCT }
      const whole = await tus.create({ length: 5, body: 'hello', headers })
      const empty = await partial(service(), '')
      await tus.contentIs(await joined(service(), empty, whole, empty), 'hello')
      await tus.standsAt(await joined(service(), empty), 0, 0)
      const pieces = [9_000_001, 77, 8_388_608].map((length) => sampleBytes(length, `con-${length}`))
      const paths = []
      for (const piece of pieces) paths.push(await partial(service(), piece))
      await tus.contentIs(await joined(service(), ...paths), Buffer.concat(pieces))
    })

    test('tus-js-client with three parallel uploads', async () => {
      const { tus, origin, events } = service()
      const bytes = sampleBytes(10 * 1024 * 1024, 'parallel')
      const path = await uploaded(origin, bytes, { parallelUploads: 3, metadata: { filename: 'parallel.bin' } })
      await tus.contentIs(path, bytes)
      await events.uploadedOnce(path)
      assert.equal((await tus.info(path)).filename, 'parallel.bin')
    })
  })
}

/** With MAX_FILE_SIZE of {@link MAX_BYTES}. */
export function concatenationLimits(service: () => Service): void {
  test('CON-16 a sum beyond the limit is a 413', async () => {
    const a = await partial(service(), sampleBytes(MAX_BYTES / 2 + 1, 'con-16'))
    const answer = await concat(service(), `final;${a} ${a}`)
    assert.equal(answer.status, 413)
    assert.equal(answer.headers.location, undefined)
    await service().tus.standsAt(await joined(service(), a), MAX_BYTES / 2 + 1)
  })
}

/** With UPLOAD_EXPIRES_AFTER of a few seconds. */
export function concatenationExpiry(service: () => Service): void {
  test('partial uploads go, made into a final one or not; the final one stays', async () => {
    const { tus, store } = service()
    const [a, b, forgotten] = [
      await partial(service(), 'hello'),
      await partial(service(), ' world'),
      await partial(service(), 'never'),
    ]
    assert.ok((await tus.head(forgotten)).headers['upload-expires'])
    const path = await joined(service(), a, b)
    for (const one of [a, b, forgotten]) {
      await eventually(async () => (await tus.head(one)).status === 410, `${one} expires`, 20_000)
      await eventually(async () => (await store.objectsOf(one)).length === 0, 'its bytes are gone')
    }
    assert.equal((await tus.head(path)).headers['upload-expires'], undefined)
    await tus.contentIs(path, 'hello world')
  })
}
