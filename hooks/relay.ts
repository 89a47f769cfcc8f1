import { toMessage } from './events.ts'
import type { Log, Outbox, OutboxEvent } from './ports.ts'
import type { Queue } from './queue/port.ts'
import { settledWithin } from './time.ts'

/** Counters and gauges that the relay moves. */
export interface RelayMetrics {
  /** So many events went into the queue. `again`: published before and not done; a queue that has them ignores them. */
  published(count: number, again: boolean): void
  /** Age of the oldest event taken for publishing just now, milliseconds; 0 when there is none. */
  lag(ms: number): void
  /** The outbox or the queue was away; tried again after a delay. */
  failed(): void
}

export interface RelayOptions {
  readonly outbox: Outbox
  readonly queue: Pick<Queue, 'publish' | 'durable'>
  readonly log: Log
  readonly metrics?: RelayMetrics
  /** Events published at once. Default 100. */
  readonly batch?: number
  /** How often to look when nobody nudges (events of other processes), milliseconds. Default 1 000. */
  readonly pollMs?: number
  /** How long a nudge waits for more of them: one round for all costs what one for each would. Default 20. */
  readonly gatherMs?: number
  /** Longest delay after failures, milliseconds. Default 10 000. */
  readonly maxBackoffMs?: number
  /** How long `stop` waits for the running batch, milliseconds. Default 5 000. */
  readonly stopMs?: number
  /**
   * An event published this long ago and not done is published again, milliseconds. A durable queue ignores it
   * unless it lost the job. Default 300 000.
   */
  readonly republishAfterMs?: number
  /** How often to look for those, and for what may be forgotten, milliseconds. Default 60 000. */
  readonly upkeepEveryMs?: number
  /** Done events are kept this long for people who want to look, milliseconds. Default 7 days. */
  readonly keepDoneMs?: number
}

export interface Relay {
  start(): void
  /** Something was committed to the outbox: look now. */
  nudge(): void
  /** Waits for the running batch, bounded. What was not published stays in the outbox. */
  stop(): Promise<void>
}

const FIRST_BACKOFF_MS = 100
/** How long a claimed batch is this relay's alone. A relay that dies with one delays it by that much. */
const LEASE_MS = 15_000
const PRUNE_BATCH = 1_000

/**
 * Carries events from the outbox to the queue, in their order. Publishing comes first and marking second, so a crash
 * between the two publishes again, which the queue's memory of ids makes harmless; so are several relays at once.
 *
 *   idle -> running -> waiting (for a nudge, or pollMs) -> gathering (after a nudge) -> running ...
 *                   -> backing off (after a failure; nudges do not shorten it) -> running ...
 *   any  -> stopped
 */
export function createRelay(options: RelayOptions): Relay {
  return new OutboxRelay(options)
}

class OutboxRelay implements Relay {
  readonly #outbox: Outbox
  readonly #queue: Pick<Queue, 'publish' | 'durable'>
  readonly #log: Log
  readonly #metrics: RelayMetrics | undefined
  readonly #batch: number
  readonly #pollMs: number
  readonly #gatherMs: number
  readonly #maxBackoffMs: number
  readonly #stopMs: number
  readonly #republishAfterMs: number
  readonly #upkeepEveryMs: number
  readonly #keepDoneMs: number
  #loop: Promise<void> | null = null
  #stopped = false
  #nudged = false
  /** Ends the present wait. */
  #wake: (() => void) | null = null
  /** Only `stop` ends this kind of wait. */
  #deaf = false
  #inHand: { readonly events: readonly OutboxEvent[]; readonly until: number } | null = null
  #startedAt = 0
  #upkeepAt = 0
  /** A queue that forgets was given what it had before this start. */
  #caughtUp = false

  constructor(options: RelayOptions) {
    this.#outbox = options.outbox
    this.#queue = options.queue
    this.#log = options.log
    this.#metrics = options.metrics
    this.#batch = options.batch ?? 100
    this.#pollMs = options.pollMs ?? 1_000
    this.#gatherMs = options.gatherMs ?? 20
    this.#maxBackoffMs = options.maxBackoffMs ?? 10_000
    this.#stopMs = options.stopMs ?? 5_000
    this.#republishAfterMs = options.republishAfterMs ?? 300_000
    this.#upkeepEveryMs = options.upkeepEveryMs ?? 60_000
    this.#keepDoneMs = options.keepDoneMs ?? 7 * 24 * 3_600_000
  }

  start(): void {
    if (this.#loop) throw new Error('relay: started already')
    this.#startedAt = performance.now()
    this.#loop = this.#run()
  }

  nudge(): void {
    this.#nudged = true
    if (!this.#deaf) this.#wake?.()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#wake?.()
    if (this.#loop && !(await settledWithin(this.#loop, this.#stopMs))) {
      this.#log.warn({ stopMs: this.#stopMs }, 'relay: the running batch did not end in time; it is published again')
    }
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#stopped) {
      this.#nudged = false
      try {
        const full = await this.#round()
        if (failures > 0) this.#log.info({ failures }, 'relay: publishing again')
        failures = 0
        if (full) continue
        if (!this.#nudged) await this.#wait(this.#pollMs, false)
        if (this.#nudged) await this.#wait(this.#gatherMs, true)
      } catch (error) {
        failures += 1
        this.#tell(() => this.#metrics?.failed())
        if (failures === 1) this.#log.warn({ err: error }, 'relay: outbox or queue is away; trying again')
        await this.#wait(Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(failures - 1, 20), this.#maxBackoffMs), true)
      }
    }
  }

  /** True: there may be more right now. */
  async #round(): Promise<boolean> {
    if (performance.now() >= this.#upkeepAt) await this.#upkeep()
    const events = await this.#claim()
    if (events.length > 0) {
      await this.#queue.publish(events.map(toMessage))
      await this.#outbox.markPublished(events.map(({ eventId }) => eventId))
      this.#inHand = null
      this.#tell(() => this.#metrics?.published(events.length, false))
    }
    return events.length >= this.#batch
  }

  /** The batch that failed last time while it is still ours, else the next one. */
  async #claim(): Promise<readonly OutboxEvent[]> {
    if (this.#inHand && performance.now() < this.#inHand.until) return this.#inHand.events
    const until = performance.now() + LEASE_MS
    const events = await this.#outbox.claim(this.#batch, LEASE_MS)
    this.#inHand = events.length > 0 ? { events, until } : null
    const oldest = events[0]
    this.#tell(() => this.#metrics?.lag(oldest ? Math.max(0, Date.now() - oldest.createdAt) : 0))
    return events
  }

  async #upkeep(): Promise<void> {
    if (this.#queue.durable || !this.#caughtUp) await this.#republish()
    this.#caughtUp = true
    const doneBefore = Date.now() - this.#keepDoneMs
    while (!this.#stopped && (await this.#outbox.prune({ doneBefore, limit: PRUNE_BATCH })) >= PRUNE_BATCH);
    this.#upkeepAt = performance.now() + this.#upkeepEveryMs
  }

  /**
   * Gives the queue again what it lost. A queue that forgets with the process lost everything published before this
   * start; a durable one may have been emptied, which shows only in events that stay undone.
   */
  async #republish(): Promise<void> {
    const { durable } = this.#queue
    const olderThanMs = durable ? this.#republishAfterMs : performance.now() - this.#startedAt
    let page: readonly OutboxEvent[] = []
    do {
      const last = page.at(-1)
      page = await this.#outbox.undone({ olderThanMs, limit: this.#batch, ...(last && { after: last.eventId }) })
      if (page.length === 0) break
      await this.#queue.publish(page.map(toMessage))
      const count = page.length
      this.#tell(() => this.#metrics?.published(count, true))
    } while (page.length >= this.#batch && !this.#stopped)
  }

  async #wait(ms: number, deaf: boolean): Promise<void> {
    if (this.#stopped) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    this.#wake = resolve
    this.#deaf = deaf
    await promise
    clearTimeout(timer)
    this.#wake = null
    this.#deaf = false
  }

  /** A metrics callback that throws must not stop the relay. */
  #tell(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#log.error({ err: error }, 'relay: a metrics callback threw')
    }
  }
}
