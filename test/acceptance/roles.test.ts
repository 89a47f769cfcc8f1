/** Roles and owners by tokens, black box, in production. Every operation of the served document has a row here. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Backend, productionBackend, type Service, storeNamed } from './support/backend.ts'
import { bearer, TOKEN_ENV } from './support/tokens.ts'
import { UPLOADS } from './support/tus.ts'
import type { Answer } from './support/wire.ts'

const TUS = { 'Tus-Resumable': '1.0.0' }
const OCTETS = { 'Content-Type': 'application/offset+octet-stream' }
const JSON_TYPE = { 'Content-Type': 'application/json' }

/** Callers: name to claims. alice owns what is asked for. */
const CALLERS = {
  uploader: { sub: 'alice', roles: ['uploader'] },
  reader: { sub: 'alice', roles: ['reader'] },
  'another uploader and reader': { sub: 'bob', roles: ['uploader', 'reader'] },
  operator: { sub: 'olga', roles: ['operator'] },
  admin: { sub: 'ada', roles: ['admin'] },
  'admin of another tenant': { sub: 'alice', roles: ['admin'], tenant: 'elsewhere' },
  'no role': { sub: 'alice', roles: ['cook'] },
} as const
type Caller = keyof typeof CALLERS

/** Statuses in the order of CALLERS, then without a token. */
type Statuses = readonly [number, number, number, number, number, number, number, number]

interface Row {
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly of?: 'unfinished' | 'finished'
  readonly statuses: Statuses
}

const everybody = (status: number): Row => ({
  statuses: [status, status, status, status, status, status, status, status],
})
const administration: Row = { statuses: [403, 403, 403, 200, 200, 200, 403, 401] }

const ROWS: Readonly<Record<string, readonly Row[]>> = {
  createUpload: [
    { headers: { ...TUS, 'Upload-Length': '5' }, statuses: [201, 403, 201, 403, 201, 201, 403, 401] },
    {
      headers: { 'Content-Type': 'multipart/form-data; boundary=b' },
      body: '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n--b--\r\n',
      statuses: [201, 403, 201, 403, 201, 201, 403, 401],
    },
  ],
  createUploads: [
    { headers: JSON_TYPE, body: '{"uploads":[{"length":1}]}', statuses: [200, 403, 200, 403, 200, 200, 403, 401] },
  ],
  listUploads: [{ statuses: [403, 200, 200, 200, 200, 200, 403, 401] }],
  getUploadRecord: [{ of: 'finished', statuses: [403, 200, 404, 200, 200, 404, 403, 401] }],
  downloadFile: [{ of: 'finished', statuses: [403, 200, 404, 403, 200, 404, 403, 401] }],
  inspectUpload: [
    { headers: TUS, of: 'unfinished', statuses: [200, 403, 404, 403, 200, 404, 403, 401] },
    { of: 'finished', statuses: [403, 200, 404, 403, 200, 404, 403, 401] },
  ],
  appendToUpload: [
    {
      headers: { ...TUS, ...OCTETS, 'Upload-Offset': '0' },
      body: 'hello',
      of: 'unfinished',
      statuses: [204, 403, 404, 403, 204, 404, 403, 401],
    },
  ],
  terminateUpload: [
    { headers: TUS, of: 'unfinished', statuses: [204, 403, 404, 403, 204, 404, 403, 401] },
    { headers: TUS, of: 'finished', statuses: [204, 403, 404, 403, 204, 404, 403, 401] },
  ],
  describeService: [everybody(204)],
  describeServiceAtUpload: [everybody(204)],
  collectGarbage: [administration],
  getDatabaseStatus: [administration],
  restartDatabasePool: [administration],
  getLiveness: [everybody(200)],
  getReadiness: [everybody(200)],
  getHealth: [everybody(200)],
  getMetrics: [everybody(200)],
  getApiDocument: [everybody(200)],
  getReferencePage: [everybody(200)],
  getUploadPage: [everybody(200)],
  getUploadPageFile: [everybody(200)],
}

interface Operation {
  readonly method: string
  readonly path: string
}

describe('who may', { concurrency: 4 }, () => {
  let backend: Backend
  let service: Service
  let operations: Map<string, Operation>
  before(async () => {
    backend = await productionBackend(storeNamed('seaweedfs'))
    service = await backend.start(TOKEN_ENV)
    const answer = await fetch(`${service.origin}/openapi.json`)
    const document: { paths: Record<string, Record<string, { operationId: string }>> } = JSON.parse(await answer.text())
    operations = new Map(
      Object.entries(document.paths).flatMap(([path, item]) =>
        Object.entries(item).map(([verb, { operationId }]) => [operationId, { method: verb.toUpperCase(), path }]),
      ),
    )
  })
  after(() => backend.close())

  const made = async (whole: boolean): Promise<string> => {
    const headers = { ...(await bearer(CALLERS.uploader)), ...TUS, 'Upload-Length': '5' }
    const answer = whole
      ? await service.tus.send('POST', UPLOADS, { ...headers, ...OCTETS }, 'hello')
      : await service.tus.send('POST', UPLOADS, headers)
    assert.equal(answer.status, 201)
    const path = new URL(answer.headers.location ?? '').pathname
    return path.slice(UPLOADS.length + 1)
  }
  const ask = async ({ method, path }: Operation, row: Row, caller: Caller | null): Promise<Answer> => {
    const id = row.of === undefined ? '01900000-0000-7000-8000-000000000000' : await made(row.of === 'finished')
    const token = caller === null ? {} : await bearer(CALLERS[caller])
    const at = path.replace('{id}', id).replace('{name}', 'page.css')
    return service.tus.send(method, at, { ...row.headers, ...token }, row.body ?? null)
  }

  test('every operation has a row, and every row its operation', () => {
    assert.deepEqual(Object.keys(ROWS).sort(), [...operations.keys()].sort())
  })

  for (const [operationId, rows] of Object.entries(ROWS)) {
    rows.forEach((row, index) => {
      test(`${operationId} ${row.of ?? ''} ${index + 1}`, async () => {
        const operation = operations.get(operationId)
        assert.ok(operation, `no operation ${operationId}`)
        const callers: (Caller | null)[] = []
        for (const name of Object.keys(CALLERS)) for (const caller of known(name)) callers.push(caller)
        callers.push(null)
        const statuses: [string, number][] = []
        for (const caller of callers) statuses.push([caller ?? 'nobody', (await ask(operation, row, caller)).status])
        assert.deepEqual(
          statuses,
          callers.map((caller, at) => [caller ?? 'nobody', row.statuses[at]]),
        )
      })
    })
  }

  test('an upload that is somebody else’s and one that never was are told in the same words', async () => {
    const token = await bearer(CALLERS['another uploader and reader'])
    const id = await made(true)
    const never = '01900000-0000-7000-8000-000000000000'
    for (const suffix of ['', '/info']) {
      const [theirs, none] = await Promise.all(
        [id, never].map(async (one) => {
          const { status, body } = await service.tus.send('GET', `${UPLOADS}/${one}${suffix}`, token)
          const { requestId: _each, detail, ...problem } = JSON.parse(String(body))
          return { status, ...problem, detail: String(detail).replace(one, '') }
        }),
      )
      assert.deepEqual(theirs, none)
    }
  })

  test('an operator lists the tenant, an owner only the own', async () => {
    const owner = { sub: 'lister', roles: ['uploader', 'reader'] }
    const headers = { ...(await bearer(owner)), ...TUS, 'Upload-Length': '5' }
    const answer = await service.tus.send('POST', UPLOADS, headers)
    const id = String(answer.headers.location).split('/').pop() ?? ''
    const listed = async (caller: Parameters<typeof bearer>[0], query = ''): Promise<boolean> => {
      const page = await service.tus.send('GET', `${UPLOADS}?limit=100${query}`, await bearer(caller))
      assert.equal(page.status, 200)
      return String(page.body).includes(id)
    }
    assert.equal(await listed(owner), true)
    assert.equal(await listed(CALLERS.reader), false)
    assert.equal(await listed(CALLERS.operator, '&owner=lister'), true)
    assert.equal(await listed(CALLERS.operator, '&owner=alice'), false)
    assert.equal(await listed(CALLERS['admin of another tenant']), false)
    const refused = await service.tus.send('GET', `${UPLOADS}?owner=lister`, await bearer(CALLERS.reader))
    assert.equal(refused.status, 403)
  })
})

function known(name: string): Caller[] {
  const names: readonly string[] = Object.keys(CALLERS)
  return isCaller(name, names) ? [name] : []
}

function isCaller(name: string, names: readonly string[]): name is Caller {
  return names.includes(name)
}
