import type { Upload } from '../../server/uploads/words.ts'
import type { Log, ObjectReader } from '../ports.ts'

/** What a step is given. */
export interface StepContext {
  /** The row when processing began; its object is whole and `objectKey` names it. */
  readonly upload: Upload
  readonly store: ObjectReader
  /** Aborted when the worker closes: stop and throw; the step is run again elsewhere. */
  readonly signal: AbortSignal
  readonly log: Log
}

/** What steps found out about the file, for its row. */
export interface Findings {
  /** Lower-case hex. */
  readonly sha256?: string
}

/**
 * One post-processing action. It may be run again for the same upload at any time (a worker died, a later step failed),
 * also by two workers at once, so it changes nothing that a repeat would change differently.
 *
 * Throws: RetryLater (or UploadError `store_unavailable`, `records_unavailable`) when something is away, retried as
 * often as it takes; anything else uses up an attempt, and after the last one the upload stays in `processing`.
 */
export interface Step {
  readonly name: string
  run(context: StepContext): Promise<Findings>
}
