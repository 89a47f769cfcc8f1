/** Each kind of bad input gets its precise 4xx, and leaves row, session and store exactly as they were. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { BACKENDS, type Backend, type Service } from './support/backend.ts'
import { eventually, OCT, patchHeaders, type Tus, UPLOADS } from './support/tus.ts'
import { type Answer, type Headers, Wire } from './support/wire.ts'

const MAX_BYTES = 10_000
const IDLE_MS = 1000
const UNKNOWN = `${UPLOADS}/01890a5d-ac96-774b-bcce-b302099a8057`

/** The uploads that stand while bad input comes: 5 of 10 bytes, all of 5, and one that was terminated. */
interface Standing {
  readonly tus: Tus
  readonly partial: string
  readonly deferred: string
  readonly finished: string
  readonly terminated: string
}

interface Case {
  readonly name: string
  readonly status: number | readonly number[]
  readonly send: (standing: Standing) => Promise<Answer>
}

const create = (name: string, status: Case['status'], headers: Record<string, string | undefined>): Case => ({
  name: `POST with ${name}`,
  status,
  send: ({ tus }) => tus.send('POST', UPLOADS, { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5', ...headers }),
})

const append = (
  name: string,
  status: Case['status'],
  headers: Record<string, string | undefined>,
  on: (standing: Standing) => string = ({ partial }) => partial,
  body = 'world',
): Case => ({
  name: `PATCH with ${name}`,
  status,
  send: (standing) => standing.tus.patch(on(standing), 5, body, headers),
})

const call = (
  method: string,
  path: (standing: Standing) => string,
  status: Case['status'],
  headers: Headers = { 'Tus-Resumable': '1.0.0' },
  note = '',
): Case => ({
  name: `${method} ${path({ partial: '{partial}', deferred: '{deferred}', finished: '{finished}', terminated: '{terminated}', tus: null as never })}${note}`,
  status,
  send: (standing) => standing.tus.send(method, path(standing), headers),
})

const LENGTHS: Case[] = [
  ...['-1', '1.5', '1e3', '0x10', '+5', '5,5', 'five', '', '9007199254740993'].map((length) =>
    create(`Upload-Length "${length}"`, length === '9007199254740993' ? [400, 413] : 400, { 'Upload-Length': length }),
  ),
  create('no length', 400, { 'Upload-Length': undefined }),
  create('both lengths', 400, { 'Upload-Defer-Length': '1' }),
  create('Upload-Defer-Length 2', 400, { 'Upload-Length': undefined, 'Upload-Defer-Length': '2' }),
  create('a length over the limit', 413, { 'Upload-Length': String(MAX_BYTES + 1) }),
  append('another Upload-Length', [400, 409], { 'Upload-Length': '11' }),
  append('a deferred length below the offset', 400, { 'Upload-Length': '4' }, ({ deferred }) => deferred),
  append('a deferred length over the limit', [400, 413], { 'Upload-Length': '10001' }, ({ deferred }) => deferred),
  append('an unreadable deferred length', 400, { 'Upload-Length': 'x' }, ({ deferred }) => deferred),
  append('more bytes than the length', 413, {}, undefined, 'world and more'),
]

const OFFSETS: Case[] = [
  ...['-1', 'abc', '1.5', '1e3', '+5', '0x5', ''].map((offset) =>
    append(`Upload-Offset "${offset}"`, 400, { 'Upload-Offset': offset }),
  ),
  append('no Upload-Offset', 400, { 'Upload-Offset': undefined }),
  append('an offset behind', 409, { 'Upload-Offset': '0' }),
  append('an offset ahead', 409, { 'Upload-Offset': '6' }),
  append('an offset beyond all numbers', [400, 409], { 'Upload-Offset': '99999999999999999999' }),
]

const METADATA: Case[] = ['a !!!!', 'a YQ', 'a Y Q==', ',', 'a YQ==,a Yg==', 'a\u0001 YQ=='].map((metadata) =>
  create(`Upload-Metadata ${JSON.stringify(metadata)}`, 400, { 'Upload-Metadata': metadata }),
)

const TYPES: Case[] = [
  append('text/plain', 415, { 'Content-Type': 'text/plain' }),
  append('application/json', 415, { 'Content-Type': 'application/json' }),
  append('no Content-Type', 415, { 'Content-Type': undefined }),
  append('no Tus-Resumable', 412, { 'Tus-Resumable': undefined }),
  append('Tus-Resumable 0.2.2', 412, { 'Tus-Resumable': '0.2.2' }),
  create('Tus-Resumable 2.0.0', 412, { 'Tus-Resumable': '2.0.0' }),
  {
    name: 'POST of JSON without Tus-Resumable',
    status: [400, 412, 415],
    send: ({ tus }) => tus.send('POST', UPLOADS, { 'Content-Type': 'application/json' }, '{"length": '),
  },
  {
    name: 'POST of a foreign body',
    status: [400, 415],
    send: ({ tus }) => tus.post({ length: 5, body: 'hello', headers: { 'Content-Type': 'text/plain' } }),
  },
]

const ADDRESSES: Case[] = [
  ...['nothing', '%00', '%2e%2e%2fetc', '..%5c', 'x'.repeat(2000), '01890a5d-ac96-474b-bcce-b302099a8057'].flatMap(
    (id) =>
      ['HEAD', 'PATCH', 'DELETE', 'GET'].map(
        (method): Case => ({
          name: `${method} of the id "${id.slice(0, 40)}"`,
          status: [404, ...(id.includes('%') ? [400] : [])],
          send: ({ tus }) =>
            method === 'PATCH'
              ? tus.patch(`${UPLOADS}/${id}`, 0, 'x')
              : tus.send(method, `${UPLOADS}/${id}`, { 'Tus-Resumable': '1.0.0' }),
        }),
      ),
  ),
  call('HEAD', () => UNKNOWN, 404),
  call('DELETE', () => UNKNOWN, 404),
  call('GET', () => UNKNOWN, 404),
  call('GET', () => `${UNKNOWN}/info`, 404),
  append('an unknown upload', 404, {}, () => UNKNOWN),
  append('a terminated upload', [404, 410], {}, ({ terminated }) => terminated),
  call('HEAD', ({ terminated }) => terminated, [404, 410]),
  call('DELETE', ({ terminated }) => terminated, [404, 410]),
  call('GET', ({ terminated }) => terminated, [404, 410]),
  append('bytes for a finished upload', [400, 403, 409, 413], {}, ({ finished }) => finished),
  append('the first bytes again', [409, 413], { 'Upload-Offset': '0' }, ({ finished }) => finished),
  call('GET', ({ partial }) => partial, [404, 409]),
  call('PUT', ({ partial }) => partial, 405, { 'Tus-Resumable': '1.0.0', 'Content-Length': '0' }),
  call('FOO', ({ partial }) => partial, 405),
  call('PATCH', () => UPLOADS, [404, 405]),
  call('DELETE', () => UPLOADS, [404, 405]),
]

const QUERIES: Case[] = [
  ...['limit=0', 'limit=101', 'limit=x', 'limit=-1', 'limit=1.5', 'cursor=!!', 'cursor=AAAA', 'state=nothing'].map(
    (query) => call('GET', () => `${UPLOADS}?${query}`, 400, {}),
  ),
  ...['createdAfter=yesterday', 'createdBefore=', 'limit=1&limit=2'].map((query) =>
    call('GET', () => `${UPLOADS}?${query}`, 400, {}),
  ),
]

/** A range that cannot be satisfied, a body where none is wanted, odd headers. */
const ODD: Case[] = [
  call('GET', ({ finished }) => finished, 416, { Range: 'bytes=99-' }, ' beyond its end'),
  {
    name: 'two Upload-Offset lines',
    status: 400,
    send: ({ tus, partial }) => {
      const headers = Object.entries(patchHeaders(5)).map(([name, value]) => [name, value ?? ''] as const)
      return tus.send('PATCH', partial, [...headers, ['Upload-Offset', '6']], 'world')
    },
  },
  {
    name: '10,000 headers',
    status: [400, 431],
    send: ({ tus, partial }) => {
      const many = Array.from({ length: 10_000 }, (_, n) => [`x-${n}`, 'y'] as const)
      return tus.send('HEAD', partial, [['Tus-Resumable', '1.0.0'], ...many])
    },
  },
  {
    name: 'one header of a megabyte',
    status: 431,
    send: ({ tus }) => tus.post({ length: 5, metadata: `a ${'A'.repeat(1_000_000)}` }),
  },
  {
    name: 'Upload-Concat of nothing',
    status: [400],
    send: ({ tus }) => tus.post({ headers: { 'Upload-Concat': 'final;' } }),
  },
]

/** Connections that end, or stand still, before anything of use came. Answers do not matter here. */
const BROKEN: { name: string; run: (standing: Standing) => Promise<void> }[] = [
  {
    name: 'a PATCH cut before its first byte',
    run: async ({ tus, partial }) => {
      const wire = await tus.stalled(partial, 5, 5, '')
      wire.cut()
      await wire.closed
    },
  },
  {
    name: 'a PATCH without a byte for the idle timeout',
    run: async ({ tus, partial }) => {
      const wire = await tus.stalled(partial, 5, 5, '')
      const answer = await wire.answer('PATCH').catch(() => null)
      if (answer) assert.ok(answer.status >= 400, `${answer.status}`)
      await wire.closed
    },
  },
  {
    name: 'a stalled PATCH at a wrong offset',
    run: async ({ tus, partial }) => {
      const wire = await tus.stalled(partial, 6, 5, 'wo')
      assert.equal((await wire.answer('PATCH')).status, 409)
      wire.cut()
    },
  },
  {
    name: 'a request that is cut in its headers',
    run: async ({ tus, partial }) => {
      const wire = await Wire.open(tus.origin)
      wire.write(`PATCH ${partial} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\nUpload-`)
      wire.cut()
      await wire.closed
    },
  },
  {
    name: 'noise instead of HTTP',
    run: async ({ tus }) => {
      const wire = await Wire.open(tus.origin)
      wire.write('\u0016\u0003\u0001\u0002\u0000\u0001\r\n\r\n')
      assert.ok([400, 405].includes((await wire.answer('GET')).status))
      await wire.closed
    },
  },
  {
    name: 'a chunked body that is not chunked',
    run: async ({ tus, partial }) => {
      const wire = await Wire.open(tus.origin)
      wire.head('PATCH', partial, patchHeaders(5, { 'Transfer-Encoding': 'chunked', 'Content-Type': OCT }))
      wire.write('no chunk at all\r\n\r\n')
      const answer = await wire.answer('PATCH').catch(() => null)
      if (answer) assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`)
      await wire.closed
    },
  },
]

async function standingUploads(tus: Tus): Promise<Standing> {
  const partial = await tus.createWith(10, 'hello', 'filename YQ==')
  const deferred = await tus.create({ defer: true })
  assert.equal((await tus.patch(deferred, 0, 'hello')).status, 204)
  const finished = await tus.createWith(5, 'hello')
  const terminated = await tus.createWith(10, 'hello')
  assert.equal((await tus.terminate(terminated)).status, 204)
  await eventually(async () => (await tus.info(finished)).state === 'available', 'post-processing of a finished upload')
  return { tus, partial, deferred, finished, terminated }
}

async function everything(backend: Backend, service: Service, standing: Standing): Promise<unknown> {
  const { partial, deferred, finished } = standing
  return {
    uploads: await backend.insight?.uploadCount(),
    listing: await backend.insight?.listing(),
    partial: await backend.view(service, partial),
    deferred: await backend.view(service, deferred),
    finished: await backend.view(service, finished),
  }
}

for (const { name, open } of BACKENDS) {
  describe(`bad input: ${name}`, () => {
    let backend: Backend
    let service: Service
    let standing: Standing
    before(async () => {
      backend = await open()
      service = await backend.start({ MAX_FILE_SIZE: String(MAX_BYTES), IDLE_TIMEOUT: `${IDLE_MS}ms` })
      standing = await standingUploads(service.tus)
    })
    after(() => backend?.close())

    const leavesAll = async (run: () => Promise<void>): Promise<void> => {
      const before = await everything(backend, service, standing)
      await run()
      // A hold is let go right after the answer.
      const same = async () => isDeepStrictEqual(await everything(backend, service, standing), before)
      await eventually(same, 'everything as before', 3000).catch(() => {})
      assert.deepEqual(await everything(backend, service, standing), before)
    }

    const groups = { LENGTHS, OFFSETS, METADATA, TYPES, ADDRESSES, QUERIES, ODD }
    for (const [group, cases] of Object.entries(groups)) {
      describe(group.toLowerCase(), () => {
        for (const one of cases) {
          test(one.name, () =>
            leavesAll(async () => {
              const answer = await one.send(standing)
              const allowed = typeof one.status === 'number' ? [one.status] : one.status
              assert.ok(allowed.includes(answer.status), `${allowed} expected, got ${answer.status}: ${answer.body}`)
              assert.equal(answer.headers.location, undefined)
            }),
          )
        }
      })
    }

    describe('broken connections', () => {
      for (const { name, run } of BROKEN) test(name, () => leavesAll(() => run(standing)))
    })

    test('after all of it the upload goes on where it was', async () => {
      const { tus, partial } = standing
      await tus.standsAt(partial, 5, 10)
      assert.equal((await tus.patch(partial, 5, 'world')).status, 204)
      await tus.contentIs(partial, 'helloworld')
    })
  })
}
