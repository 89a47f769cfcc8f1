/** Many readers of one large file: each gets it, at its own pace, and the process holds none of it. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { onStage } from './settings/stage.ts'
import { residentMiB } from './support/crowd.ts'
import { sampleBytes, sha256, Tus } from './support/tus.ts'

const MIB = 1024 * 1024
const FILE = sampleBytes(96 * MIB, 'many-readers')
const SLOW = 24
const FAST = 3

async function open(url: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const [answer]: IncomingMessage[] = await once(get(url, { agent: false, headers }), 'response')
  assert.ok(answer)
  return answer
}

async function hashOf(answer: IncomingMessage): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of answer) hash.update(chunk)
  return hash.digest('hex')
}

test(`${FAST} readers get their file while ${SLOW} stand still in the middle of it, and nothing of it stays in memory`, async () => {
  await onStage(async (stage) => {
    const { url, pid } = await stage.start({ WORKER_IN_SERVER: 'false', IDLE_TIMEOUT: '10m' })
    const tus = new Tus(url)
    const path = await tus.create({ length: FILE.length })
    assert.equal((await tus.patch(path, 0, FILE)).status, 204)
    const file = `${url}${path}`
    // Once, so that what the first download needs is there.
    assert.equal(await hashOf(await open(file)), sha256(FILE))
    const before = await residentMiB(pid)

    const slow = await Promise.all(Array.from({ length: SLOW }, () => open(file)))
    for (const answer of slow) {
      await once(answer, 'readable')
      answer.pause()
    }
    const seen: number[] = []
    const look = setInterval(async () => seen.push(await residentMiB(pid)), 50)
    const fast = await Promise.all(Array.from({ length: FAST }, async () => hashOf(await open(file))))
    assert.deepEqual(new Set(fast), new Set([sha256(FILE)]))
    const half = FILE.length / 2
    const range = await open(file, { Range: `bytes=${half}-` })
    assert.equal(range.statusCode, 206)
    assert.equal(await hashOf(range), sha256(FILE.subarray(half)))
    clearInterval(look)
    const growth = Math.max(...seen) - before
    // Garbage that waits to be collected, mostly (up to 120 MiB were seen); a copy for each reader would be 2,592.
    assert.ok(
      growth < (2 * FILE.length) / MIB,
      `it grew by ${Math.round(growth)} MiB while ${SLOW + FAST} read ${FILE.length / MIB} MiB`,
    )

    const [first, ...others] = slow
    assert.ok(first)
    for (const answer of others) answer.destroy()
    assert.equal(await hashOf(first), sha256(FILE), 'a slow reader gets everything, too')
  })
})
