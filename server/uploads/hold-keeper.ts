import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { UploadError } from './errors.ts'
import { Hold } from './hold.ts'
import type { Coordination, Kept, Message, Session, Taken } from './ports/coordination.ts'
import type { Records } from './ports/records.ts'
import type { Part, UploadId } from './words.ts'

export interface HoldKeeperOptions {
  readonly coordination: Coordination
  readonly records: Pick<Records, 'generations'>
  /** Lease of a hold; renewed three times as often. */
  readonly leaseMs: number
  readonly held: (kind: Exclude<Taken['kind'], 'held'>, waitedMs: number) => void
}

export interface AcquireOptions {
  /** How long to wait for a living holder; 0: only if it is free. */
  readonly waitMs: number
  /** When the caller read the row whose generation it trusts; ms. */
  readonly rowSeenAt: number
  readonly signal?: AbortSignal
}

export interface Acquired {
  readonly hold: Hold
  readonly taken: Exclude<Taken, { kind: 'held' }>
}

/** A waiter asks again this often, because a message may be lost. */
const ASK_AGAIN_MS = 1000

/**
 * This process's holds: waits for them, renews their leases, watches the rows' generations (one batched query for
 * all), and passes on what other instances ask. One a process (data-path.md, section 3).
 */
export class HoldKeeper {
  readonly #options: HoldKeeperOptions
  readonly #holds = new Map<UploadId, Hold>()
  readonly #waiters = new Map<UploadId, Set<(message: Message) => void>>()
  readonly #timer: NodeJS.Timeout
  #beating = false

  constructor(options: HoldKeeperOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.#beat(), options.leaseMs / 3)
    this.#timer.unref()
  }

  /** Listen for messages; to be called once. */
  async start(): Promise<void> {
    await this.#options.coordination.listen((message) => this.#hear(message))
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  get size(): number {
    return this.#holds.size
  }

  get(upload: UploadId): Hold | undefined {
    return this.#holds.get(upload)
  }

  /**
   * Takes the hold, asking a living holder to let go. Throws upload_busy when it does not come in time,
   * coordination_unavailable.
   */
  async acquire(upload: UploadId, options: AcquireOptions): Promise<Acquired> {
    const { coordination, leaseMs } = this.#options
    const startedAt = Date.now()
    const token = randomBytes(16).toString('hex')
    let hasty = false
    for (;;) {
      const askedAt = Date.now()
      const taken = await coordination.take(upload, token, leaseMs)
      if (taken.kind !== 'held') {
        const hold = new Hold(
          upload,
          token,
          taken.kind === 'clean' ? taken.session.generation : null,
          askedAt,
          options.rowSeenAt,
        )
        this.#holds.set(upload, hold)
        this.#options.held(taken.kind, Date.now() - startedAt)
        return { hold, taken }
      }
      const left = startedAt + options.waitMs - Date.now()
      if (left <= 0 || options.signal?.aborted) {
        throw new UploadError('upload_busy', `Upload ${upload} is being written by another request. Try again shortly.`)
      }
      const freed = this.hear(
        upload,
        Math.min(left, ASK_AGAIN_MS, taken.leaseLeftMs + 20),
        (message) => message.type === 'free',
      )
      await this.tell(taken.holder, { type: 'release', upload, from: coordination.instance })
      // "free" from an instance that lost the hold comes before the lease is over: never a busy loop. The first one is
      // believed at once, since a living holder may well let go within so little.
      const quick = (await freed) !== null && Date.now() - askedAt < 20
      if (quick && hasty) await sleep(20)
      hasty = quick
    }
  }

  /**
   * Moves the session. `release`: and lets go cleanly in the same call; whoever waits is told. The answer is `released`
   * when that was done too. Throws coordination_unavailable.
   */
  async save(hold: Hold, session: Session, parts?: readonly Part[], release = false): Promise<Kept | 'released'> {
    const { coordination } = this.#options
    if (!release) return coordination.save(hold.upload, hold.token, session, parts)
    const answer = await coordination.save(hold.upload, hold.token, session, parts, true)
    if (answer === 'released') this.#ended(hold)
    return answer
  }

  /** Lets go; whoever waits is told. Never throws: an unanswered release ends with the lease. */
  async release(hold: Hold, how: 'clean' | 'unclean' | 'drop'): Promise<void> {
    if (this.#holds.get(hold.upload) === hold) this.#holds.delete(hold.upload)
    const { coordination } = this.#options
    try {
      if (how === 'drop') await coordination.drop(hold.upload, hold.token)
      else await coordination.release(hold.upload, hold.token, how === 'clean' && !hold.unanswered)
    } catch {
      // Coordination is away: the lease runs out by itself and the next holder takes over uncleanly.
    }
    this.#ended(hold)
  }

  #ended(hold: Hold): void {
    if (this.#holds.get(hold.upload) === hold) this.#holds.delete(hold.upload)
    hold.lose('it was released')
    for (const asker of new Set([...hold.askers, ...hold.inspectors])) {
      void this.tell(asker, { type: 'free', upload: hold.upload })
    }
  }

  /** Tells everybody who inspects the upload how far it is. */
  answer(hold: Hold, offset: number): void {
    for (const inspector of hold.inspectors) void this.tell(inspector, { type: 'offset', upload: hold.upload, offset })
    hold.inspectors.clear()
  }

  /** A message for the upload that `accept`s, or null after `ms`. Listening begins before this returns. */
  hear(upload: UploadId, ms: number, accept: (message: Message) => boolean): Promise<Message | null> {
    return new Promise((resolve) => {
      const set = this.#waiters.get(upload) ?? new Set()
      this.#waiters.set(upload, set)
      const done = (message: Message | null) => {
        clearTimeout(timer)
        set.delete(listener)
        if (set.size === 0) this.#waiters.delete(upload)
        resolve(message)
      }
      const listener = (message: Message) => {
        if (accept(message)) done(message)
      }
      const timer = setTimeout(done, ms, null)
      set.add(listener)
    })
  }

  /** Best effort; one's own instance is told directly. */
  async tell(instance: string, message: Message): Promise<void> {
    const { coordination } = this.#options
    if (instance === coordination.instance) return void setImmediate(() => this.#hear(message))
    try {
      await coordination.tell(instance, message)
    } catch {
      // A message may be lost: who waits asks again.
    }
  }

  #hear(message: Message): void {
    if (message.type === 'release' || message.type === 'flush') {
      const hold = this.#holds.get(message.upload)
      if (!hold) void this.tell(message.from, { type: 'free', upload: message.upload })
      else if (message.type === 'release') hold.want(message.from)
      else hold.inspect(message.from)
      return
    }
    for (const waiter of [...(this.#waiters.get(message.upload) ?? [])]) waiter(message)
  }

  /**
   * Throws hold_lost, or records_unavailable, unless the row's generation was seen to be ours within the lease.
   * `share`: within that part of it, for who has something to do before he tells.
   */
  async fresh(hold: Hold, share = 1): Promise<void> {
    hold.assert()
    if (Date.now() - hold.rowSeenAt >= this.#options.leaseMs * share) await this.#look([hold])
    hold.assert()
  }

  /** Throws hold_lost when the row's generation was last seen to be ours longer ago than the lease. */
  assertSeen(hold: Hold): void {
    if (Date.now() - hold.rowSeenAt < this.#options.leaseMs) return
    throw new UploadError(
      'hold_lost',
      `Upload ${hold.upload} was saved too slowly to be sure that nobody took it over.`,
    )
  }

  async #beat(): Promise<void> {
    if (this.#beating || this.#holds.size === 0) return
    this.#beating = true
    try {
      const holds = [...this.#holds.values()]
      await Promise.all([this.#renew(holds), this.#look(holds).catch(() => {})])
    } finally {
      this.#beating = false
    }
  }

  async #renew(holds: readonly Hold[]): Promise<void> {
    const { coordination, leaseMs } = this.#options
    const askedAt = Date.now()
    const kept = await coordination.renew(holds, leaseMs).catch(() => null)
    for (const [index, hold] of holds.entries()) {
      if (this.#holds.get(hold.upload) !== hold) continue
      const answer = kept?.[index]
      if (answer === 'kept') hold.leasedAt = askedAt
      else if (answer) this.#lose(hold, answer === 'gone' ? 'its session is gone' : 'another request took it')
      else if (Date.now() - hold.leasedAt > leaseMs) this.#lose(hold, 'its lease could not be renewed')
    }
  }

  async #look(all: readonly Hold[]): Promise<void> {
    const holds = all.filter((hold) => hold.generation !== null)
    if (holds.length === 0) return
    const askedAt = Date.now()
    const before = new Map(holds.map((hold) => [hold, [hold.generation, hold.raisingTo]]))
    const rows = await this.#options.records.generations(holds.map((hold) => hold.upload))
    for (const hold of holds) {
      const seen = rows.get(hold.upload)
      const right = [...(before.get(hold) ?? []), hold.generation, hold.raisingTo]
      if (seen !== undefined && right.includes(seen)) hold.rowSeenAt = askedAt
      else if (this.#holds.get(hold.upload) === hold) this.#lose(hold, 'its generation is no longer the row’s')
    }
  }

  #lose(hold: Hold, why: string): void {
    this.#holds.delete(hold.upload)
    hold.lose(why)
  }
}
