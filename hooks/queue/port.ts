/**
 * The queue between the outbox and what happens because of an event. At least once: a handler may see a job again
 * (same id) after a crash, a lost connection or a failure. The order of jobs is not promised.
 */

/** What is put into the queue. */
export interface Message {
  /** The event's id: publishing an id that the queue still knows does nothing. */
  readonly id: string
  /** The event's type; for people who look into the queue. */
  readonly name: string
  /** Anything JSON can hold. Handlers get it as JSON gives it back: to be validated. */
  readonly body: unknown
}

/** A message on its way through a handler. */
export interface Job extends Message {
  /** 1 at the first try. {@link RetryLater} does not raise it. */
  readonly attempt: number
  /** As many tries there are: failing at this one makes a dead letter. */
  readonly attempts: number
  /** Names given to {@link Job.checkpoint} at earlier tries of this job. */
  readonly passed: ReadonlySet<string>
  /** Aborted when the consumer closes and the time it waits for running jobs is over. The job then comes again. */
  readonly signal: AbortSignal
  /** Remember, beyond this try, that the part of the work called `name` is done. */
  checkpoint(name: string): Promise<void>
}

/** Resolves: the job is done. Rejects: it comes again after a growing delay, at last as a dead letter. */
export type Handler = (job: Job) => Promise<void>

/**
 * Thrown by a handler when something it needs is away (store, records): the job comes again after a growing delay,
 * as often as it takes, and no attempt is used up. Not for a job that itself is at fault.
 */
export class RetryLater extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'RetryLater'
  }
}

export interface ConsumeOptions {
  /** Jobs handled at once by this consumer. */
  readonly concurrency: number
}

export interface Consumer {
  /** Takes no more jobs and waits for the running ones, at most `closeMs`; then aborts their signals. */
  close(): Promise<void>
}

/** A job that failed at its last attempt. It stays until somebody revives it. */
export interface DeadLetter extends Message {
  readonly reason: string
  readonly attempts: number
}

export interface QueueCounts {
  readonly waiting: number
  readonly active: number
  /** Waiting for their next try. */
  readonly delayed: number
  readonly dead: number
}

export interface Queue {
  /** Survives the end of this process. Where false, the relay publishes again at its start what was not done. */
  readonly durable: boolean
  /** Resolves when the queue has all of them. Rejects, within seconds, when it is away; a repeat is harmless. */
  publish(messages: readonly Message[]): Promise<void>
  consume(handler: Handler, options: ConsumeOptions): Consumer
  counts(): Promise<QueueCounts>
  deadLetters(limit: number): Promise<readonly DeadLetter[]>
  /** Gives a dead letter all its attempts again. False: there is none of that id. */
  revive(id: string): Promise<boolean>
  /** Throws when it does not answer. */
  ping(): Promise<void>
  /** Closes the consumers, then the connections. */
  close(): Promise<void>
}

/** What a handler gets to let go after its signal was aborted, milliseconds. */
export const ABORT_GRACE_MS = 1_000

/** What the two queues have in common. Times in milliseconds. */
export interface RetryOptions {
  /** Tries before a job becomes a dead letter. Default 10. */
  readonly attempts?: number
  /** Delay before the second try; it doubles from try to try. Default 1 000. */
  readonly backoffMs?: number
  /** No delay is longer. Default 60 000. */
  readonly maxBackoffMs?: number
  /** How long closing waits for running jobs before it aborts them. Default 10 000. */
  readonly closeMs?: number
  /** Done jobs whose ids are remembered, to ignore a late second publication. Default 1 000. */
  readonly keepDone?: number
}

export type RetryPolicy = Required<RetryOptions>

/** The options with their defaults; throws RangeError on a value that cannot be meant. */
export function retryPolicy(options: RetryOptions): RetryPolicy {
  const policy: RetryPolicy = {
    attempts: options.attempts ?? 10,
    backoffMs: options.backoffMs ?? 1_000,
    maxBackoffMs: options.maxBackoffMs ?? 60_000,
    closeMs: options.closeMs ?? 10_000,
    keepDone: options.keepDone ?? 1_000,
  }
  for (const [name, value] of Object.entries(policy)) {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`queue: ${name} must be a whole number, not ${value}`)
  }
  if (policy.attempts < 1) throw new RangeError('queue: attempts must be at least 1')
  return policy
}

/** The delay before the next try, after `tries` tries: doubles from `backoffMs` up to `maxBackoffMs`. */
export function backoffDelay(policy: Pick<RetryPolicy, 'backoffMs' | 'maxBackoffMs'>, tries: number): number {
  return Math.min(policy.backoffMs * 2 ** Math.min(tries - 1, 30), policy.maxBackoffMs)
}
