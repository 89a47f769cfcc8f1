/** Redis, Postgres or S3 away: what each verb answers meanwhile, and that uploads go on where they were. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { type Backend, productionBackend, type Service, storeNamed } from './support/backend.ts'
import { clientOf } from './support/client.ts'
import { type Gate, gateTo } from './support/gate.ts'
import { cameThrough, resume } from './support/outcome.ts'
import { ofMethod, type Recorder, recorderTo } from './support/recorder.ts'
import { eventually, pathOf, sampleBytes, UPLOADS } from './support/tus.ts'
import type { Answer } from './support/wire.ts'

const UNKNOWN = `${UPLOADS}/01890a5d-ac96-774b-bcce-b302099a8057`
const WITHIN_MS = 20_000
const OUTAGE_MS = 6000
const MIB = 1024 * 1024
const BYTES = sampleBytes(10 * MIB, 'head-never-5xx')

type Dependency = 'redis' | 'postgres' | 's3'
const DEPENDENCIES: readonly Dependency[] = ['redis', 'postgres', 's3']

function mayAnswerHead(answer: Answer, what: string): void {
  const { status, headers } = answer
  assert.ok([200, 204, 404, 410, 423].includes(status), `HEAD of ${what} answered ${status}`)
  if (status === 423) assert.ok(Number(headers['retry-after']) >= 0, `a 423 for ${what} without Retry-After`)
  assert.equal(headers['upload-offset'] !== undefined, status === 200 || status === 204, what)
  assert.ok(answer.tookMs < WITHIN_MS, `HEAD of ${what} took ${answer.tookMs} ms`)
}

function isUnavailable(answer: Answer, what: string): void {
  assert.equal(answer.status, 503, `${what} answered ${answer.status}: ${answer.body}`)
  assert.ok(Number(answer.headers['retry-after']) >= 0, `a 503 for ${what} without Retry-After`)
}

interface Standing {
  readonly partial: string
  readonly doomed: string
  readonly finished: string
  readonly terminated: string
}

describe('something is away', () => {
  let backend: Backend
  let service: Service
  let gates: Readonly<Record<Dependency, Gate>>
  let recorder: Recorder
  before(async () => {
    const s3 = storeNamed('seaweedfs')
    backend = await productionBackend(s3)
    const { REDIS_URL = '', DATABASE_URL = '' } = backend.env
    gates = {
      redis: await gateTo(REDIS_URL),
      postgres: await gateTo(DATABASE_URL),
      s3: await gateTo(s3.endpoint),
    }
    service = await backend.start({
      REDIS_URL: gates.redis.url(REDIS_URL),
      DATABASE_URL: gates.postgres.url(DATABASE_URL),
      S3_ENDPOINT: gates.s3.url(s3.endpoint),
    })
    recorder = await recorderTo(() => service.origin)
  })
  after(async () => {
    await recorder?.close()
    await backend?.close()
    await Promise.all(Object.values(gates ?? {}).map((gate) => gate.close()))
  })
  let shut: Gate | null = null
  afterEach(async () => {
    await shut?.open()
    shut = null
  })

  const away = async (dependency: Dependency): Promise<void> => {
    shut = gates[dependency]
    await shut.shut()
  }
  const back = async (): Promise<void> => {
    await shut?.open()
    shut = null
    await eventually(async () => (await service.tus.post({ length: 1 })).status === 201, 'the service is whole', 30_000)
  }
  const standing = async (): Promise<Standing> => {
    const { tus } = service
    const finished = await tus.createWith(5, 'hello')
    const terminated = await tus.createWith(9, 'hello')
    assert.equal((await tus.terminate(terminated)).status, 204)
    await eventually(async () => (await tus.info(finished)).state === 'available', 'post-processing')
    const partial = await tus.createWith(BYTES.length, BYTES.subarray(0, 9 * MIB))
    return { partial, doomed: await tus.createWith(9, 'hello'), finished, terminated }
  }

  for (const dependency of DEPENDENCIES) {
    test(`${dependency} away: what each verb answers, and the upload goes on afterwards`, async () => {
      const { tus } = service
      const { partial, doomed, finished, terminated } = await standing()
      await away(dependency)
      const [heads, patched, deleted, created, whole] = await Promise.all([
        Promise.all([partial, finished, terminated, UNKNOWN].map((path) => tus.head(path))),
        tus.patch(partial, 9 * MIB, BYTES.subarray(9 * MIB)),
        tus.terminate(doomed),
        tus.post({ length: 5 }),
        tus.post({ length: 5, body: 'hello' }),
      ])
      for (const [index, what] of ['an unfinished upload', 'a finished one', 'a terminated one', 'none'].entries()) {
        const answer = heads[index]
        assert.ok(answer)
        mayAnswerHead(answer, what)
      }
      if (dependency === 'redis') {
        assert.equal(heads[0]?.status, 423)
        assert.equal(heads[1]?.status, 200, 'a finished upload is answered from its row')
        assert.equal(created.status, 201)
        assert.equal(whole.status, 201)
        await tus.contentIs(pathOf(whole, service.origin), 'hello')
      } else {
        isUnavailable(whole, 'a whole file')
        if (dependency === 'postgres') isUnavailable(created, 'a creation')
      }
      isUnavailable(patched, 'PATCH')
      if (dependency !== 's3' || deleted.status !== 204) isUnavailable(deleted, 'DELETE')
      await back()
      assert.ok((await tus.offset(partial)) >= 9 * MIB)
      await resume(service, partial, BYTES)
      await cameThrough(backend, service, partial, BYTES)
    })

    test(`${dependency} away for ${OUTAGE_MS} ms: tus-js-client sends nothing acknowledged twice`, async () => {
      const from = recorder.requests.length
      const run = clientOf(recorder.origin, BYTES, { chunkSize: MIB })
      let reopened: Promise<void> = Promise.resolve()
      run.upload.options.onChunkComplete = (_size, bytesAccepted) => {
        if (bytesAccepted !== 3 * MIB) return
        reopened = away(dependency).then(
          () => new Promise((resolve) => setTimeout(() => void back().then(resolve), OUTAGE_MS)),
        )
      }
      run.upload.start()
      const path = await run.done
      await reopened
      const requests = recorder.requests.slice(from)
      assert.equal(requests.filter(({ method }) => method === 'POST').length, 1, 'the client began anew')
      assert.ok(
        requests.some(({ status }) => (status ?? 0) >= 400),
        'the outage was not noticed at all',
      )
      let acknowledged = 0
      for (const { method, headers, answer, status } of requests) {
        if (method === 'PATCH') {
          assert.ok(
            Number(headers['upload-offset']) >= acknowledged,
            `${headers['upload-offset']} after ${acknowledged}`,
          )
        }
        if (status === 200 || status === 204)
          acknowledged = Math.max(acknowledged, Number(answer['upload-offset'] ?? 0))
      }
      for (const head of ofMethod(recorder, 'HEAD')) assert.ok([200, 423].includes(head.status ?? 0), `${head.status}`)
      await cameThrough(backend, service, path, BYTES)
    })
  }
})
