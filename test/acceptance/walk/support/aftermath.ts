/**
 * What a walk leaves behind, looked at when it is over: every upload was finished and processed once, its SHA-256 is
 * the source's, and when the orphan sweep has passed the bucket has their objects and nothing else.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RunningService, startService, type World } from '../../../support/service.ts'
import { eventually, idOf, Tus, UPLOADS } from '../../support/tus.ts'
import { type Insight, productionInsight } from '../../support/views.ts'

export interface Finished {
  readonly path: string
  readonly sha256: string
  /** What happened to it; for failures. */
  readonly how: string
}

const ONCE = ['upload.uploaded', 'upload.processing', 'upload.available']
/** The youngest that the sweep may be told to take, and how often it then comes. */
const SWEEP = { ORPHAN_AGE: '1s', ORPHAN_SWEEP_EVERY: '1s', SWEEP_EVERY: '1s' }

export class Aftermath {
  readonly #world: World
  readonly #insight: Insight
  readonly #finished: Finished[] = []

  constructor(world: World) {
    this.#world = world
    this.#insight = productionInsight(world)
  }

  expect(finished: Finished): void {
    this.#finished.push(finished)
  }

  /** Each of these uploads has one object, and nothing else is in the bucket of them. */
  async isTidy(ids: readonly string[]): Promise<boolean> {
    const listing = await this.#insight.listing()
    return ids.every((id) => {
      const own = listing.filter((line) => line.includes(id))
      return own.length === 1 && own[0]?.startsWith('object ')
    })
  }

  /** Checks all that was expected; the walk's own instances have ended. `env`: other than the world's. */
  async check(env: Readonly<Record<string, string>> = {}): Promise<void> {
    // The lease of the walk's own sweepers is over.
    await this.#insight.db.query("delete from leases where name = 'orphans'")
    // What a queue without its Redis forgot is published again after five minutes: here at once.
    await this.#insight.db.query('update outbox set published_at = null, claimed_until = null where done_at is null')
    const sweeper = await startService({
      mode: 'production',
      env: { ...this.#world.env, ...env, ...SWEEP, HOLD_LEASE: '1s', WORKER_IN_SERVER: 'true' },
    })
    try {
      await this.#processed(sweeper)
      await this.#removeOthers(new Tus(sweeper.url))
      await this.#swept()
    } finally {
      await sweeper.kill()
    }
  }

  async close(): Promise<void> {
    await this.#insight.close()
  }

  /** One finish event, one job of it, one result of that, with the source's SHA-256. */
  async #processed(sweeper: RunningService): Promise<void> {
    const tus = new Tus(sweeper.url)
    for (const { path, sha256, how } of this.#finished) {
      const id = idOf(path)
      const available = async () => (await tus.info(path)).state === 'available'
      await eventually(available, `${path} is processed (${how})`, 60_000)
      assert.equal((await tus.info(path)).sha256, sha256, how)
      const events = await this.#insight.eventsOf(id)
      for (const type of ONCE) assert.equal(events.filter((one) => one === type).length, 1, `${how}: ${events}`)
      await eventually(async () => (await this.#insight.jobsDone(id)) === 1, `the job of ${path} is done (${how})`)
    }
  }

  /** Uploads that the client was never told of, and the pieces of concatenations: their owner ends them. */
  async #removeOthers(tus: Tus): Promise<void> {
    const kept = new Set(this.#finished.map(({ path }) => idOf(path)))
    const others: string[] = []
    for (let cursor = ''; ; ) {
      const page = await tus.send('GET', `${UPLOADS}?limit=100${cursor === '' ? '' : `&cursor=${cursor}`}`)
      assert.equal(page.status, 200, String(page.body))
      const { items, nextCursor }: { items: { id: string }[]; nextCursor: string | null } = JSON.parse(`${page.body}`)
      others.push(...items.map(({ id }) => id).filter((id) => !kept.has(id)))
      if (nextCursor === null) break
      cursor = nextCursor
    }
    for (const id of others) {
      const events = await this.#insight.eventsOf(id, 'upload.uploaded')
      assert.ok(events.length <= 1, `${id}, which its client never heard of, finished ${events.length} times`)
      await eventually(
        async () => [204, 404, 410].includes((await tus.terminate(`${UPLOADS}/${id}`)).status),
        `${id} is terminated`,
        30_000,
      )
    }
  }

  /** The bucket has the finished objects only. */
  async #swept(): Promise<void> {
    const foreign = (listing: readonly string[]) =>
      listing.filter((line) => !this.#finished.some(({ path }) => line.includes(idOf(path))))
    const doubled = (listing: readonly string[]) =>
      this.#finished.flatMap(({ path, how }) => {
        const own = listing.filter((line) => line.includes(idOf(path)))
        return own.length === 1 && own[0]?.startsWith('object ') ? [] : [`${how}: ${own.join(', ')}`]
      })
    const deadline = Date.now() + 60_000
    for (;;) {
      const listing = await this.#insight.listing()
      const left = [...foreign(listing), ...doubled(listing)]
      if (left.length === 0) return
      assert.ok(Date.now() < deadline, `orphans that no sweep removed:\n${left.join('\n')}`)
      await sleep(500)
    }
  }
}
