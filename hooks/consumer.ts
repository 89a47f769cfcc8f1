import { hasCode } from '../server/uploads/errors.ts'
import type { Upload } from '../server/uploads/words.ts'
import { type EventType, parseEvent, type UploadEvent } from './events.ts'
import type { Log, ObjectReader, Outbox, ProcessingRecords } from './ports.ts'
import { createProcessing } from './processing.ts'
import { type Consumer, type Job, type Queue, RetryLater } from './queue/port.ts'
import type { Step } from './steps/step.ts'

/** What a listener is told beside the event. */
export interface Delivery {
  /** 1 at the first try. */
  readonly attempt: number
  /** Aborted when the worker closes: stop and throw; the event comes again. */
  readonly signal: AbortSignal
}

/** Something that happens because of events. Each listener of an event succeeds or is retried by itself. */
export interface Listener {
  /** Fixed for good: a retried job remembers by it what is done. */
  readonly name: string
  readonly type: EventType
  /** May be called again with the same event id. */
  handle(event: UploadEvent, delivery: Delivery): Promise<void>
}

/** How a job ended: done, failed (comes again), later (something is away), dead (was its last attempt). */
export type Outcome = 'done' | 'failed' | 'later' | 'dead'

/** Counters that the consumer moves. */
export interface ConsumerMetrics {
  handled(type: EventType | 'unknown', outcome: Outcome, ms: number): void
  /** One post-processing step ran to its end. */
  step(name: string, ms: number): void
}

export interface ConsumerOptions {
  readonly queue: Queue
  readonly outbox: Pick<Outbox, 'markDone'>
  readonly processing: ProcessingRecords
  /** Reads the stored file of an upload. */
  readonly readerOf: (upload: Upload) => ObjectReader
  readonly log: Log
  readonly metrics?: ConsumerMetrics
  /** Jobs at once. Default 4. */
  readonly concurrency?: number
  /** Post-processing, one after another. Default: the SHA-256 alone. */
  readonly steps?: readonly Step[]
  /** The post-* lifecycle hooks: `loadHooks(...).listeners`. */
  readonly listeners?: readonly Listener[]
  /** Something was committed to the outbox: `relay.nudge`, where the relay runs in this process. */
  readonly onCommit?: () => void
}

/**
 * Takes events from the queue and does what has to be done because of them: post-processing, then the listeners.
 * Close it before the queue, the records and the store.
 */
export function startConsumer(options: ConsumerOptions): Consumer {
  const listeners = [processingListener(options), ...(options.listeners ?? [])]
  return options.queue.consume((job) => handle(options, listeners, job), { concurrency: options.concurrency ?? 4 })
}

function processingListener(options: ConsumerOptions): Listener {
  const { processing, readerOf, log, steps, metrics, onCommit } = options
  const process = createProcessing({
    records: processing,
    readerOf,
    log,
    ...(steps && { steps }),
    onStep: (name, ms) => metrics?.step(name, ms),
    ...(onCommit && { onCommit }),
  })
  return {
    name: 'processing',
    type: 'upload.uploaded',
    handle: async ({ uploadId }, { signal }) => {
      await process(uploadId, signal)
    },
  }
}

async function handle(options: ConsumerOptions, listeners: readonly Listener[], job: Job): Promise<void> {
  const began = performance.now()
  let type: EventType | 'unknown' = 'unknown'
  let outcome: Outcome = 'done'
  try {
    const event = parseEvent(job.body)
    type = event.type
    await tellAll(listeners, event, job)
    await markDone(options.outbox, event.id)
  } catch (error) {
    outcome = outcomeOf(error, job)
    report(options.log, error, job, outcome)
    throw error
  } finally {
    options.metrics?.handled(type, outcome, performance.now() - began)
  }
}

/** Tells every listener that has not had the event yet, side by side. Throws what one of those that failed threw. */
async function tellAll(listeners: readonly Listener[], event: UploadEvent, job: Job): Promise<void> {
  // A piece of a file is nothing to process or to tell: the final upload made of it is (tus 1.0, Concatenation).
  if (event.type === 'upload.uploaded' && event.payload.partial) return
  const told = listeners.filter(({ name, type }) => type === event.type && !job.passed.has(name))
  const delivery: Delivery = { attempt: job.attempt, signal: job.signal }
  const results = await Promise.allSettled(told.map((listener) => listener.handle(event, delivery)))
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
  if (failures.length === 0) return
  for (const [i, { name }] of told.entries()) if (results[i]?.status === 'fulfilled') await job.checkpoint(name)
  // One that must not be retried for ever decides over those that may.
  throw failures.find((error) => !(error instanceof RetryLater)) ?? failures[0]
}

async function markDone(outbox: Pick<Outbox, 'markDone'>, id: string): Promise<void> {
  try {
    await outbox.markDone(id)
  } catch (error) {
    if (!hasCode(error, 'records_unavailable')) throw error
    throw new RetryLater(error.message, { cause: error })
  }
}

function outcomeOf(error: unknown, job: Job): Outcome {
  if (error instanceof RetryLater || job.signal.aborted) return 'later'
  return job.attempt >= job.attempts ? 'dead' : 'failed'
}

function report(log: Log, error: unknown, { id, name, attempt }: Job, outcome: Outcome): void {
  const fields = { err: error, event: id, type: name, attempt }
  if (outcome === 'dead') log.error(fields, 'worker: an event failed at its last attempt and is a dead letter now')
  else
    log.warn(fields, outcome === 'later' ? 'worker: an event has to wait' : 'worker: an event failed; it comes again')
}
