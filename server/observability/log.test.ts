import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { describe, test } from 'node:test'
import type { UploadError, UploadErrorOptions } from '../uploads/errors.ts'
import { createLog, type RequestFields } from './log.ts'
import { scrub } from './redact.ts'

type Line = Record<string, unknown> & { err?: Record<string, unknown> }

function capture(level: 'debug' | 'info' = 'debug') {
  const texts: string[] = []
  const log = createLog({ level, base: { instance: 'i1' }, destination: { write: (text) => void texts.push(text) } })
  /** Every line is JSON of its own. */
  const lines = (): Line[] => texts.map((text) => JSON.parse(text))
  return { log, texts, lines, last: () => lines().at(-1) ?? {} }
}

/** One of ours, by its shape: this room imports nothing of the engine. */
function uploadError(code: UploadError['code'], message: string, options: UploadErrorOptions): UploadError {
  const error = new Error(message, { cause: options.cause })
  return Object.assign(error, { name: 'UploadError', code, facts: options.facts ?? {} })
}

const REQUEST: RequestFields = {
  requestId: 'r1',
  operation: 'append',
  method: 'PATCH',
  status: 204,
  durationMs: 12.3456,
  uploadId: null,
  tenant: 'default',
  owner: 'ann',
  remote: '10.0.0.1',
  code: null,
  aborted: false,
}

describe('lines', () => {
  test('have fixed fields, a level in words and an ISO time', () => {
    const { log, last } = capture()
    log.http.request(REQUEST)
    const { time, pid: _pid, ...line } = last()
    assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/)
    assert.deepEqual(line, {
      level: 'info',
      service: 'upload-service',
      instance: 'i1',
      event: 'http.request',
      ...REQUEST,
      durationMs: 12.3,
      msg: 'request',
    })
  })

  test('children carry their request or room', () => {
    const { log, lines } = capture()
    log.forRequest('r7').info({ uploadId: 'u' }, 'x')
    log.child('hooks').warn({}, 'y')
    assert.deepEqual(
      lines().map(({ level, requestId, room, uploadId }) => ({ level, requestId, room, uploadId })),
      [
        { level: 'info', requestId: 'r7', room: undefined, uploadId: 'u' },
        { level: 'warn', requestId: undefined, room: 'hooks', uploadId: undefined },
      ],
    )
  })

  test('probes are quiet, our own failures are not', () => {
    const { log, lines } = capture('info')
    for (const operation of ['livez', 'readyz', 'health', 'metrics'])
      log.http.request({ ...REQUEST, operation, status: 200 })
    log.http.request({ ...REQUEST, operation: 'readyz', status: 503 })
    assert.deepEqual(lines(), [])
    log.http.request({ ...REQUEST, operation: 'health', status: 503 })
    assert.equal(lines()[0]?.level, 'warn')
  })

  test('the named ones say what happened', () => {
    const { log, lines } = capture()
    const drivers = { storage: 's3', coordination: 'redis', database: 'postgres', queue: 'redis' }
    log.configWarning('careful')
    log.starting({ environment: 'test', embedded: false, drivers })
    log.migrated(['001'])
    log.listening({ address: 'http://localhost:3005', drivers })
    log.dependency('redis', 'down', new Error('ECONNREFUSED'))
    log.dependency('redis', 'up')
    log.swept({ finished: 1, expired: 0 })
    log.memoryHigh({ residentBytes: 9, limitBytes: 10 })
    log.background('sweep', new Error('x'))
    log.stopping('SIGTERM')
    log.stopPhase('http', 1)
    log.stopPhase('engine', 2, new Error('late'))
    log.stopped(3)
    log.fatal(new Error('y'))
    assert.deepEqual(
      lines().map(({ level, event }) => `${level} ${event}`),
      [
        'warn config.warning',
        'info process.starting',
        'info database.migrated',
        'info process.listening',
        'warn dependency.down',
        'info dependency.up',
        'info uploads.swept',
        'warn memory.high',
        'error background.failed',
        'info process.stopping',
        'debug process.stop_phase',
        'warn process.stop_phase',
        'info process.stopped',
        'fatal process.fatal',
      ],
    )
    assert.equal(lines()[1]?.embedded, false)
  })
})

describe('errors', () => {
  const failure = (error: UploadError) => {
    const { log, last } = capture()
    log.http.failure(error, REQUEST)
    return last()
  }

  test('what nobody foresaw has a stack, down to its cause', () => {
    const line = failure(uploadError('internal', 'Unforeseen failure', { cause: new TypeError('x is undefined') }))
    assert.equal(line.level, 'error')
    assert.match(String(line.err?.stack), /log\.test\.ts/)
    const cause = line.err?.cause as Record<string, unknown>
    assert.deepEqual([cause.type, cause.message], ['TypeError', 'x is undefined'])
    assert.match(String(cause.stack), /TypeError/)
  })

  test('a dependency that is away has none, and keeps its cause', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
    const line = failure(uploadError('store_unavailable', 'The store did not answer', { cause, facts: { tries: 3 } }))
    assert.deepEqual(line.err, {
      type: 'UploadError',
      message: 'The store did not answer',
      code: 'store_unavailable',
      facts: { tries: 3 },
      cause: { type: 'Error', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
    })
    assert.deepEqual([line.level, line.requestId], ['warn', 'r1'])
  })

  test("drivers' objects are stripped", () => {
    const { log, texts, last } = capture()
    const driver = Object.assign(new Error('Access Denied'), {
      code: 'AccessDenied',
      $metadata: { httpStatusCode: 403, requestId: 'q1', attempts: 3 },
      $response: { body: new Socket(), headers: { 'x-amz-id-2': 'leak' } },
      command: { name: 'set', args: ['leak'] },
      client: { connectionParameters: { password: 'leak' } },
    })
    log.background('write', driver)
    const { stack, ...err } = last().err ?? {}
    assert.equal(typeof stack, 'string')
    assert.deepEqual(err, {
      type: 'Error',
      message: 'Access Denied',
      code: 'AccessDenied',
      status: 403,
      requestId: 'q1',
    })
    assert.ok(!texts.join('').includes('leak'))
  })

  test('fields that are no plain data are named, not written', () => {
    const { log, last } = capture()
    const circular: Record<string, unknown> = {
      socket: new Socket(),
      at: new Date(0),
      many: [1n, () => 1],
      deep: { a: { b: { c: { d: 1 } } } },
    }
    circular.self = circular
    log.child('x').info({ circular }, 'fields')
    const logged = last().circular as Record<string, unknown>
    assert.equal(logged.socket, '[Socket]')
    assert.equal(logged.at, '1970-01-01T00:00:00.000Z')
    assert.deepEqual(logged.many, ['1', '[function]'])
  })

  test('a chain of causes that runs in a circle ends', () => {
    const { log, last } = capture()
    const error = new Error('round')
    error.cause = error
    log.fatal(error)
    assert.equal(last().err?.message, 'round')
  })

  test('an error alone, and one in an aggregate, are handled like the rest', () => {
    const { log, lines } = capture()
    const logger = log.child('x')
    logger.error(Object.assign(new Error('alone'), { client: { password: 'leak' } }))
    logger.error({ err: new AggregateError([new Error('first')], 'all failed') }, 'many')
    assert.equal(lines()[0]?.err?.client, undefined)
    assert.deepEqual(lines()[1]?.err?.errors, [{ type: 'Error', message: 'first' }])
  })
})

describe('secrets', () => {
  test('fields with the name of a secret are hidden at every depth', () => {
    const { log, texts } = capture()
    log.child('x').info(
      {
        headers: { authorization: 'leak', Cookie: 'leak', 'set-cookie': ['leak'], accept: 'text/html' },
        s3: { accessKeyId: 'leak', secretAccessKey: 'leak', sessionToken: 'leak', bucket: 'b' },
        env: { JWT_SECRET: 'leak', S3_SECRET_ACCESS_KEY: 'leak', DB_PASSWORD: 'leak', S3_ACCESS_KEY_ID: 'leak' },
        password: 'leak',
        absent: { password: null },
      },
      'fields',
    )
    const text = texts.join('')
    assert.ok(!text.includes('leak'), text)
    assert.ok(text.includes('text/html') && text.includes('"bucket":"b"'))
  })

  test('and texts that look like one, wherever they stand', () => {
    const { log, texts, lines } = capture()
    const said = [
      'GET /api/v1/uploads?token=leak-1&limit=3',
      'https://s3/x?X-Amz-Credential=leak/2&X-Amz-Signature=leak3&x=1',
      'connect postgres://app:leak4@db:5432/x failed',
      'redis+sentinel://:leak5@h1:1,h2:2/m',
      'Authorization: Bearer leak6.leak6.leak6',
    ]
    for (const text of said) log.child('x').info({ url: text, list: [text], err: new Error(text) }, text)
    assert.ok(!texts.join('').includes('leak'), texts.join(''))
    assert.equal(lines().length, said.length)
    assert.equal(lines()[0]?.msg, 'GET /api/v1/uploads?token=[hidden]&limit=3')
  })

  test('other texts stay as they are', () => {
    for (const text of [
      'https://uploads.example.com/api/v1/uploads/1?limit=2',
      'mail ann@example.com',
      'a token= b',
      'broken?',
    ]) {
      assert.equal(scrub(text), text)
    }
  })
})
