import { type Job as BullJob, DelayedError, WaitingError, Worker } from 'bullmq'
import type { Cluster, Redis } from 'ioredis'
import type { Log } from '../ports.ts'
import { settledWithin } from '../time.ts'
import {
  ABORT_GRACE_MS,
  backoffDelay,
  type Consumer,
  type Handler,
  type Job,
  RetryLater,
  type RetryPolicy,
} from './port.ts'
import { endsWithDuplicates } from './redis-connection.ts'

/** Longest wait for BullMQ to let go of what it cannot end in order. */
const FORCE_MS = 500

export interface BullConsumerOptions {
  readonly client: Redis | Cluster
  /** The queue's name. */
  readonly queue: string
  readonly prefix: string
  readonly policy: RetryPolicy
  readonly lockMs: number
  readonly concurrency: number
  readonly log: Log
  readonly handler: Handler
  closed(): void
}

/** A worker whose timers can be stopped when its close does not come to an end: they would keep the process alive. */
class StoppableWorker extends Worker {
  async stopTimers(): Promise<void> {
    await this.lockManager.close()
    await this.pause(true)
  }
}

/** Handles jobs with a BullMQ worker, and turns what handlers do into what BullMQ understands. */
export class BullConsumer implements Consumer {
  readonly #options: BullConsumerOptions
  readonly #endConnections: () => void
  readonly #abort = new AbortController()
  readonly #worker: StoppableWorker
  readonly #running = new Set<Promise<void>>()
  #closing: Promise<void> | null = null

  constructor(options: BullConsumerOptions) {
    const { client, prefix, policy, lockMs, concurrency, log } = options
    this.#options = options
    this.#endConnections = endsWithDuplicates(client)
    this.#worker = new StoppableWorker(options.queue, (job, token) => this.#track(job, token), {
      connection: client,
      prefix,
      concurrency,
      lockDuration: lockMs,
      stalledInterval: lockMs,
      // A job whose workers are killed again and again has as many tries as one that fails.
      maxStalledCount: policy.attempts,
      // BullMQ's default of 15 s would leave a worker idle that long after every broken connection.
      runRetryDelay: 1_000,
      settings: { backoffStrategy: (tries) => backoffDelay(policy, tries) },
    })
    // Failures of the connection are told by the client's own listener.
    this.#worker.on('error', (error) => {
      if (client.status === 'ready') log.warn({ err: error }, 'queue: worker error')
    })
    this.#worker.on('stalled', (job) => log.warn({ job }, 'queue: a worker died with this job; it is given to another'))
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { policy, client, closed } = this.#options
    // BullMQ's own waiting close needs Redis, and never returns when it is away.
    const done = client.status === 'ready' ? this.#worker.close() : this.#closeWithoutRedis()
    if (!(await settledWithin(done, policy.closeMs))) {
      this.#abort.abort(new Error('the worker is closing'))
      await settledWithin(done, ABORT_GRACE_MS)
    }
    // What is left now: Redis went away, or a handler does not heed its signal. Its job's lock runs out and another
    // worker gets it.
    await settledWithin(this.#worker.close(true), FORCE_MS)
    await settledWithin(this.#worker.stopTimers(), FORCE_MS)
    this.#endConnections()
    closed()
  }

  async #closeWithoutRedis(): Promise<void> {
    await this.#worker.pause(true)
    await Promise.allSettled(this.#running)
  }

  /** BullMQ's processor, kept track of while it runs. */
  #track(job: BullJob, token: string | undefined): Promise<void> {
    const run = this.#run(job, token).finally(() => this.#running.delete(run))
    this.#running.add(run)
    return run
  }

  async #run(job: BullJob, token: string | undefined): Promise<void> {
    const { handler, policy } = this.#options
    const passed = passedOf(job.progress)
    const { signal } = this.#abort
    const given: Job = {
      id: idOf(job),
      name: job.name,
      body: job.data,
      attempt: job.attemptsMade + 1,
      attempts: job.opts.attempts ?? policy.attempts,
      passed,
      signal,
      checkpoint: (name) => {
        passed.add(name)
        return job.updateProgress({ passed: [...passed] })
      },
    }
    try {
      await handler(given)
    } catch (error) {
      if (signal.aborted) {
        await job.moveToWait(token)
        throw new WaitingError('the worker is closing')
      }
      if (!(error instanceof RetryLater)) throw error
      await job.moveToDelayed(Date.now() + backoffDelay(policy, job.attemptsStarted), token)
      throw new DelayedError(error.message)
    }
  }
}

export function idOf(job: BullJob): string {
  if (job.id === undefined) throw new Error('queue: a job without an id')
  return job.id
}

/** What earlier tries noted by checkpoint. Progress comes out of Redis: anything else in it counts as nothing. */
function passedOf(progress: unknown): Set<string> {
  if (typeof progress !== 'object' || progress === null || !('passed' in progress)) return new Set()
  const { passed } = progress
  return new Set(Array.isArray(passed) ? passed.filter((name) => typeof name === 'string') : [])
}
