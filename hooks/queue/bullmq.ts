import { Queue as BullQueue } from 'bullmq'
import type { Cluster, Redis } from 'ioredis'
import { settledWithin, within } from '../time.ts'
import { BullConsumer, idOf } from './bull-consumer.ts'
import {
  ABORT_GRACE_MS,
  type ConsumeOptions,
  type Consumer,
  type DeadLetter,
  type Handler,
  type Message,
  type Queue,
  type QueueCounts,
  type RetryOptions,
  type RetryPolicy,
  retryPolicy,
} from './port.ts'
import { type ConnectionOptions, openConnection, ready } from './redis-connection.ts'

export interface BullQueueOptions extends RetryOptions, ConnectionOptions {
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
    this.#client = openConnection(options, 'queue')
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
      queue: NAME,
      client: openConnection(this.#options, 'worker'),
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

function ignore(): void {}
