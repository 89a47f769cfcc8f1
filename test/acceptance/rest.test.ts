/** The REST half of the API, black box, in production: many creations in one call, forms, filters, the document. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Backend, productionBackend, type Service, storeNamed } from './support/backend.ts'
import { pathOf, sampleBytes, sha256, UPLOADS } from './support/tus.ts'

const MIB = 1024 * 1024

interface Outcome {
  readonly status: number
  readonly location?: string
  readonly problem?: { readonly code: string; readonly status: number }
}

describe('REST', () => {
  let backend: Backend
  let service: Service
  before(async () => {
    backend = await productionBackend(storeNamed('seaweedfs'))
    service = await backend.start({ MAX_FILE_SIZE: String(20 * MIB) })
  })
  after(() => backend.close())

  const url = (path: string): string => `${service.origin}${path}`
  const pathIn = (location: string | undefined): string => new URL(location ?? '', service.origin).pathname
  const formWith = (...files: readonly (readonly [name: string, bytes: Buffer, type: string])[]): FormData => {
    const form = new FormData()
    for (const [name, bytes, type] of files) form.append('file', new Blob([new Uint8Array(bytes)], { type }), name)
    return form
  }
  const post = (form: FormData): Promise<Response> => fetch(url(UPLOADS), { method: 'POST', body: form })

  test('many uploads are created in one call, and each takes its bytes', async () => {
    const files = Array.from({ length: 100 }, (_, index) => sampleBytes(1000 + index, String(index)))
    const uploads = files.map((bytes, index) => ({
      length: bytes.length,
      metadata: { filename: `${index}.bin`, filetype: 'application/x-many' },
    }))
    const answer = await service.tus.send(
      'POST',
      `${UPLOADS}/multiple`,
      { 'Content-Type': 'application/json' },
      JSON.stringify({ uploads }),
    )
    assert.equal(answer.status, 200, String(answer.body))
    const outcomes: Outcome[] = JSON.parse(String(answer.body))
    assert.deepEqual([outcomes.length, ...new Set(outcomes.map(({ status }) => status))], [100, 201])
    for (const index of [0, 42, 99]) {
      const path = pathIn(outcomes[index]?.location)
      const bytes = files[index] ?? Buffer.alloc(0)
      assert.equal((await service.tus.patch(path, 0, bytes)).status, 204)
      await service.tus.contentIs(path, bytes)
      assert.equal((await service.tus.info(path)).filename, `${index}.bin`)
    }
  })

  test('an entry that is wrong is a problem of its own', async () => {
    const body = JSON.stringify({ uploads: [{ length: 5 }, { length: 21 * MIB }, { length: -5 }, { length: 6 }] })
    const answer = await service.tus.send('POST', `${UPLOADS}/multiple`, { 'Content-Type': 'application/json' }, body)
    assert.equal(answer.status, 200)
    const outcomes: Outcome[] = JSON.parse(String(answer.body))
    assert.deepEqual(
      outcomes.map(({ status, problem }) => problem?.code ?? status),
      [201, 'upload_too_large', 'length_invalid', 201],
    )
    assert.equal((await service.tus.head(pathIn(outcomes[3]?.location))).headers['upload-length'], '6')
  })

  for (const [name, length, objects] of [
    ['a small file', 10_000, 1],
    ['a file of several parts', 17 * MIB + 123, 1],
  ] as const) {
    test(`${name} by one ordinary POST`, async () => {
      const bytes = sampleBytes(length, name)
      const answer = await post(formWith(['größe.png', bytes, 'image/png']))
      assert.equal(answer.status, 201)
      const record: unknown = await answer.json()
      assert.ok(typeof record === 'object' && record !== null && 'length' in record && 'filename' in record)
      assert.deepEqual([record.length, record.filename], [length, 'größe.png'])
      const path = pathIn(answer.headers.get('location') ?? '')
      await service.events.uploadedOnce(path)
      await service.tus.contentIs(path, bytes)
      assert.equal((await service.store.objectsOf(path)).length, objects)
      const file = await service.tus.send('GET', path)
      assert.equal(file.headers['content-type'], 'image/png')
    })
  }

  test('several files of one form, with metadata for all', async () => {
    const form = new FormData()
    form.append('metadata', JSON.stringify({ album: 'été' }))
    const files = [sampleBytes(3000, 'a'), sampleBytes(9 * MIB, 'b'), sampleBytes(1, 'c')]
    files.forEach((bytes, index) => {
      form.append('file', new Blob([new Uint8Array(bytes)]), `${index}.bin`)
    })
    const answer = await post(form)
    assert.equal(answer.status, 201)
    const body: { items: { location: string; metadata: Record<string, string> }[] } = JSON.parse(await answer.text())
    assert.equal(body.items.length, 3)
    for (const [index, bytes] of files.entries()) {
      const item = body.items[index]
      assert.deepEqual([item?.metadata.album, item?.metadata.filename], ['été', `${index}.bin`])
      await service.tus.contentIs(pathIn(item?.location), bytes)
    }
  })

  test('MAX_FILE_SIZE applies to a form, and what is refused is not listed as anything but terminated', async () => {
    const answer = await post(formWith(['long.bin', sampleBytes(20 * MIB + 1, 'long'), 'application/x-long']))
    assert.equal(answer.status, 413)
    const problem: { code: string } = JSON.parse(await answer.text())
    assert.equal(problem.code, 'upload_too_large')
    const page = await fetch(url(`${UPLOADS}?contentType=application/x-long`))
    const { items }: { items: { state: string; id: string }[] } = JSON.parse(await page.text())
    assert.ok(items.every(({ state }) => state === 'terminated'))
    for (const { id } of items) assert.deepEqual(await service.store.objectsOf(`${UPLOADS}/${id}`), [])
  })

  test('a list by state, media type and time', async () => {
    const started = new Date()
    const { tus } = service
    const meta = `filetype ${Buffer.from('text/x-listed').toString('base64')}`
    const one = await tus.create({ length: 4, metadata: meta })
    const two = pathOf(await tus.post({ length: 4, metadata: meta, body: 'done' }), service.origin)
    await service.events.uploadedOnce(two)
    const other = await tus.create({ length: 4 })
    const listed = async (query: string): Promise<string[]> => {
      const answer = await tus.send('GET', `${UPLOADS}?${query}`)
      assert.equal(answer.status, 200, String(answer.body))
      const page: { items: { id: string }[] } = JSON.parse(String(answer.body))
      return page.items.map(({ id }) => `${UPLOADS}/${id}`)
    }
    assert.deepEqual(await listed('contentType=text/x-listed'), [two, one])
    assert.deepEqual(await listed('contentType=text/x-listed&state=created'), [one])
    const since = `createdAfter=${new Date(started.getTime() - 1).toISOString()}`
    assert.deepEqual(await listed(since), [other, two, one])
    assert.ok(!(await listed(`createdBefore=${started.toISOString()}&limit=100`)).includes(one))
    assert.deepEqual(await listed(`${since}&createdBefore=${started.toISOString()}`), [])
    assert.equal((await tus.send('GET', `${UPLOADS}?owner=somebody-else`)).status, 403)
    for (const query of [
      'state=done',
      'limit=0',
      'createdAfter=yesterday',
      'cursor=x',
      'state=created&state=created',
    ]) {
      assert.equal((await tus.send('GET', `${UPLOADS}?${query}`)).status, 400, query)
    }
  })

  test('pages of a list lead to every upload once', async () => {
    const seen: string[] = []
    let query = 'contentType=application/x-many&limit=30'
    for (;;) {
      const answer = await fetch(url(`${UPLOADS}?${query}`))
      const page: { items: { id: string }[]; nextCursor: string | null } = JSON.parse(await answer.text())
      seen.push(...page.items.map(({ id }) => id))
      if (page.nextCursor === null) break
      query = `contentType=application/x-many&limit=30&cursor=${page.nextCursor}`
    }
    assert.deepEqual([seen.length, new Set(seen).size], [100, 100])
  })

  test('the API describes itself, for machines and for people', async () => {
    const document: { openapi: string; paths: Record<string, Record<string, unknown>> } = JSON.parse(
      await (await fetch(url('/openapi.json'))).text(),
    )
    assert.match(document.openapi, /^3\.1\./)
    assert.deepEqual(Object.keys(document.paths[`${UPLOADS}/{id}`] ?? {}).sort(), [
      'delete',
      'get',
      'head',
      'options',
      'patch',
    ])
    const answer = await fetch(url('/docs'))
    const page = await answer.text()
    assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'/)
    for (const path of Object.keys(document.paths)) assert.ok(page.includes(path), `${path} is on the page`)
    assert.doesNotMatch(page, /<script|<link|\ssrc=/)
    assert.equal(sha256(page), sha256(await (await fetch(url('/docs'))).text()))
  })
})
