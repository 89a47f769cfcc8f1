/** Two instances and one upload: what a writer that was replaced still sends changes nothing. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { eventually, sampleBytes, sha256 } from '../support/tus.ts'
import { type Instance, MIB, ONCE, ofUpload, PART, type S3Target, s3Target } from './target.ts'

const LENGTH = 2 * PART + MIB
const OLD = sampleBytes(LENGTH, 'peers-zombie')
const NEW = sampleBytes(LENGTH, 'peers-successor')

describe('two writers', () => {
  let target: S3Target
  let stopped: Instance
  let successor: Instance
  before(async () => {
    target = await s3Target({ SWEEP_EVERY: '500ms' })
    const both = await Promise.all([target.start(), target.start()])
    stopped = both[0]
    successor = both[1]
  })
  after(() => target?.remove())

  // plain @tus/server 2.4.5 + s3-store 2.0.7: the first writer went on with its own bytes, over the acknowledged ones of the second, and
  // finished the upload with them: the offset went from 8388608 to 17825792 by itself.
  test('R10, N6 a writer stopped in its part and replaced cannot put other bytes into the upload', async () => {
    const path = await stopped.tus.create({ length: LENGTH })
    const isFirst = ofUpload(path, 'UploadPart')
    const reached = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    target.proxy.before = async (call) => {
      if (!isFirst(call)) return undefined
      target.proxy.before = undefined
      process.kill(stopped.service.pid, 'SIGSTOP')
      reached.resolve()
      await goOn.promise
      return undefined
    }
    const zombie = stopped.tus.patch(path, 0, OLD).catch(() => null)
    await reached.promise

    const { tus } = successor
    const offset = await tus.offset(path)
    const answer = await tus.patch(path, offset, NEW.subarray(offset, offset + PART))
    assert.equal(answer.status, 204, `${answer.status}: ${answer.body}`)
    assert.equal(Number(answer.headers['upload-offset']), offset + PART)

    process.kill(stopped.service.pid, 'SIGCONT')
    goOn.resolve()
    const [held] = target.proxy.calls.filter(isFirst)
    await eventually(async () => held?.endedAt !== undefined, 'the stopped call has ended')
    await zombie

    assert.equal(await tus.offset(path), offset + PART, 'the offset that the successor was told')
    const rest = await tus.patch(path, offset + PART, NEW.subarray(offset + PART))
    assert.equal(rest.status, 204, `${rest.status}: ${rest.body}`)
    const expected = Buffer.concat([OLD.subarray(0, offset), NEW.subarray(offset)])
    await tus.contentIs(path, expected)
    await stopped.tus.contentIs(path, expected)
    await eventually(async () => (await target.finishes(path)).jobs > 0, 'the application heard of it', 40_000)
    assert.deepEqual(await target.finishes(path), ONCE)
  })

  // plain @tus/server 2.4.5 + s3-store 2.0.7: both are answered 204.
  test('R10 two instances that are sent the same range at once do not both acknowledge it', async () => {
    const path = await stopped.tus.create({ length: LENGTH })
    const answers = await Promise.all([
      stopped.tus.patch(path, 0, OLD.subarray(0, MIB)).catch(() => null),
      successor.tus.patch(path, 0, NEW.subarray(0, MIB)).catch(() => null),
    ])
    const acknowledged = answers.map((answer) => answer?.status === 204)
    assert.ok(!acknowledged[0] || !acknowledged[1], 'both were told that their bytes are kept')
    // One may give way to the other after some of its bytes, so that both are asked to look again.
    const offset = await successor.tus.offset(path)
    const rest = await successor.tus.patch(path, offset, NEW.subarray(offset))
    assert.equal(rest.status, 204, `${rest.status}: ${rest.body}`)
    const meant = [OLD, NEW].filter((_, n) => acknowledged[n] || !acknowledged.includes(true))
    const contents = meant.map((first) => sha256(Buffer.concat([first.subarray(0, offset), NEW.subarray(offset)])))
    assert.ok(contents.includes(await successor.tus.downloaded(path)), "the content is nobody's")
  })
})
