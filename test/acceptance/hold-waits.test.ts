/**
 * While a hold does not come, every request for the upload is answered 423 with Retry-After, never 5xx: its holder stands
 * still (SIGSTOP) and its lease runs for a minute. When it goes on it hands over what it had.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { freshWorld, type RunningService, startService, type World } from '../support/service.ts'
import { sampleBytes, Tus } from './support/tus.ts'

const LENGTH = 3000
const BYTES = sampleBytes(LENGTH, 'waits')

let world: World
let holder: RunningService
let other: RunningService

before(async () => {
  world = await freshWorld()
  const env = { ...world.env, HOLD_LEASE: '60s' }
  ;[holder, other] = await Promise.all([
    startService({ mode: 'production', env }),
    startService({ mode: 'production', env }),
  ])
})
after(async () => {
  process.kill(holder.pid, 'SIGCONT')
  await Promise.all([holder.kill(), other.kill()])
  await world.remove()
})

test('a holder that stands still: PATCH, HEAD and DELETE are 423 with Retry-After', async () => {
  const [mine, theirs] = [new Tus(holder.url), new Tus(other.url)]
  const path = await mine.createWith(LENGTH, BYTES.subarray(0, 1000))
  const open = await mine.stalled(path, 1000, 2000, BYTES.subarray(1000, 1500))
  // Asked until the holder has stored what it got: now it has the hold, and goes on holding.
  while ((await theirs.offset(path)) < 1500);
  process.kill(holder.pid, 'SIGSTOP')

  const requests = [
    ['PATCH', () => theirs.patch(path, 1500, BYTES.subarray(1500))],
    ['HEAD', () => theirs.head(path)],
    ['DELETE', () => theirs.terminate(path)],
    ['PATCH again, beside them', () => theirs.patch(path, 1500, BYTES.subarray(1500))],
  ] as const
  const answers = await Promise.all(requests.map(async ([name, ask]) => ({ name, answer: await ask() })))
  for (const { name, answer } of answers) {
    assert.equal(answer.status, 423, `${name} was answered ${answer.status}: ${answer.body}`)
    assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/, name)
    assert.equal(answer.headers['upload-offset'], undefined, name)
  }

  process.kill(holder.pid, 'SIGCONT')
  const offset = await theirs.offset(path)
  assert.equal(offset, 1500)
  let status = 0
  for (let attempt = 0; status !== 204 && attempt < 5; attempt++) {
    ;({ status } = await theirs.patch(path, offset, BYTES.subarray(offset)))
  }
  assert.equal(status, 204)
  open.socket.destroy()
  const answer = await fetch(`${other.url}${path}`)
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), BYTES)
})
