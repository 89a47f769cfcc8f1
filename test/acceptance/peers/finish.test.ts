/** The end of an upload: a client hears "whole" when there is an object, and the application hears it once. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { uploaded } from '../support/client.ts'
import { resume } from '../support/outcome.ts'
import { eventually, sampleBytes } from '../support/tus.ts'
import {
  headOf,
  type Instance,
  IS_PLAIN,
  killAt,
  MIB,
  ONCE,
  ofUpload,
  PART,
  type S3Target,
  s3Target,
} from './target.ts'

const BYTES = sampleBytes(PART + MIB, 'peers-finish')

describe('the finish', () => {
  let target: S3Target
  let standing: Instance
  before(async () => {
    target = await s3Target({ FINISH_WAIT: '1s', SWEEP_EVERY: '500ms', S3_REQUEST_TIMEOUT: '60s' })
    standing = await target.start()
  })
  after(() => target?.remove())
  afterEach(() => {
    target.proxy.before = undefined
    target.proxy.after = undefined
  })

  /** The first part of an upload is stored. */
  const begun = async ({ tus }: Instance): Promise<string> => {
    const path = await tus.create({ length: BYTES.length })
    assert.equal((await tus.patch(path, 0, BYTES.subarray(0, PART))).status, 204)
    return path
  }

  /** HEAD does not say that every byte is there; 423 says nothing. */
  const isNotWhole = async (path: string): Promise<void> => {
    const head = await headOf(standing.tus, path)
    if (typeof head === 'number') assert.ok(head < BYTES.length, `HEAD says ${head} of ${BYTES.length}`)
    else assert.equal(head.status, 423)
  }

  // plain @tus/server 2.4.5 + s3-store 2.0.7: right after the abort HEAD says 9437184 of 9437184.
  test('R2, fault 4, N4: a multipart upload that somebody aborted reads gone, not finished', async () => {
    const path = await begun(standing)
    assert.equal(await target.abortMultiparts(path), 1)
    await isNotWhole(path)
    const rest = await standing.tus.patch(path, PART, BYTES.subarray(PART))
    // 423: look again. Whoever looks hears that it is gone.
    assert.ok([410, 423].includes(rest.status), `PATCH answered ${rest.status}: ${rest.body}`)
    await eventually(async () => (await standing.tus.head(path)).status !== 423, 'HEAD says what became of it')
    assert.deepEqual(await headOf(standing.tus, path), { status: 410 })
    assert.equal((await standing.tus.send('GET', path)).status, 410)
    assert.equal((await target.finishes(path)).events, 0)
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: the PATCH is a 500, and HEAD says 9437184 of 9437184 with no object there.
  test('R3, fault 3, N3: a Complete that fails does not look like a finished upload, and the next PATCH does it', async () => {
    const path = await begun(standing)
    const isComplete = ofUpload(path, 'CompleteMultipartUpload')
    let refused = 0
    target.proxy.before = (call) => {
      if (!isComplete(call)) return undefined
      refused++
      return { kind: 'error', status: 500, code: 'InternalError' }
    }
    const last = await standing.tus.patch(path, PART, BYTES.subarray(PART))
    assert.ok(refused > 0)
    assert.notEqual(last.status, 204)
    await isNotWhole(path)
    target.proxy.before = undefined
    const asks = async () => (await standing.tus.patch(path, BYTES.length, null)).status === 204
    await eventually(asks, 'an empty PATCH at the end finishes it', 20_000)
    await standing.tus.contentIs(path, BYTES)
    assert.equal((await target.finishes(path)).events, 1)
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: HEAD says that it is whole, so the client stops; no object, ever.
  test('R3, fault 3, N3: killed just before Complete, the next HEAD finishes it', async () => {
    const victim = await target.start()
    const path = await begun(victim)
    const { killed } = killAt(target, 'before', ofUpload(path, 'CompleteMultipartUpload'), victim)
    const last = victim.tus.patch(path, PART, BYTES.subarray(PART)).catch(() => null)
    await killed
    assert.equal(await last, null)
    await isNotWholeUntilItIs(path)
    await standing.tus.contentIs(path, BYTES)
  })

  /** Asks until HEAD says that it is whole; at that moment there is an object. */
  const isNotWholeUntilItIs = async (path: string): Promise<void> => {
    const offset = await resume(standing, path, BYTES)
    assert.equal(offset, BYTES.length)
    const objects = (await target.listing()).filter((line) => line.endsWith(` ${BYTES.length}`))
    assert.ok(
      objects.some((line) => line.includes(path.split('/').at(-1) ?? '')),
      'HEAD says whole, and there is no object of that length',
    )
  }

  // plain @tus/server 2.4.5 + s3-store 2.0.7: HEAD says that it is whole, and onUploadFinish is never called.
  test('R6, N14: killed after the store completed it, the application hears of the finish, and once', async () => {
    const victim = await target.start({ WORKER_IN_SERVER: 'false' })
    const path = await begun(victim)
    const { killed } = killAt(target, 'applied', ofUpload(path, 'CompleteMultipartUpload'), victim)
    const last = victim.tus.patch(path, PART, BYTES.subarray(PART)).catch(() => null)
    await killed
    assert.equal(await last, null)
    await resume(standing, path, BYTES)
    await heardOnce(path)

    // and when the client has its answer before the process dies
    const answered = await target.start({ WORKER_IN_SERVER: 'false' })
    const other = await begun(answered)
    assert.equal((await answered.tus.patch(other, PART, BYTES.subarray(PART))).status, 204)
    await answered.service.kill()
    await heardOnce(other)
    assert.deepEqual(await target.finishes(path), ONCE)
  })

  const heardOnce = async (path: string): Promise<void> => {
    await eventually(async () => (await target.finishes(path)).jobs > 0, 'the application heard of it', 40_000)
    assert.deepEqual(await target.finishes(path), ONCE)
    await standing.tus.contentIs(path, BYTES)
  }

  // plain @tus/server 2.4.5 + s3-store 2.0.7 passes this one: it answers when Complete has ended, however long that takes. tusd 2.10 does not,
  // by its source: its write deadline is over after 120 s. Here a request waits a second (FINISH_WAIT), and Complete takes four.
  test('N10 a Complete that outlasts what a request waits for ends well for the client', async () => {
    const delayMs = 4_000
    const isSlow = ({ operation }: { operation: string }) => operation === 'CompleteMultipartUpload'
    target.proxy.before = async (call) => {
      if (isSlow(call)) await sleep(delayMs)
      return undefined
    }
    const started = Date.now()
    const statuses = new Set<number>()
    const path = await uploaded(standing.tus.origin, BYTES, {
      onAfterResponse: (_, answer) => void statuses.add(answer.getStatus()),
    })
    assert.ok(Date.now() - started >= delayMs, 'Complete was slow')
    assert.deepEqual(
      [...statuses].filter((status) => status >= 500),
      [],
    )
    if (!IS_PLAIN) assert.ok(statuses.has(423), 'the request was answered before Complete was')
    await standing.tus.contentIs(path, BYTES)
    assert.equal((await target.finishes(path)).events, 1)
  })
})
