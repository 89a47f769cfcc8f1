import cluster, { type Worker } from 'node:cluster'
import { setTimeout as sleep } from 'node:timers/promises'
import { Ledger, type Snapshot } from '../observability/aggregate.ts'
import type { Log } from '../observability/log.ts'
import { isToPrimary, type ToPrimary, type ToWorker } from './messages.ts'

/** A worker that ends sooner than this after its start waits before it is replaced. */
const SHORT_LIFE_MS = 5000
const PAUSE_MS = 1000
/** What a worker does not tell within this time is left as it was last seen. */
const MEASURE_MS = 1000

/**
 * The parent of WORKERS processes that share the port. It serves nothing itself: it replaces workers that die,
 * adds up what they count, and passes the stop on.
 *
 *   running: a worker that exits is replaced
 *   stopping: SIGTERM went to all; when the last is gone so is the primary
 */
export class Primary {
  readonly #count: number
  readonly #log: Log
  readonly #ledger = new Ledger()
  readonly #last = new Map<number, Snapshot>()
  readonly #measured = new Map<number, (snapshot: Snapshot) => void>()
  #asks = 0
  #stopping = false
  #onFatal: (message: string) => void = () => {}

  constructor(count: number, log: Log) {
    this.#count = count
    this.#log = log
  }

  /** Starts the workers; `onFatal` hears of what another worker would not do better. */
  start(onFatal: (message: string) => void): void {
    this.#onFatal = onFatal
    // Each worker accepts by itself. Handed over by the primary, a connection on its way to a worker that is killed
    // would stay open and unanswered for ever: the primary keeps it until the worker says that it has it.
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.on('message', (worker, message) => {
      if (isToPrimary(message)) void this.#hear(worker, message)
    })
    for (let index = 0; index < this.#count; index++) this.#fork()
    setInterval(() => void this.#measureAll(), 1000).unref()
  }

  /** Resolves when every worker is gone. */
  async stop(): Promise<void> {
    this.#stopping = true
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve) => {
            if (worker.isDead()) return resolve()
            worker.once('exit', () => resolve())
            worker.process.kill('SIGTERM')
          }),
      ),
    )
  }

  /** Ends every worker at once. */
  kill(): void {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL')
  }

  #fork(): void {
    const startedAt = Date.now()
    const worker = cluster.fork()
    worker.once('exit', (code, signal) => {
      const last = this.#last.get(worker.id)
      if (last) this.#ledger.bury(last)
      this.#last.delete(worker.id)
      if (this.#stopping) return
      this.#log.workerExited({ pid: worker.process.pid ?? 0, code, signal })
      void sleep(Date.now() - startedAt < SHORT_LIFE_MS ? PAUSE_MS : 0).then(() => {
        if (!this.#stopping) this.#fork()
      })
    })
  }

  async #hear(worker: Worker, message: ToPrimary): Promise<void> {
    switch (message.kind) {
      case 'counted':
        for (const step of message.steps) this.#ledger.count(step)
        return
      case 'snapshot':
        this.#last.set(worker.id, message.snapshot)
        this.#measured.get(message.ask)?.(message.snapshot)
        return
      case 'scrape': {
        const body = await this.#scrape()
        this.#say(worker, { kind: 'scraped', ask: message.ask, body })
        return
      }
      case 'fatal':
        return this.#onFatal(message.message)
      case 'listening':
        return
      default:
        throw new Error(`unknown message ${JSON.stringify(message satisfies never)}`)
    }
  }

  async #scrape(): Promise<string> {
    await this.#measureAll()
    return this.#ledger.render([...this.#last.values()])
  }

  async #measureAll(): Promise<void> {
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
    await Promise.all(workers.map((worker) => this.#measure(worker)))
  }

  #measure(worker: Worker): Promise<void> {
    if (!worker.isConnected()) return Promise.resolve()
    const ask = ++this.#asks
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#measured.delete(ask)
        resolve()
      }
      const timer = setTimeout(done, MEASURE_MS)
      this.#measured.set(ask, done)
      this.#say(worker, { kind: 'measure', ask })
    })
  }

  #say(worker: Worker, message: ToWorker): void {
    // It may have died this moment: its exit is seen on its own.
    if (worker.isConnected()) worker.send(message, (error) => void error)
  }
}
