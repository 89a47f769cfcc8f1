/** What is removed by itself: what expired or was left behind, all of it, and nothing else. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CreateMultipartUploadCommand } from '@aws-sdk/client-s3'
import { resume } from '../support/outcome.ts'
import { eventually, idOf, sampleBytes } from '../support/tus.ts'
import { type Instance, IS_PLAIN, killAt, MIB, multiparts, PART, s3Target } from './target.ts'

const BYTES = sampleBytes(PART + MIB, 'peers-sweep')
const SWEEPS = { SWEEP_EVERY: '500ms', ORPHAN_SWEEP_EVERY: '1s', ORPHAN_AGE: '2s' }

describe('sweeps', { concurrency: true }, () => {
  // plain @tus/server 2.4.5 + s3-store 2.0.7: the clean-up aborts both foreign uploads.
  test('R4 a multipart upload of another application in the same bucket survives', async (t) => {
    const target = await s3Target({ ...SWEEPS, UPLOAD_EXPIRES_AFTER: '3s' })
    t.after(() => target.remove())
    const instance = await target.start()
    const { tus } = instance
    const foreign = ['other-app/backup.tar', 'uploads/not-an-id.bin']
    for (const Key of foreign) await target.s3.send(new CreateMultipartUploadCommand({ Bucket: target.bucket, Key }))
    const path = await tus.create({ length: BYTES.length })
    assert.equal((await tus.patch(path, 0, BYTES.subarray(0, PART + 1))).status, 204)
    const ours = async () => (await target.listing()).filter((line) => line.includes(idOf(path)))
    assert.ok(multiparts(await ours()).length > 0, 'there is something to remove')
    await eventually(async () => (await ours()).length === 0, 'what expired is gone', 20_000)
    await orphansLookedFor(instance)
    const left = multiparts(await target.listing()).map((line) => line.split(' ')[1])
    assert.deepEqual(left.sort(), [...foreign].sort())
  })

  /** The sweep for orphans has passed twice from now on. */
  const orphansLookedFor = async ({ service }: Instance): Promise<void> => {
    if (IS_PLAIN) return
    const passed = () => service.logs().split('uploads.orphans_swept').length
    const before = passed()
    await eventually(async () => passed() >= before + 2, 'orphans were looked for', 20_000)
  }

  // plain @tus/server 2.4.5 + s3-store 2.0.7: killed in the creation, its multipart upload is still open after 20 s, and for ever: nothing
  // looks for it. (With an expiry set the clean-up of R4 would abort it, as it aborts everything in the bucket.)
  test('fault 6 a multipart upload whose creator was killed before it wrote down its id is removed', async (t) => {
    const target = await s3Target(SWEEPS)
    t.after(() => target.remove())
    const [victim, standing] = await Promise.all([target.start(), target.start()])
    const created = ({ operation }: { operation: string }) => operation === 'CreateMultipartUpload'
    const { killed } = killAt(target, 'applied', created, victim)
    const known = await begin(victim)
    await killed
    assert.equal(multiparts(await target.listing()).length, 1)
    const path = known ?? (await standing.tus.create({ length: BYTES.length }))
    await resume(standing, path, BYTES)
    await standing.tus.contentIs(path, BYTES)
    await eventually(async () => multiparts(await target.listing()).length === 0, 'nothing is left open', 20_000)
  })

  /** Sends an upload until the process dies; its path, if the client got one. */
  const begin = async ({ tus }: Instance): Promise<string | null> => {
    const path = await tus.create({ length: BYTES.length }).catch(() => null)
    if (path) assert.equal(await tus.patch(path, 0, BYTES).catch(() => null), null)
    return path
  }
})
