/**
 * A client that asks before it goes on, at the other instance when one does not answer, and that never forgets what it
 * was told: an offset that goes back fails the test wherever it is heard.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CreateOptions, idOf, patchHeaders, Tus } from '../../support/tus.ts'
import { type Answer, Wire } from '../../support/wire.ts'

const PATIENCE_MS = 90_000
/** What a PATCH or a POST may hear while something is away or somebody else is at it. */
const PASSING = [409, 423, 503]

export class Client {
  readonly #origins: () => readonly string[]
  #turn = 0
  /** The largest offset heard of each upload. */
  readonly #heard = new Map<string, number>()

  constructor(origins: () => readonly string[]) {
    this.#origins = origins
  }

  /** Every upload that this client was told of. */
  get paths(): string[] {
    return [...this.#heard.keys()]
  }

  get tus(): Tus {
    return this.#instance(this.#turn)
  }

  #instance(turn: number): Tus {
    const origins = this.#origins()
    return new Tus(origins[turn % origins.length] ?? '')
  }

  #hear(path: string, answer: Answer): number | null {
    const said = answer.headers['upload-offset']
    const before = this.#heard.get(path) ?? 0
    this.#heard.set(path, before)
    if (said === undefined) return null
    assert.ok(Number(said) >= before, `${path}: a ${answer.status} says ${said} after ${before} was told`)
    this.#heard.set(path, Number(said))
    return Number(said)
  }

  /** Asks until the answer is none of "later"; at the other instance when none comes. */
  async persist<T>(what: string, ask: (tus: Tus) => Promise<T | null>): Promise<T> {
    const deadline = Date.now() + PATIENCE_MS
    let last: unknown = 'later'
    for (;;) {
      try {
        const answer = await ask(this.tus)
        if (answer !== null) return answer
        last = 'later'
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        last = error
        this.#turn += 1
      }
      if (Date.now() > deadline) throw new Error(`no ${what} within ${PATIENCE_MS} ms`, { cause: last })
      await sleep(100)
    }
  }

  /** A new upload; one that a refusal tells of is taken, as its Location says it is there. */
  create(options: CreateOptions): Promise<string> {
    return this.persist('creation', async (tus) => {
      const answer = await tus.post(options)
      assert.ok([201, ...PASSING].includes(answer.status), `POST answered ${answer.status}: ${answer.body}`)
      const { location } = answer.headers
      if (location === undefined) return null
      const path = new URL(location, tus.origin).pathname
      this.#hear(path, answer)
      return path
    })
  }

  /** The final upload of these, asked for again with the same request until it is there. */
  concatenate(paths: readonly string[]): Promise<string> {
    return this.persist('concatenation', async (tus) => {
      const answer = await tus.post({ headers: { 'Upload-Concat': `final;${paths.join(' ')}` } })
      assert.ok([201, 423, 503].includes(answer.status), `POST answered ${answer.status}: ${answer.body}`)
      const { location } = answer.headers
      if (location !== undefined) this.#hear(new URL(location, tus.origin).pathname, answer)
      return answer.status === 201 && location !== undefined ? new URL(location, tus.origin).pathname : null
    })
  }

  /** What a HEAD says; `other`: at the instance that is not being written to. */
  offset(path: string, { other = false } = {}): Promise<number> {
    return this.persist('HEAD', async (tus) => {
      const answer = await (other ? this.#instance(this.#turn + 1) : tus).head(path)
      assert.ok(answer.status === 200 || answer.status === 423, `HEAD answered ${answer.status}`)
      assert.ok(answer.status === 200 || answer.headers['upload-offset'] === undefined, '423 with an offset')
      return answer.status === 200 ? this.#hear(path, answer) : null
    })
  }

  /** Sends what is missing in PATCHes of `patchBytes`. `deferred`: the last one says the length. */
  async complete(path: string, bytes: Buffer, patchBytes: number, { deferred = false } = {}): Promise<void> {
    await this.#until(path, bytes, async (from) => {
      for (let offset = from; offset < bytes.length; ) {
        const end = Math.min(bytes.length, offset + patchBytes)
        const length = deferred && end === bytes.length ? { 'Upload-Length': String(bytes.length) } : {}
        const answer = await this.tus.patch(path, offset, bytes.subarray(offset, end), length)
        const told = this.#taken(path, answer)
        if (told === null) return
        assert.equal(told, end, 'a 204 says where the body ended')
        offset = end
      }
    })
  }

  /** The same in one PATCH, in whose middle HEADs at the other instance look for what is stored of its beginning. */
  async completeWatched(path: string, bytes: Buffer, early: number): Promise<void> {
    await this.#until(path, bytes, async (from) => {
      const wire = await Wire.open(this.tus.origin)
      try {
        const rest = bytes.subarray(from)
        wire.head('PATCH', path, patchHeaders(from, { 'Content-Length': String(rest.length) }))
        wire.write(rest.subarray(0, early))
        let seen = from
        while (seen === from && wire.leftOver === '' && !wire.socket.destroyed && !wire.socket.readableEnded) {
          await sleep(50)
          seen = await this.offset(path, { other: true })
        }
        wire.write(rest.subarray(early))
        this.#taken(path, await wire.answer('PATCH'))
      } finally {
        wire.socket.destroy()
      }
    })
  }

  /** HEAD, then `send` from there, until HEAD says that all is there. */
  async #until(path: string, bytes: Buffer, send: (from: number) => Promise<void>): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS
    for (;;) {
      const offset = await this.offset(path)
      if (offset === bytes.length) return
      assert.ok(Date.now() < deadline, `${path} is at ${offset} of ${bytes.length} after ${PATIENCE_MS} ms`)
      try {
        await send(offset)
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        this.#turn += 1
      }
    }
  }

  /** The offset of a 204; null: it was refused for now. */
  #taken(path: string, answer: Answer): number | null {
    const known = [204, ...PASSING].includes(answer.status)
    assert.ok(known, `PATCH of ${idOf(path)} answered ${answer.status}: ${answer.body}`)
    const told = this.#hear(path, answer)
    return answer.status === 204 ? told : null
  }

  /** The finished file, through the API. */
  content(path: string): Promise<Buffer> {
    return this.persist('download', async (tus) => {
      const answer = await fetch(`${tus.origin}${path}`)
      const body = Buffer.from(await answer.arrayBuffer())
      assert.ok([200, 409, 503].includes(answer.status), `GET answered ${answer.status}: ${body.subarray(0, 300)}`)
      return answer.status === 200 ? body : null
    })
  }
}
