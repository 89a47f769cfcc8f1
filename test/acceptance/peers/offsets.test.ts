/** Offsets: what was acknowledged is never taken back, and no offset counts what is not there. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { resume } from '../support/outcome.ts'
import { pathOf, sampleBytes } from '../support/tus.ts'
import { type Instance, killAt, MIB, ofUpload, PART, type S3Target, s3Target } from './target.ts'

const LONG = process.env.TEST_LONG === '1'
/** Three PATCHes of a MiB: none of them fills a part. */
const SMALL = sampleBytes(3 * MIB, 'peers-small')
const LARGE = sampleBytes(3 * PART + 2 * MIB, 'peers-large')

describe('offsets', () => {
  let target: S3Target
  let standing: Instance
  before(async () => {
    target = await s3Target({ FINISH_WAIT: '2s', SWEEP_EVERY: '500ms' })
    standing = await target.start()
  })
  after(() => target?.remove())
  afterEach(() => {
    target.proxy.before = undefined
    target.proxy.after = undefined
  })

  const patchMib = ({ tus }: Instance, path: string, n: number) =>
    tus.patch(path, n * MIB, SMALL.subarray(n * MIB, (n + 1) * MIB))

  /** An upload with its first MiB acknowledged. */
  const begun = async (): Promise<string> => {
    const path = await standing.tus.create({ length: SMALL.length })
    assert.equal((await patchMib(standing, path, 0)).status, 204)
    return path
  }

  const neverBelow = async (path: string, acknowledged: number, when: string): Promise<void> => {
    const offset = await standing.tus.offset(path)
    assert.ok(offset >= acknowledged, `the offset went from ${acknowledged} to ${offset}, ${when}`)
  }

  // plain @tus/server 2.4.5 + s3-store 2.0.7: the offset went from 1048576 to 0, killed before request 7 of 14 (after `.part` was
  // deleted and before its bytes were stored again).
  test('R5, fault 1, N1: killed at each S3 request of small PATCHes, no acknowledged byte is taken back', async (t) => {
    const clean = await begun()
    target.proxy.reset()
    assert.equal((await patchMib(standing, clean, 1)).status, 204)
    assert.equal((await patchMib(standing, clean, 2)).status, 204)
    const places = target.proxy.calls.filter((call) => call.key.includes(clean.split('/').at(-1) ?? '?')).length
    assert.ok(places >= 2, `${places} requests`)
    for (let place = 0; place < places; place++) {
      for (const when of LONG ? (['before', 'applied'] as const) : (['before'] as const)) {
        const [path, victim] = await Promise.all([begun(), target.start()])
        let acknowledged = MIB
        let calls = 0
        const isOurs = (key: string) => key.includes(path.split('/').at(-1) ?? '?')
        const { killed } = killAt(target, when, ({ key }) => isOurs(key) && calls++ === place, victim)
        for (const n of [1, 2]) {
          const answer = await patchMib(victim, path, n).catch(() => null)
          if (answer?.status === 204) acknowledged = (n + 1) * MIB
        }
        await killed
        await neverBelow(path, acknowledged, `killed ${when} request ${place + 1} of ${places}`)
        await resume(standing, path, SMALL)
        await standing.tus.contentIs(path, SMALL)
      }
    }
    t.diagnostic(`${places} places`)
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: the offset went from 1048576 to 0; no process had died.
  test('fault 1 a write that the store refuses takes nothing back either', async () => {
    const path = await begun()
    const writes = ofUpload(path, 'PutObject', 'UploadPart')
    target.proxy.before = (call) => (writes(call) ? { kind: 'error', status: 500, code: 'InternalError' } : undefined)
    const answer = await patchMib(standing, path, 1)
    assert.ok(answer.status >= 500, `${answer.status}`)
    target.proxy.before = undefined
    await neverBelow(path, MIB, 'after a refused write')
    await resume(standing, path, SMALL)
    await standing.tus.contentIs(path, SMALL)
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: HEAD says 18874368 when the part is refused: it adds up what is listed, 8 MiB of it are
  // not there. Killed, the upload never ends: PATCH is a 500 for ever (the last part is in the middle: EntityTooSmall).
  for (const end of ['is refused', 'is cut short by kill -9'] as const) {
    test(`fault 2, N2: a part that ${end} while later ones are stored leaves no hole`, async () => {
      const killing = end !== 'is refused'
      const writer = killing ? await target.start() : standing
      const path = await writer.tus.create({ length: LARGE.length })
      const isPart = ofUpload(path, 'UploadPart')
      const laterIsStored = Promise.withResolvers<void>()
      target.proxy.after = (call) => {
        if (isPart(call) && (call.partNumber ?? 0) > 2 && call.storeStatus === 200) laterIsStored.resolve()
        return undefined
      }
      target.proxy.before = async (call) => {
        if (!isPart(call) || call.partNumber !== 2) return undefined
        // Whoever sends one part after another never stores a later one.
        await Promise.race([laterIsStored.promise, sleep(2000, undefined, { ref: false })])
        if (killing) await writer.service.kill()
        return { kind: 'error', status: 500, code: 'InternalError' }
      }
      const answer = await writer.tus.patch(path, 0, LARGE).catch(() => null)
      assert.notEqual(answer?.status, 204)
      target.proxy.before = undefined
      const offset = await standing.tus.offset(path)
      assert.ok(offset <= PART, `HEAD says ${offset}, and nothing after byte ${PART} is stored without a gap`)
      await resume(standing, path, LARGE)
      await standing.tus.contentIs(path, LARGE)
    })
  }

  // plain @tus/server 2.4.5 + s3-store 2.0.7 passes this one; so does tusd 2.10 in tus 1.0. By its source tusd loses the tail in the IETF
  // dialect, which we do not speak yet.
  test('fault 5, N5: the small tail of an upload of unknown length is kept (tus 1.0; we have no IETF dialect)', async () => {
    for (const last of ['with an empty PATCH', 'with its last bytes'] as const) {
      const { tus } = standing
      const bytes = LARGE.subarray(0, PART + 1000)
      const path = await tus.create({ defer: true })
      assert.equal((await tus.patch(path, 0, bytes.subarray(0, PART))).status, 204)
      const from = last === 'with its last bytes' ? PART : bytes.length
      if (from > PART) assert.equal((await tus.patch(path, PART, bytes.subarray(PART))).status, 204)
      const length = { 'Upload-Length': String(bytes.length) }
      const answer = await tus.patch(path, from, bytes.subarray(from), length)
      assert.equal(answer.status, 204, `declared ${last}: ${answer.status} ${answer.body}`)
      await tus.standsAt(path, bytes.length, bytes.length)
      await tus.contentIs(path, bytes)
    }
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: a 500 without Location, and an upload that its client can neither resume nor end.
  test('fault 8 a creation whose bytes could not be stored says where the upload is', async () => {
    const { tus } = standing
    target.proxy.before = ({ operation }) =>
      operation === 'UploadPart' ? { kind: 'error', status: 500, code: 'InternalError' } : undefined
    const bytes = LARGE.subarray(0, PART + MIB)
    const answer = await tus.post({ length: bytes.length, body: bytes })
    assert.ok(answer.status >= 500, `${answer.status}`)
    target.proxy.before = undefined
    const path = pathOf(answer, tus.origin)
    await resume(standing, path, bytes)
    await tus.contentIs(path, bytes)
  })
})
