/** What every driver of the coordination port must do; run by each driver's test. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { newUploadId } from '../uploads/id.ts'
import type { Coordination, Message, Session } from '../uploads/ports/coordination.ts'
import type { Part } from '../uploads/words.ts'

/** A driver under test: two instances that share one state. */
export interface CoordinationUnderTest {
  readonly one: Coordination
  readonly two: Coordination
  /** Loses everything, as FLUSHALL does. */
  forget(): Promise<void>
  /** Ends what the test opened (the instances included). */
  end(): Promise<void>
}

const LONG = 60_000
const SHORT = 150

const EMPTY: Session = { generation: 1, multipartId: null, start: 0, offset: 0, tails: [], tailed: false }
const FULL: Session = {
  generation: 3,
  multipartId: 'mpu:"1"',
  start: 5,
  offset: 8_388_700,
  tails: [
    { generation: 3, token: 'aa11', start: 8_388_613, end: 8_388_650 },
    { generation: 3, token: 'bb22', start: 8_388_650, end: 8_388_700 },
  ],
  tailed: true,
}

function part(number: number, etag = `"etag-${number}"`): Part {
  return { number, bytes: 8_388_608, etag, crc32: number === 2 ? null : 4_294_967_295 }
}

/** Runs the suite. `open` is called once, before the first test. */
export function coordinationContract(name: string, open: () => Promise<CoordinationUnderTest>): void {
  describe(`coordination: ${name}`, () => {
    let one: Coordination
    let two: Coordination
    let driver: CoordinationUnderTest
    before(async () => {
      driver = await open()
      one = driver.one
      two = driver.two
    })
    after(() => driver.end())
    const pair = () => ({ one, two })
    taking(pair)
    handingOver(pair)
    refusing(pair)
    recording(pair)
    looking(pair)
    losing(pair, () => driver.forget())
    telling(pair)
  })
}

type Pair = () => { one: Coordination; two: Coordination }

function taking(pair: Pair): void {
  test('the first take finds nothing and rebuilds; another instance is told who holds it and for how long', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    assert.deepEqual(await one.take(id, 'a', LONG), { kind: 'rebuild' })
    const answer = await two.take(id, 'b', LONG)
    assert.equal(answer.kind, 'held')
    assert.ok(answer.kind === 'held' && answer.holder === one.instance)
    assert.ok(answer.leaseLeftMs > LONG - 10_000 && answer.leaseLeftMs <= LONG, `${answer.leaseLeftMs} ms left`)
    await one.save(id, 'a', FULL)
    assert.equal((await one.take(id, 'c', LONG)).kind, 'held', 'the same instance with another token waits as well')
  })

  test('twenty take at once: one wins', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    for (const first of ['rebuild', 'clean'] as const) {
      const tokens = Array.from({ length: 20 }, (_, n) => `${first}${n}`)
      const answers = await Promise.all(tokens.map((token, n) => (n % 2 ? one : two).take(id, token, LONG)))
      const kinds = answers.map(({ kind }) => kind)
      assert.equal(kinds.filter((kind) => kind === first).length, 1, kinds.join())
      assert.equal(kinds.filter((kind) => kind === 'held').length, 19, kinds.join())
      const winner = tokens[kinds.indexOf(first)] ?? ''
      assert.equal(await one.save(id, winner, FULL), 'kept')
      assert.equal(await one.release(id, winner, true), 'kept')
    }
  })

  test('a take whose answer was lost may be repeated: no wait for oneself, and never clean', async () => {
    const { one } = pair()
    const id = newUploadId()
    assert.equal((await one.take(id, 'a', LONG)).kind, 'rebuild')
    assert.equal((await one.take(id, 'a', LONG)).kind, 'rebuild')
    await one.save(id, 'a', FULL)
    assert.deepEqual(await one.take(id, 'a', LONG), { kind: 'unclean', session: FULL })
    await one.release(id, 'a', true)
    assert.equal((await one.take(id, 'b', LONG)).kind, 'clean')
    assert.deepEqual(await one.take(id, 'b', LONG), { kind: 'unclean', session: FULL })
    assert.equal(await one.save(id, 'b', EMPTY), 'kept')
  })

  test('a rebuild that was not saved is rebuilt by the next holder', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    await one.take(id, 'a', LONG)
    assert.equal((await two.take(id, 'b', LONG)).kind, 'held')
    assert.equal(await one.release(id, 'a', true), 'kept')
    assert.deepEqual(await two.take(id, 'b', SHORT), { kind: 'rebuild' })
    await sleep(SHORT + 50)
    assert.deepEqual(await one.take(id, 'c', LONG), { kind: 'rebuild' })
    assert.equal(await two.save(id, 'b', FULL), 'other')
  })
}

function handingOver(pair: Pair): void {
  test('a clean release hands the session on, once', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    await one.take(id, 'a', LONG)
    await one.save(id, 'a', FULL)
    assert.equal(await one.release(id, 'a', true), 'kept')
    assert.deepEqual(await two.take(id, 'b', LONG), { kind: 'clean', session: FULL })
    assert.equal(await two.release(id, 'b', false), 'kept')
    assert.deepEqual(await one.take(id, 'c', SHORT), { kind: 'unclean', session: FULL }, 'the clean mark is used up')
  })

  test('a save lets go in the same step when it is told to', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    await one.take(id, 'a', LONG)
    assert.equal(await two.save(id, 'b', FULL, [], true), 'other')
    assert.equal((await two.take(id, 'b', LONG)).kind, 'held', 'somebody else’s save lets nothing go')
    assert.equal(await one.save(id, 'a', FULL, [part(1)], true), 'released')
    assert.deepEqual(await two.peek(id), { kind: 'free', session: FULL })
    assert.equal(await one.save(id, 'a', EMPTY, [], true), 'other', 'once')
    assert.deepEqual(await two.take(id, 'b', LONG), { kind: 'clean', session: FULL })
    assert.deepEqual((await two.parts(id, 'b')).parts, [part(1)])
    assert.equal(await two.save(id, 'b', EMPTY, [], false), 'kept')
    assert.equal((await one.take(id, 'c', LONG)).kind, 'held')
  })

  test('an expired lease is taken over unclean, with the session as it was', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    await one.take(id, 'a', SHORT)
    await one.save(id, 'a', FULL, [part(1)])
    await sleep(SHORT + 50)
    assert.deepEqual(await two.take(id, 'b', LONG), { kind: 'unclean', session: FULL })
    assert.equal(await one.save(id, 'a', EMPTY), 'other')
    assert.deepEqual((await two.parts(id, 'b')).parts, [part(1)])
    assert.deepEqual(await one.take(id, 'c', LONG).then(({ kind }) => kind), 'held')
  })

  test('a renewed lease runs on; a holder that nobody replaced keeps its hold although the lease ran out', async () => {
    const { one, two } = pair()
    const [id, gone, others] = [newUploadId(), newUploadId(), newUploadId()]
    await one.take(id, 'a', SHORT)
    await two.take(others, 'x', LONG)
    const holds = [
      { upload: id, token: 'a' },
      { upload: gone, token: 'a' },
      { upload: others, token: 'a' },
    ]
    assert.deepEqual(await one.renew(holds, LONG), ['kept', 'gone', 'other'])
    await sleep(SHORT + 50)
    assert.equal((await two.take(id, 'b', LONG)).kind, 'held')
    assert.deepEqual(await one.renew(holds.slice(0, 1), 1), ['kept'])
    await sleep(20)
    assert.equal(await one.save(id, 'a', FULL), 'kept')
    assert.deepEqual(await one.renew(holds.slice(0, 1), LONG), ['kept'])
    assert.equal((await two.take(id, 'b', LONG)).kind, 'held')
    assert.deepEqual(await one.renew([], LONG), [])
  })

  test('a thousand holds are renewed in one call, in order', async () => {
    const { one } = pair()
    const holds = Array.from({ length: 1000 }, (_, n) => ({ upload: newUploadId(), token: `t${n}` }))
    const mine = holds.filter((_, n) => n % 250 === 0)
    for (const { upload, token } of mine) await one.take(upload, token, LONG)
    const answers = await one.renew(holds, LONG)
    assert.equal(answers.length, 1000)
    assert.deepEqual(
      answers.flatMap((kept, n) => (kept === 'kept' ? [n] : [])),
      [0, 250, 500, 750],
    )
  })
}

function refusing(pair: Pair): void {
  test('a stale token changes nothing', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    await one.take(id, 'a', 1)
    await one.save(id, 'a', FULL, [part(1)])
    await sleep(20)
    await two.take(id, 'b', LONG)
    assert.equal(await one.save(id, 'a', EMPTY, [part(9)]), 'other')
    assert.equal(await one.release(id, 'a', true), 'other')
    assert.equal(await one.drop(id, 'a'), 'other')
    assert.deepEqual(await one.parts(id, 'a'), { kept: 'other', parts: [] })
    assert.deepEqual(await one.renew([{ upload: id, token: 'a' }], 1), ['other'])
    assert.deepEqual(await two.parts(id, 'b'), { kept: 'kept', parts: [part(1)] })
    assert.deepEqual(await two.peek(id), { kind: 'held', holder: two.instance, session: FULL })
  })

  test('after a release the token is worth nothing', async () => {
    const { one } = pair()
    const id = newUploadId()
    await one.take(id, 'a', LONG)
    await one.save(id, 'a', FULL)
    await one.release(id, 'a', true)
    assert.equal(await one.save(id, 'a', EMPTY), 'other')
    assert.equal(await one.release(id, 'a', false), 'other')
    assert.equal(await one.drop(id, 'a'), 'other')
    assert.deepEqual(await one.peek(id), { kind: 'free', session: FULL })
  })

  test('drop forgets session and parts', async () => {
    const { one } = pair()
    const id = newUploadId()
    await one.take(id, 'a', LONG)
    await one.save(id, 'a', FULL, [part(1)])
    assert.equal(await one.drop(id, 'a'), 'kept')
    assert.equal(await one.drop(id, 'a'), 'gone')
    assert.deepEqual(await one.peek(id), { kind: 'missing' })
    assert.deepEqual(await one.take(id, 'b', LONG), { kind: 'rebuild' })
    await one.save(id, 'b', FULL)
    assert.deepEqual((await one.parts(id, 'b')).parts, [])
  })
}

function recording(pair: Pair): void {
  test('a session comes back as it was saved, the largest numbers included', async () => {
    const { one } = pair()
    const id = newUploadId()
    const max = Number.MAX_SAFE_INTEGER
    const huge: Session = {
      generation: max,
      multipartId: null,
      start: max - 1,
      offset: max,
      tails: [{ generation: max, token: 'ff', start: max - 2, end: max }],
      tailed: true,
    }
    await one.take(id, 'a', LONG)
    for (const session of [EMPTY, FULL, huge]) {
      assert.equal(await one.save(id, 'a', session), 'kept')
      assert.deepEqual(await one.peek(id), { kind: 'held', holder: one.instance, session })
    }
    const big: Part = { number: 10_000, bytes: max, etag: 'a:b:"c"', crc32: 0 }
    const sealed: Part = { ...big, number: 9, stored: { bytes: max, crc32: 0xffffffff } }
    const unknown: Part = { ...big, number: 8, crc32: null, stored: { bytes: 40, crc32: null } }
    await one.save(id, 'a', huge, [big, sealed, unknown])
    assert.deepEqual(await one.parts(id, 'a'), { kept: 'kept', parts: [unknown, sealed, big] })
  })

  test('parts add up by number over saves and holders, and go with their multipart upload', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    await one.take(id, 'a', LONG)
    await one.save(id, 'a', FULL, [part(10), part(2)])
    await one.save(id, 'a', FULL)
    await one.save(id, 'a', FULL, [part(1), part(2, '"newer"')])
    assert.deepEqual((await one.parts(id, 'a')).parts, [part(1), part(2, '"newer"'), part(10)])
    await one.release(id, 'a', true)
    await two.take(id, 'b', LONG)
    await two.save(id, 'b', FULL, [part(3)])
    assert.deepEqual(
      (await two.parts(id, 'b')).parts.map(({ number }) => number),
      [1, 2, 3, 10],
    )
    await two.save(id, 'b', { ...FULL, multipartId: 'mpu-2' }, [part(1, '"other"')])
    assert.deepEqual((await two.parts(id, 'b')).parts, [part(1, '"other"')])
    await two.save(id, 'b', { ...FULL, multipartId: null })
    assert.deepEqual((await two.parts(id, 'b')).parts, [])
  })

  test('a rebuild saves many parts at once', async () => {
    const { one } = pair()
    const id = newUploadId()
    const parts = Array.from({ length: 10_000 }, (_, n) => part(n + 1))
    await one.take(id, 'a', LONG)
    await one.save(id, 'a', FULL, parts)
    assert.deepEqual((await one.parts(id, 'a')).parts, parts)
  })
}

function looking(pair: Pair): void {
  test('peek takes nothing and says how it stands', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    assert.deepEqual(await two.peek(id), { kind: 'missing' })
    await one.take(id, 'a', LONG)
    assert.deepEqual(await two.peek(id), { kind: 'held', holder: one.instance, session: null })
    await one.release(id, 'a', true)
    assert.deepEqual(await two.peek(id), { kind: 'dead' }, 'a rebuild that was not saved has nothing to show')
    await two.take(id, 'a', LONG)
    await one.save(id, 'a', FULL)
    assert.deepEqual(await one.peek(id), { kind: 'held', holder: two.instance, session: FULL })
    await one.release(id, 'a', false)
    assert.deepEqual(await two.peek(id), { kind: 'dead' })
    await one.take(id, 'b', 1)
    await sleep(20)
    assert.deepEqual(await two.peek(id), { kind: 'dead' })
    await one.save(id, 'b', FULL)
    await one.release(id, 'b', true)
    assert.deepEqual(await two.peek(id), { kind: 'free', session: FULL })
    assert.deepEqual(await two.take(id, 'c', LONG), { kind: 'clean', session: FULL })
  })
}

function losing(pair: Pair, forget: () => Promise<void>): void {
  test('everything lost in mid-hold: the holder is told, and does not come back', async () => {
    const { one, two } = pair()
    const id = newUploadId()
    await one.take(id, 'a', LONG)
    await one.save(id, 'a', FULL, [part(1)])
    await forget()
    assert.equal(await one.save(id, 'a', FULL), 'gone')
    assert.equal(await one.release(id, 'a', true), 'gone')
    assert.equal(await one.drop(id, 'a'), 'gone')
    assert.deepEqual(await one.parts(id, 'a'), { kept: 'gone', parts: [] })
    assert.deepEqual(await one.renew([{ upload: id, token: 'a' }], LONG), ['gone'])
    assert.deepEqual(await one.peek(id), { kind: 'missing' })
    assert.deepEqual(await two.take(id, 'b', LONG), { kind: 'rebuild' })
    assert.equal(await one.save(id, 'a', FULL), 'other')
  })
}

function telling(pair: Pair): void {
  test('messages reach the instance they are for, and only that one', async () => {
    const { one, two } = pair()
    const upload = newUploadId()
    const heard: [string, Message][] = []
    let wake = () => {}
    const listen = (who: Coordination) =>
      who.listen((message) => {
        heard.push([who.instance, message])
        wake()
      })
    await Promise.all([listen(one), listen(two)])
    const said: [string, Message][] = [
      [two.instance, { type: 'release', upload, from: one.instance }],
      [one.instance, { type: 'flush', upload, from: one.instance }],
      [two.instance, { type: 'free', upload }],
      [one.instance, { type: 'offset', upload, offset: Number.MAX_SAFE_INTEGER }],
    ]
    for (const [n, [to, message]] of said.entries()) {
      const arrived = new Promise<void>((resolve) => {
        wake = resolve
      })
      await one.tell(to, message)
      if (heard.length === n) await arrived
    }
    assert.deepEqual(heard, said)
    await one.tell('nobody', { type: 'free', upload })
    await assert.rejects(
      one.listen(() => {}),
      { code: 'internal' },
    )
  })

  test('it answers', async () => {
    await pair().one.ping()
    await pair().one.ping(AbortSignal.timeout(10_000))
    await assert.rejects(pair().one.ping(AbortSignal.abort(new Error('enough'))), /enough/)
  })
}
