import { hasCode } from '../server/uploads/errors.ts'
import type { Upload, UploadId } from '../server/uploads/words.ts'
import type { Log, ObjectReader, ProcessingRecords } from './ports.ts'
import { RetryLater } from './queue/port.ts'
import { sha256Step } from './steps/sha256.ts'
import type { Findings, Step } from './steps/step.ts'

export interface ProcessingOptions {
  readonly records: ProcessingRecords
  /** Reads the stored file of an upload. */
  readonly readerOf: (upload: Upload) => ObjectReader
  readonly log: Log
  /** Run one after another. Default: the SHA-256 alone. */
  readonly steps?: readonly Step[]
  /** Milliseconds that a step took. */
  readonly onStep?: (step: string, ms: number) => void
  /** A state changed, so the outbox has something to relay. */
  readonly onCommit?: () => void
}

/** `done`: this call made it available. `nothing`: there was nothing to do (a repeat, gone meanwhile). */
export type Processed = 'done' | 'nothing'

/** Post-processing of one upload; see {@link createProcessing}. */
export type Process = (id: UploadId, signal: AbortSignal) => Promise<Processed>

/**
 * uploaded -> processing -> (the steps) -> available. The row's state alone says what is to be done, so a repeat after
 * the end does nothing, a repeat after a crash goes on, and of two workers on one upload one finishes it.
 *
 * Throws RetryLater while store or records are away; the upload then stays in processing.
 */
export function createProcessing(options: ProcessingOptions): Process {
  const { records, log, onCommit } = options
  return async (id, signal) => {
    try {
      const { upload, entered: begun } = await records.begin(id)
      if (begun) onCommit?.()
      if (upload?.state !== 'processing') return 'nothing'
      const { sha256 } = await runSteps(options, upload, signal)
      if (sha256 === undefined) throw new Error('no processing step worked out the SHA-256; add sha256Step')
      const { entered } = await records.finish(id, { sha256 })
      if (!entered) return 'nothing'
      onCommit?.()
      log.info({ upload: id, sha256 }, 'processing: all steps done, the upload is available')
      return 'done'
    } catch (error) {
      if (!hasCode(error, 'store_unavailable', 'records_unavailable')) {
        // A client may end its upload while a step reads it.
        if ((await records.begin(id)).upload?.state !== 'processing') return 'nothing'
        throw error
      }
      throw new RetryLater(error.message, { cause: error })
    }
  }
}

async function runSteps(options: ProcessingOptions, upload: Upload, signal: AbortSignal): Promise<Findings> {
  const { readerOf, log, steps = [sha256Step], onStep } = options
  const store = readerOf(upload)
  let findings: Findings = {}
  for (const step of steps) {
    const began = performance.now()
    findings = { ...findings, ...(await step.run({ upload, store, signal, log })) }
    onStep?.(step.name, performance.now() - began)
    signal.throwIfAborted()
  }
  return findings
}
