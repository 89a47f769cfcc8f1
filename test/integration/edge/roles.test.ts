/**
 * Role by verb by ownership, for every route of the route file: a route without a row fails. Real engine, embedded
 * drivers; who is calling is said by a header.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { UploadError } from '../../../server/uploads/errors.ts'
import type { Principal, Role } from '../../../server/uploads/words.ts'
import { bodyOf, embeddedWorld, type TestEngine, type World } from '../support/engine.ts'
import { type Edge, OCTETS, routesOfEdge, startEdge, TUS } from './http-edge.ts'

const ROLES = ['uploader', 'reader', 'operator', 'admin', 'nobody'] as const
const OWNERSHIPS = ['own', 'other', 'foreign'] as const
type Ownership = (typeof OWNERSHIPS)[number]

/** What it takes to be allowed; everything else is refused with 403, or 404 where the upload is not to be known. */
interface Row {
  readonly send: { readonly headers?: Record<string, string>; readonly body?: string }
  /** Status of success. */
  readonly ok: number
  /** Roles that may, on own uploads and on another owner's of the tenant. `open`: no caller is asked. */
  readonly own: readonly Role[] | 'open'
  readonly other: readonly Role[] | 'open'
  /** The upload that it needs; none: the address names no upload. */
  readonly upload?: 'unfinished' | 'finished'
}

const JSON_BODY = { 'Content-Type': 'application/json' }
const UPLOADERS: readonly Role[] = ['uploader', 'admin']
const READERS: readonly Role[] = ['reader', 'admin']
const KNOWING: readonly Role[] = ['reader', 'operator', 'admin']
const OPERATORS: readonly Role[] = ['operator', 'admin']
const OPEN = { send: {}, ok: 200, own: 'open', other: 'open' } as const
const ADMINISTRATION = { send: {}, ok: 200, own: OPERATORS, other: OPERATORS } as const

const TABLE: Readonly<Record<string, readonly Row[]>> = {
  'GET /livez': [OPEN],
  'GET /readyz': [OPEN],
  'GET /health': [OPEN],
  'GET /metrics': [OPEN],
  'GET /openapi.json': [OPEN],
  'GET /docs': [OPEN],
  'GET /': [{ ...OPEN, ok: 404 }],
  'GET /page/{name}': [{ ...OPEN, ok: 404 }],
  'POST /admin/gc': [ADMINISTRATION],
  'GET /admin/db-status': [ADMINISTRATION],
  'POST /admin/db-pool/restart': [ADMINISTRATION],
  'OPTIONS /api/v1/uploads': [{ ...OPEN, ok: 204 }],
  'OPTIONS /api/v1/uploads/{id}': [{ ...OPEN, ok: 204 }],
  'POST /api/v1/uploads/multiple': [
    { send: { headers: JSON_BODY, body: '{"uploads":[{"length":1}]}' }, ok: 200, own: UPLOADERS, other: UPLOADERS },
  ],
  'POST /api/v1/uploads': [
    { send: { headers: { ...TUS, 'Upload-Length': '5' } }, ok: 201, own: UPLOADERS, other: UPLOADERS },
    {
      send: {
        headers: { 'Content-Type': 'multipart/form-data; boundary=b' },
        body: '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n--b--\r\n',
      },
      ok: 201,
      own: UPLOADERS,
      other: UPLOADERS,
    },
  ],
  'GET /api/v1/uploads': [{ send: {}, ok: 200, own: KNOWING, other: KNOWING }],
  'GET /api/v1/uploads/{id}/info': [{ send: {}, ok: 200, own: KNOWING, other: OPERATORS, upload: 'finished' }],
  'GET /api/v1/uploads/{id}': [{ send: {}, ok: 200, own: READERS, other: ['admin'], upload: 'finished' }],
  'HEAD /api/v1/uploads/{id}': [
    { send: { headers: TUS }, ok: 200, own: UPLOADERS, other: ['admin'], upload: 'unfinished' },
    { send: {}, ok: 200, own: READERS, other: ['admin'], upload: 'finished' },
  ],
  'PATCH /api/v1/uploads/{id}': [
    {
      send: { headers: { ...TUS, ...OCTETS, 'Upload-Offset': '0' }, body: 'hello' },
      ok: 204,
      own: UPLOADERS,
      other: ['admin'],
      upload: 'unfinished',
    },
  ],
  'DELETE /api/v1/uploads/{id}': [
    { send: { headers: TUS }, ok: 204, own: UPLOADERS, other: ['admin'], upload: 'unfinished' },
    { send: { headers: TUS }, ok: 204, own: UPLOADERS, other: ['admin'], upload: 'finished' },
  ],
}

const OWNERS: Readonly<Record<Ownership, Principal>> = {
  own: { subject: 'me', tenant: 'here', roles: ['uploader'] },
  other: { subject: 'you', tenant: 'here', roles: ['uploader'] },
  foreign: { subject: 'me', tenant: 'there', roles: ['uploader'] },
}

function callerOf(header: string | string[] | undefined): Principal {
  if (header === undefined) throw new UploadError('unauthenticated', 'No token.')
  const found = ROLES.filter((role) => role === header)
  return { subject: 'me', tenant: 'here', roles: found.filter((role) => role !== 'nobody') }
}

describe('who may', () => {
  let world: World
  let engine: TestEngine
  let edge: Edge
  before(async () => {
    world = await embeddedWorld()
    engine = await world.engine()
    edge = await startEdge({ engine, authenticate: async (req) => callerOf(req.headers['x-role']) })
  })
  after(async () => {
    await edge[Symbol.asyncDispose]()
    await world.remove()
  })

  const made = async (owner: Principal, whole: boolean): Promise<string> => {
    const body = whole ? { body: bodyOf(Buffer.from('hello')), bodyLength: 5 } : { body: null, bodyLength: 0 }
    return (await engine.create(owner, { length: 5, metadataRaw: null, ...body })).upload.id
  }
  const expected = (row: Row, role: (typeof ROLES)[number], ownership: Ownership): number => {
    const allowed = ownership === 'own' ? row.own : row.other
    const may = allowed === 'open' || (role !== 'nobody' && allowed.includes(role))
    if (row.upload === undefined) return may ? row.ok : 403
    if (ownership === 'foreign') return 404
    if (may) return row.ok
    const known = ownership === 'own' || OPERATORS.some((one) => one === role)
    return known ? 403 : 404
  }

  test('every route has a row, and no row is without its route', () => {
    const routes = routesOfEdge(edge).map(({ method, path }) => `${method} ${path}`)
    assert.deepEqual(Object.keys(TABLE).sort(), routes.sort())
  })

  for (const [route, rows] of Object.entries(TABLE)) {
    const [method = '', path = ''] = route.split(' ')
    for (const row of rows) {
      const about = row.upload === undefined ? '' : `, ${row.upload}${row.send.headers === TUS ? ', tus' : ''}`
      test(`${route}${about}`, async () => {
        for (const role of ROLES) {
          for (const ownership of row.upload === undefined ? (['own'] as const) : OWNERSHIPS) {
            const id = row.upload ? await made(OWNERS[ownership], row.upload === 'finished') : ''
            const headers = { ...row.send.headers, 'X-Role': role }
            const answer = await edge.send(
              method,
              path.replace('{id}', id).replace('{name}', 'x'),
              headers,
              row.send.body,
            )
            assert.equal(answer.status, expected(row, role, ownership), `${role}, ${ownership}: ${answer.text}`)
          }
        }
      })

      test(`${route}${about}, without a token`, async () => {
        const id = row.upload ? await made(OWNERS.own, row.upload === 'finished') : ''
        const answer = await edge.send(
          method,
          path.replace('{id}', id).replace('{name}', 'x'),
          row.send.headers,
          row.send.body,
        )
        assert.equal(answer.status, row.own === 'open' ? row.ok : 401)
      })
    }
  }

  test('a list shows the caller’s, to operators the tenant’s, and one owner’s when asked', async () => {
    const [mine, yours, theirs] = await Promise.all([
      made(OWNERS.own, false),
      made(OWNERS.other, false),
      made(OWNERS.foreign, false),
    ])
    const listed = async (role: Role, query = ''): Promise<Set<string>> => {
      const ids = new Set<string>()
      let cursor: string | null = ''
      while (cursor !== null) {
        const at = `/api/v1/uploads?limit=100${query}${cursor === '' ? '' : `&cursor=${cursor}`}`
        const answer = await edge.send('GET', at, { 'X-Role': role })
        assert.equal(answer.status, 200, answer.text)
        const page: { items: { id: string }[]; nextCursor: string | null } = JSON.parse(answer.text)
        for (const { id } of page.items) ids.add(id)
        cursor = page.nextCursor
      }
      return ids
    }
    const sees = async (role: Role, query?: string) => {
      const ids = await listed(role, query)
      return [mine, yours, theirs].map((id) => ids.has(id))
    }
    assert.deepEqual(await sees('reader'), [true, false, false])
    assert.deepEqual(await sees('operator'), [true, true, false])
    assert.deepEqual(await sees('admin'), [true, true, false])
    assert.deepEqual(await sees('operator', '&owner=you'), [false, true, false])
    assert.deepEqual(await sees('reader', '&owner=me'), [true, false, false])
    const refused = await edge.send('GET', '/api/v1/uploads?owner=you', { 'X-Role': 'reader' })
    assert.equal(refused.status, 403)
  })
})
