import { settledWithin } from '../time.ts'
import {
  ABORT_GRACE_MS,
  backoffDelay,
  type ConsumeOptions,
  type Consumer,
  type DeadLetter,
  type Handler,
  type Job,
  type Message,
  type Queue,
  type QueueCounts,
  RetryLater,
  type RetryOptions,
  type RetryPolicy,
  retryPolicy,
} from './port.ts'

type State = 'waiting' | 'active' | 'delayed' | 'dead'

interface Entry {
  readonly id: string
  readonly name: string
  /** Kept as text, so that handlers get what JSON gives back, as from any other queue. */
  readonly body: string
  state: State
  /** Tries that counted. */
  failed: number
  /** Tries at all: what the delay grows with. */
  tries: number
  reason: string
  readonly passed: Set<string>
  timer: NodeJS.Timeout | null
}

/**
 * A queue in this process, for one process without Redis. It forgets everything with the process; the outbox does
 * not, and the relay publishes again what was not done (`durable: false`).
 */
export function createMemoryQueue(options: RetryOptions = {}): Queue {
  return new MemoryQueue(retryPolicy(options))
}

class MemoryQueue implements Queue {
  readonly durable = false
  readonly #policy: RetryPolicy
  readonly #entries = new Map<string, Entry>()
  /** Ids of done jobs, oldest first. */
  readonly #done = new Set<string>()
  #ready: Entry[] = []
  readonly #consumers = new Set<MemoryConsumer>()
  #closed = false

  constructor(policy: RetryPolicy) {
    this.#policy = policy
  }

  async publish(messages: readonly Message[]): Promise<void> {
    if (this.#closed) throw new Error('queue: closed')
    for (const { id, name, body } of messages) {
      if (this.#entries.has(id) || this.#done.has(id)) continue
      const entry: Entry = {
        id,
        name,
        body: JSON.stringify(body),
        state: 'waiting',
        failed: 0,
        tries: 0,
        reason: '',
        passed: new Set(),
        timer: null,
      }
      this.#entries.set(id, entry)
      this.#wait(entry)
    }
  }

  consume(handler: Handler, options: ConsumeOptions): Consumer {
    if (this.#closed) throw new Error('queue: closed')
    const consumer = new MemoryConsumer({
      concurrency: options.concurrency,
      closeMs: this.#policy.closeMs,
      next: () => this.#next(),
      run: (entry, signal) => this.#run(entry, handler, signal),
      closed: () => this.#consumers.delete(consumer),
    })
    this.#consumers.add(consumer)
    consumer.pull()
    return consumer
  }

  async counts(): Promise<QueueCounts> {
    const counts = { waiting: 0, active: 0, delayed: 0, dead: 0 }
    for (const { state } of this.#entries.values()) counts[state] += 1
    return counts
  }

  async deadLetters(limit: number): Promise<readonly DeadLetter[]> {
    return [...this.#entries.values()]
      .filter(({ state }) => state === 'dead')
      .slice(0, limit)
      .map(({ id, name, body, reason, failed }) => ({ id, name, body: JSON.parse(body), reason, attempts: failed }))
  }

  async revive(id: string): Promise<boolean> {
    const entry = this.#entries.get(id)
    if (entry?.state !== 'dead') return false
    entry.failed = 0
    entry.tries = 0
    this.#wait(entry)
    return true
  }

  async ping(): Promise<void> {
    if (this.#closed) throw new Error('queue: closed')
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()))
    for (const { timer } of this.#entries.values()) if (timer) clearTimeout(timer)
    this.#entries.clear()
    this.#ready = []
  }

  #wait(entry: Entry): void {
    entry.state = 'waiting'
    entry.timer = null
    this.#ready.push(entry)
    for (const consumer of this.#consumers) consumer.pull()
  }

  #next(): Entry | undefined {
    const entry = this.#ready.shift()
    if (entry) entry.state = 'active'
    return entry
  }

  async #run(entry: Entry, handler: Handler, signal: AbortSignal): Promise<void> {
    entry.tries += 1
    const job: Job = {
      id: entry.id,
      name: entry.name,
      body: JSON.parse(entry.body),
      attempt: entry.failed + 1,
      attempts: this.#policy.attempts,
      passed: new Set(entry.passed),
      signal,
      checkpoint: async (name) => {
        entry.passed.add(name)
      },
    }
    try {
      await handler(job)
      this.#finish(entry)
    } catch (error) {
      if (signal.aborted) this.#wait(entry)
      else this.#failed(entry, error)
    }
  }

  #finish(entry: Entry): void {
    this.#entries.delete(entry.id)
    this.#done.add(entry.id)
    for (const oldest of this.#done) {
      if (this.#done.size <= this.#policy.keepDone) break
      this.#done.delete(oldest)
    }
  }

  #failed(entry: Entry, error: unknown): void {
    entry.reason = error instanceof Error ? error.message : String(error)
    if (!(error instanceof RetryLater)) entry.failed += 1
    if (entry.failed >= this.#policy.attempts) {
      entry.state = 'dead'
      return
    }
    if (this.#closed) return
    entry.state = 'delayed'
    entry.timer = setTimeout(() => this.#wait(entry), backoffDelay(this.#policy, entry.tries))
  }
}

interface MemoryConsumerOptions {
  readonly concurrency: number
  readonly closeMs: number
  next(): Entry | undefined
  run(entry: Entry, signal: AbortSignal): Promise<void>
  closed(): void
}

/** Handles up to `concurrency` jobs at once, and waits for them when it closes. */
class MemoryConsumer implements Consumer {
  readonly #options: MemoryConsumerOptions
  readonly #running = new Set<Promise<void>>()
  readonly #abort = new AbortController()
  #closing = false

  constructor(options: MemoryConsumerOptions) {
    this.#options = options
  }

  /** Takes jobs while there are any and hands are free. */
  pull(): void {
    while (!this.#closing && this.#running.size < this.#options.concurrency) {
      const entry = this.#options.next()
      if (!entry) return
      const run = this.#options.run(entry, this.#abort.signal).finally(() => {
        this.#running.delete(run)
        this.pull()
      })
      this.#running.add(run)
    }
  }

  async close(): Promise<void> {
    this.#closing = true
    const all = Promise.all(this.#running)
    // A handler that does not heed its signal is left behind; its job was never marked done.
    if (!(await settledWithin(all, this.#options.closeMs))) {
      this.#abort.abort(new Error('the worker is closing'))
      await settledWithin(all, ABORT_GRACE_MS)
    }
    this.#options.closed()
  }
}
