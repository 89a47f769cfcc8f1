/** Forms over the real engine on the embedded drivers: what is kept, and that what fails leaves nothing. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { embeddedWorld, SETTINGS, type World } from '../support/engine.ts'
import { type Answer, type Edge, startEdge, until } from './http-edge.ts'

const UPLOADS = '/api/v1/uploads'
const MAX_BYTES = 3 * SETTINGS.partBytes
const FORM = { 'Content-Type': 'multipart/form-data; boundary=bound' }

interface PartText {
  readonly name: string
  readonly filename?: string
  readonly type?: string
  readonly body: string | Buffer
}

/** A form, byte for byte; without its end when `open`. */
function formOf(parts: readonly PartText[], end = '--bound--\r\n'): Buffer {
  const pieces = parts.flatMap(({ name, filename, type, body }) => [
    Buffer.from(
      `--bound\r\nContent-Disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n` +
        `${type === undefined ? '' : `Content-Type: ${type}\r\n`}\r\n`,
    ),
    Buffer.from(body),
    Buffer.from('\r\n'),
  ])
  return Buffer.concat([...pieces, Buffer.from(end)])
}

const file = (body: string | Buffer, filename = 'a.bin', type = 'application/octet-stream'): PartText => ({
  name: 'file',
  filename,
  type,
  body,
})

describe('forms', () => {
  let world: World
  let edge: Edge
  /** Calls of the engine that have not ended: a client that left does not wait for them. */
  let running = 0
  const counted = async <T>(call: Promise<T>): Promise<T> => {
    running++
    return call.finally(() => {
      // A form that broke goes on to clean up in the same turn.
      setImmediate(() => running--)
    })
  }
  before(async () => {
    world = await embeddedWorld()
    const engine = await world.engine({ settings: { ...SETTINGS, maxBytes: MAX_BYTES, idleMs: 400 } })
    edge = await startEdge({
      engine: {
        ...engine,
        create: (...args) => counted(engine.create(...args)),
        terminate: (...args) => counted(engine.terminate(...args)),
      },
      authenticate: async () => ({ subject: 'me', tenant: 'default', roles: ['uploader', 'reader'] }),
      idleTimeoutMs: 400,
    })
  })
  after(async () => {
    await edge[Symbol.asyncDispose]()
    await world.remove()
  })

  const post = (parts: readonly PartText[], end?: string) => edge.send('POST', UPLOADS, FORM, formOf(parts, end))
  const codeOf = (answer: Answer): [number, unknown] => [answer.status, JSON.parse(answer.text).code]
  const living = async (): Promise<number> => {
    const { items } = await world.database.records.list({ tenant: 'default', limit: 100 })
    return items.filter(({ state }) => state !== 'terminated').length
  }
  const objects = async (): Promise<number> => {
    let count = 0
    for (const prefix of ['uploads', 'uploads-tails']) for await (const _ of world.store.list(prefix)) count++
    return count
  }
  const leavesNothing = async (work: () => Promise<unknown>): Promise<void> => {
    const before = [await living(), await objects()]
    await work()
    assert.deepEqual([await living(), await objects()], before)
  }

  test('one file: 201, where it is, and its record', async () => {
    const bytes = randomBytes(1000)
    const answer = await post([file(bytes, 'übung.png', 'image/png')])
    assert.equal(answer.status, 201)
    const record = JSON.parse(answer.body.toString('utf8'))
    assert.equal(answer.headers.location, record.location)
    assert.deepEqual(
      [record.state, record.length, record.filename, record.contentType, record.metadata],
      ['uploaded', 1000, 'übung.png', 'image/png', { filename: 'übung.png', filetype: 'image/png' }],
    )
    const back = await edge.send('GET', new URL(record.location).pathname)
    assert.ok(back.body.equals(bytes))
  })

  for (const length of [0, 1, SETTINGS.partBytes, 2 * SETTINGS.partBytes + 77, MAX_BYTES]) {
    test(`a file of ${length} bytes comes back as it was`, async () => {
      const bytes = randomBytes(length)
      const answer = await post([file(bytes)])
      assert.equal(answer.status, 201, answer.text)
      const back = await edge.send('GET', new URL(answer.headers.location ?? '').pathname)
      assert.ok(back.body.equals(bytes))
    })
  }

  test('metadata before the files is theirs, over what the part says', async () => {
    const metadata = { name: 'metadata', body: '{"filename":"given.txt","project":"é"}' }
    const answer = await post([{ name: 'csrf', body: 'x' }, metadata, file('1', 'a.txt', 'text/plain'), file('22')])
    assert.equal(answer.status, 201)
    const { items } = JSON.parse(answer.body.toString('utf8'))
    assert.deepEqual(
      items.map((one: Record<string, unknown>) => [one.length, one.filename, one.contentType, one.metadata]),
      [
        [1, 'given.txt', 'text/plain', { filename: 'given.txt', filetype: 'text/plain', project: 'é' }],
        [
          2,
          'given.txt',
          'application/octet-stream',
          { filename: 'given.txt', filetype: 'application/octet-stream', project: 'é' },
        ],
      ],
    )
    assert.equal(answer.headers.location, items[0].location)
  })

  const WRONG: readonly (readonly [string, readonly PartText[], [number, string]])[] = [
    ['without a file', [{ name: 'metadata', body: '{}' }], [400, 'body_invalid']],
    ['without a chosen file', [file('', '')], [400, 'body_invalid']],
    ['with a file in another field', [{ ...file('x'), name: 'upload' }], [400, 'body_invalid']],
    ['with metadata behind a file', [file('x'), { name: 'metadata', body: '{}' }], [400, 'body_invalid']],
    ['with metadata that is not JSON', [{ name: 'metadata', body: '{' }, file('x')], [400, 'metadata_invalid']],
    ['with metadata that is no object', [{ name: 'metadata', body: '[]' }, file('x')], [400, 'metadata_invalid']],
    ['with metadata of numbers', [{ name: 'metadata', body: '{"a":1}' }, file('x')], [400, 'metadata_invalid']],
    [
      'with a key that no header carries',
      [{ name: 'metadata', body: '{"a b":"1"}' }, file('x')],
      [400, 'metadata_invalid'],
    ],
    [
      'with too much metadata',
      [{ name: 'metadata', body: `{"a":"${'x'.repeat(20_000)}"}` }, file('x')],
      [431, 'metadata_too_large'],
    ],
    [
      'with a field that is too long',
      [{ name: 'metadata', body: 'x'.repeat(70_000) }, file('x')],
      [400, 'body_invalid'],
    ],
    ['with a file over the limit', [file(randomBytes(MAX_BYTES + 1))], [413, 'upload_too_large']],
    [
      'whose second file is over the limit',
      [file('fine'), file(randomBytes(MAX_BYTES + 1))],
      [413, 'upload_too_large'],
    ],
    ['with too many files', Array.from({ length: 101 }, () => file('x')), [400, 'body_invalid']],
  ]
  for (const [name, parts, expected] of WRONG) {
    test(`a form ${name} is refused and leaves nothing`, () =>
      leavesNothing(async () => assert.deepEqual(codeOf(await post(parts)), expected)))
  }

  test('a form without its end is refused and leaves nothing', async () => {
    await leavesNothing(async () =>
      assert.deepEqual(codeOf(await post([file('a'), file('b')], '')), [400, 'body_invalid']),
    )
    await leavesNothing(async () => {
      const half = formOf([file(randomBytes(SETTINGS.partBytes * 2))]).subarray(0, -SETTINGS.partBytes / 2)
      assert.deepEqual(codeOf(await edge.send('POST', UPLOADS, FORM, half)), [400, 'body_invalid'])
    })
  })

  test('what is no form is refused', () =>
    leavesNothing(async () => {
      for (const [type, body] of [
        ['multipart/form-data', 'x'],
        ['multipart/form-data; boundary=', 'x'],
        ['multipart/form-data; boundary=bound', 'no form at all'],
        ['multipart/form-data; boundary=bound', ''],
      ] as const) {
        assert.deepEqual(
          codeOf(await edge.send('POST', UPLOADS, { 'Content-Type': type }, body)),
          [400, 'body_invalid'],
          type,
        )
      }
    }))

  for (const [name, first] of [
    ['in its first part', 1000],
    ['behind its first part', 2 * SETTINGS.partBytes],
  ] as const) {
    test(`a connection that breaks in a file, ${name}, leaves nothing, not even the file before`, async () => {
      await leavesNothing(async () => {
        const bytes = formOf([file('before'), file(randomBytes(MAX_BYTES - 1))])
        const socket = await edge.open()
        socket.write(
          `POST ${UPLOADS} HTTP/1.1\r\nHost: x\r\nContent-Type: ${FORM['Content-Type']}\r\nContent-Length: ${bytes.length}\r\n\r\n`,
        )
        const before = edge.entries.length
        socket.write(bytes.subarray(0, first), () => socket.destroy())
        await until(() => edge.entries.length > before && running === 0)
        assert.equal(edge.entries.at(-1)?.aborted, true)
      })
    })
  }

  for (const [name, sent] of [
    ['in a file', formOf([file('half')], '').subarray(0, -2)],
    ['between parts', formOf([file('a')], '')],
  ] as const) {
    test(`a form that stands still ${name} is given up`, async () => {
      await leavesNothing(async () => {
        const answer = await edge.raw(
          `POST ${UPLOADS} HTTP/1.1\r\nHost: x\r\nContent-Type: ${FORM['Content-Type']}\r\nContent-Length: 5000\r\n\r\n${sent.toString('latin1')}`,
        )
        assert.match(answer, /^HTTP\/1\.1 423 [\s\S]*"code":"body_stalled"/)
      })
    })
  }

  test('the promise to read a body is given only to who may send one', async () => {
    const head = `POST ${UPLOADS} HTTP/1.1\r\nHost: x\r\nContent-Type: ${FORM['Content-Type']}\r\nExpect: 100-continue\r\n`
    const said = await edge.raw(`${head}Content-Length: 500\r\n\r\n`, /100 Continue/)
    assert.match(said, /^HTTP\/1\.1 100 Continue/)
  })
})

describe('many creations in one call', () => {
  const MANY = `${UPLOADS}/multiple`
  const JSON_TYPE = { 'Content-Type': 'application/json' }

  test('each gets an address or a problem, in order', async () => {
    await using edge = await startEdge()
    const uploads = [
      { length: 5, metadata: { filename: 'ä.txt', empty: '' } },
      { length: -1 },
      { length: null, filename: 'x.webm', contentType: 'video/webm' },
      {},
      { length: 1e15 },
      { length: 1, metadata: { 'a b': '' } },
      { length: 1, metadata: { a: 1 } },
      7,
      { length: 1.5 },
      { length: '5' },
      { length: 0 },
    ]
    const answer = await edge.send('POST', MANY, JSON_TYPE, JSON.stringify({ uploads }))
    assert.equal(answer.status, 200)
    const outcomes: { status: number; location?: string; problem?: { code: string; status: number } }[] = JSON.parse(
      answer.text,
    )
    assert.deepEqual(
      outcomes.map(({ status, problem }) => problem?.code ?? status),
      [
        201,
        'length_invalid',
        201,
        'length_missing',
        'upload_too_large',
        'metadata_invalid',
        'metadata_invalid',
        'body_invalid',
        'length_invalid',
        'length_invalid',
        201,
      ],
    )
    for (const { status, problem } of outcomes) if (problem) assert.equal(status, problem.status)
    const head = await edge.send('HEAD', new URL(outcomes[0]?.location ?? '').pathname, { 'Tus-Resumable': '1.0.0' })
    assert.deepEqual(
      [head.headers['upload-length'], head.headers['upload-metadata']],
      ['5', `filename ${Buffer.from('ä.txt').toString('base64')},empty`],
    )
    const deferred = await edge.send('HEAD', new URL(outcomes[2]?.location ?? '').pathname, {
      'Tus-Resumable': '1.0.0',
    })
    assert.equal(deferred.headers['upload-defer-length'], '1')
  })

  test('a hundred are taken, in their order; a hundred and one are not', async () => {
    await using edge = await startEdge()
    const of = (count: number) =>
      JSON.stringify({ uploads: Array.from({ length: count }, (_, index) => ({ length: index + 1 })) })
    const answer = await edge.send('POST', MANY, JSON_TYPE, of(100))
    const outcomes: { location: string }[] = JSON.parse(answer.text)
    assert.equal(outcomes.length, 100)
    const last = await edge.send('HEAD', new URL(outcomes[99]?.location ?? '').pathname, { 'Tus-Resumable': '1.0.0' })
    assert.equal(last.headers['upload-length'], '100')
    assert.equal((await edge.send('POST', MANY, JSON_TYPE, of(101))).status, 400)
  })

  test('what fails for one does not fail the others', async () => {
    await using edge = await startEdge()
    edge.engine.failNext('create', new Error('unforeseen'))
    const answer = await edge.send('POST', MANY, JSON_TYPE, '{"uploads":[{"length":1},{"length":2}]}')
    const statuses = JSON.parse(answer.text).map((one: { status: number }) => one.status)
    assert.deepEqual(statuses, [500, 201])
    assert.doesNotMatch(answer.text, /unforeseen/)
  })

  test('a body that is wrong as a whole is refused, and nothing is created', async () => {
    await using edge = await startEdge()
    for (const [body, headers, expected] of [
      ['{', JSON_TYPE, [400, 'body_invalid']],
      ['', JSON_TYPE, [400, 'body_invalid']],
      ['[]', JSON_TYPE, [400, 'body_invalid']],
      ['{"uploads":{}}', JSON_TYPE, [400, 'body_invalid']],
      ['{"uploads":[]}', JSON_TYPE, [400, 'body_invalid']],
      [Buffer.from([0x22, 0xff, 0x22]), JSON_TYPE, [400, 'body_invalid']],
      ['{"uploads":[{"length":1}]}', { 'Content-Type': 'text/plain' }, [415, 'content_type_unsupported']],
      ['{"uploads":[{"length":1}]}', {}, [415, 'content_type_unsupported']],
      ['x', { ...JSON_TYPE, 'Content-Encoding': 'gzip' }, [415, 'content_type_unsupported']],
      [Buffer.alloc(2 * 1024 * 1024 + 1, ' '), JSON_TYPE, [413, 'body_too_large']],
    ] as const) {
      const answer = await edge.send('POST', MANY, headers, body)
      assert.deepEqual([answer.status, JSON.parse(answer.text).code], expected, String(body).slice(0, 40))
    }
    const chunked = { ...JSON_TYPE, 'Transfer-Encoding': 'chunked' }
    const long = await edge.send('POST', MANY, chunked, Buffer.alloc(2 * 1024 * 1024 + 1, ' '))
    assert.equal(long.status, 413)
    assert.deepEqual(edge.engine.calls, [])
  })

  test('a body that stands still is given up', async () => {
    await using edge = await startEdge({ idleTimeoutMs: 100 })
    const answer = await edge.raw(
      `POST ${MANY} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"uploads"`,
    )
    assert.match(answer, /^HTTP\/1\.1 423 [\s\S]*"code":"body_stalled"/)
  })

  test('it is one address: other methods find no upload there', async () => {
    await using edge = await startEdge()
    assert.equal((await edge.send('GET', MANY)).status, 404)
    assert.equal((await edge.send('OPTIONS', MANY)).status, 204)
  })
})
