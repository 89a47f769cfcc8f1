import { type Job as BullJob, Queue as BullQueue, DelayedError, WaitingError, Worker } from 'bullmq'
import { type Cluster, Redis } from 'ioredis'
import type { Log } from '../ports.ts'
import { settledWithin, within } from '../time.ts'
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

/** What the queue demands of a connection, on top of host, TLS, sentinel or cluster. */
export interface ConnectionSettings {
  readonly maxRetriesPerRequest: null
  readonly retryStrategy: (times: number) => number
  readonly connectionName: string
}

/** Opens a connection of its own for the queue, which also closes it. */
export type Connect = (settings: ConnectionSettings) => Redis | Cluster

export interface BullQueueOptions extends RetryOptions {
  /** A `redis://` or `rediss://` URL, or a factory (sentinel, cluster, options of one's own). */
  readonly connection: string | Connect
  /** REDIS_PREFIX. Keys begin with `{<prefix>:queue}`: the braces keep a queue in one cluster slot. */
  readonly prefix: string
  readonly log: Log
  /** How long publishing and ping wait for an answer, milliseconds. Default 5 000. */
  readonly answerMs?: number
  /**
   * How long a job stays a worker's without a sign of life, milliseconds. A killed worker's jobs go to another one
   * after at most twice this. Default 30 000.
   */
  readonly lockMs?: number
}

/** The name of the one queue. */
const NAME = 'events'
const CUSTOM_BACKOFF = 'doubling'

/**
 * A queue in Redis, on BullMQ. While Redis is away publishing rejects and consuming pauses; both go on by themselves.
 * What Redis loses, the relay publishes again (see relay.ts).
 */
export function createBullQueue(options: BullQueueOptions): Queue {
  return new RedisQueue(options, retryPolicy(options))
}

class RedisQueue implements Queue {
  readonly durable = true
  readonly #options: BullQueueOptions
  readonly #policy: RetryPolicy
  readonly #prefix: string
  readonly #answerMs: number
  readonly #client: Redis | Cluster
  readonly #bull: BullQueue
  readonly #consumers = new Set<BullConsumer>()
  #closing: Promise<void> | null = null

  constructor(options: BullQueueOptions, policy: RetryPolicy) {
    this.#options = options
    this.#policy = policy
    this.#prefix = `{${options.prefix}:queue}`
    this.#answerMs = options.answerMs ?? 5_000
    this.#client = open(options, 'queue')
    this.#bull = new BullQueue(NAME, { connection: this.#client, prefix: this.#prefix })
    this.#bull.on('error', ignore)
  }

  async publish(messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return
    await this.#ask(async () => {
      await this.#bull.addBulk(
        messages.map(({ id, name, body }) => ({
          name,
          data: body,
          opts: {
            jobId: id,
            attempts: this.#policy.attempts,
            backoff: { type: CUSTOM_BACKOFF },
            removeOnComplete: { count: this.#policy.keepDone },
            removeOnFail: false,
          },
        })),
      )
    })
  }

  consume(handler: Handler, options: ConsumeOptions): Consumer {
    if (this.#closing) throw new Error('queue: closed')
    const consumer = new BullConsumer({
      client: open(this.#options, 'worker'),
      prefix: this.#prefix,
      policy: this.#policy,
      lockMs: this.#options.lockMs ?? 30_000,
      concurrency: options.concurrency,
      log: this.#options.log,
      handler,
      closed: () => this.#consumers.delete(consumer),
    })
    this.#consumers.add(consumer)
    return consumer
  }

  async counts(): Promise<QueueCounts> {
    const counts = await this.#ask(() => this.#bull.getJobCounts('wait', 'active', 'delayed', 'failed'))
    return {
      waiting: counts.wait ?? 0,
      active: counts.active ?? 0,
      delayed: counts.delayed ?? 0,
      dead: counts.failed ?? 0,
    }
  }

  async deadLetters(limit: number): Promise<readonly DeadLetter[]> {
    const jobs = await this.#ask(() => this.#bull.getFailed(0, limit - 1))
    return jobs.map((job) => ({
      id: idOf(job),
      name: job.name,
      body: job.data,
      reason: job.failedReason,
      attempts: job.attemptsMade,
    }))
  }

  async revive(id: string): Promise<boolean> {
    return this.#ask(async () => {
      const job = await this.#bull.getJob(id)
      if (!job || !(await job.isFailed())) return false
      await job.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })
      return true
    })
  }

  async ping(): Promise<void> {
    await this.#ask(() => this.#client.ping())
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()))
    await settledWithin(this.#bull.close(), ABORT_GRACE_MS)
    this.#client.disconnect()
  }

  /** One exchange with Redis, bounded: ioredis itself would keep a command until Redis is back. */
  async #ask<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closing) throw new Error('queue: closed')
    const late = `queue: no answer from Redis within ${this.#answerMs} ms`
    await within(ready(this.#client), this.#answerMs, late)
    return within(call(), this.#answerMs, late)
  }
}

interface BullConsumerOptions {
  readonly client: Redis | Cluster
  readonly prefix: string
  readonly policy: RetryPolicy
  readonly lockMs: number
  readonly concurrency: number
  readonly log: Log
  readonly handler: Handler
  closed(): void
}

class BullConsumer implements Consumer {
  readonly #options: BullConsumerOptions
  readonly #abort = new AbortController()
  readonly #worker: Worker
  #closing: Promise<void> | null = null

  constructor(options: BullConsumerOptions) {
    const { client, prefix, policy, lockMs, concurrency, log } = options
    this.#options = options
    this.#worker = new Worker(NAME, (job, token) => this.#run(job, token), {
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
    const done = this.#worker.close()
    if (!(await settledWithin(done, policy.closeMs))) {
      this.#abort.abort(new Error('the worker is closing'))
      if (!(await settledWithin(done, ABORT_GRACE_MS))) {
        // Redis is away or a handler does not heed its signal: the job's lock runs out and another worker gets it.
        await settledWithin(this.#worker.disconnect(), ABORT_GRACE_MS)
      }
    }
    client.disconnect()
    closed()
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

/** A connection that retries for ever and tells once when it is lost and once when it is back. */
function open(options: BullQueueOptions, role: string): Redis | Cluster {
  const settings: ConnectionSettings = {
    // BullMQ's workers demand null; the bound on waiting is ours (see #ask).
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 10), 2_000),
    connectionName: `${options.prefix}:${role}`,
  }
  const client = connect(options.connection, settings)
  let away = false
  client.on('error', (error) => {
    if (!away) options.log.warn({ err: error, role }, 'queue: Redis is away; trying again until it is back')
    away = true
  })
  client.on('ready', () => {
    if (away) options.log.info({ role }, 'queue: Redis is back')
    away = false
  })
  return client
}

function connect(connection: BullQueueOptions['connection'], settings: ConnectionSettings): Redis | Cluster {
  if (typeof connection === 'function') return connection(settings)
  return new Redis(connection, settings)
}

/** Resolves when the connection takes commands. Never rejects: the caller bounds the wait. */
async function ready(client: Redis | Cluster): Promise<void> {
  if (client.status === 'ready') return
  await new Promise<void>((resolve) => {
    client.once('ready', resolve)
  })
}

function idOf(job: BullJob): string {
  if (job.id === undefined) throw new Error('queue: a job without an id')
  return job.id
}

/** What earlier tries noted by checkpoint. Progress comes out of Redis: anything else in it counts as nothing. */
function passedOf(progress: unknown): Set<string> {
  if (typeof progress !== 'object' || progress === null || !('passed' in progress)) return new Set()
  const { passed } = progress
  return new Set(Array.isArray(passed) ? passed.filter((name) => typeof name === 'string') : [])
}

function ignore(): void {}
