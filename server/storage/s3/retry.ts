import { setTimeout as sleep } from 'node:timers/promises'
import { UploadError } from '../../uploads/errors.ts'
import type { WriteOptions } from '../../uploads/ports/byte-store.ts'
import { asFailure } from './failure.ts'

const TRIES = 3
const FIRST_PAUSE_MS = 100

/**
 * Runs `attempt` up to three times, pausing 50-100 and 100-200 ms between (full jitter keeps a fleet from coming back
 * in step). Tells once when a try stayed without an answer. Throws the signal's reason when that ended it, else
 * `store_unavailable` or `internal`.
 */
export async function withRetries<T>(
  operation: string,
  attempt: () => Promise<T>,
  { signal, onUnanswered }: WriteOptions = {},
): Promise<T> {
  let told = false
  for (let tries = 1; ; tries++) {
    signal?.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      if (error instanceof UploadError) throw error
      const failure = asFailure(error)
      if (failure.unanswered && !told) {
        told = true
        onUnanswered?.()
      }
      signal?.throwIfAborted()
      if (!failure.retryable || tries === TRIES) throw failure.toUploadError(operation)
      await pause(FIRST_PAUSE_MS * 2 ** (tries - 1) * (0.5 + Math.random() / 2), signal)
    }
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal ? { signal } : {})
  } catch {
    signal?.throwIfAborted()
  }
}
