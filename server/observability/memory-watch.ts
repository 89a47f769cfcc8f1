/** Tells when the process nears MEMORY_LIMIT_MB, once each time that it gets there. */

export interface MemoryWatchOptions {
  readonly limitBytes: number
  /** 0 to 1 of the limit. */
  readonly threshold: number
  readonly onHigh: (fields: { readonly residentBytes: number; readonly limitBytes: number }) => void
  /** Default 5 000. */
  readonly everyMs?: number
  /** Default: the process's resident memory. */
  readonly residentBytes?: () => number
}

/** Once below this part of the threshold, the next time above it is news again. */
const CALM = 0.95

/** Starts looking; returns what stops it. Keeps no process alive. */
export function watchMemory(options: MemoryWatchOptions): () => void {
  const { limitBytes, threshold, onHigh } = options
  const residentBytes = options.residentBytes ?? (() => process.memoryUsage.rss())
  let high = false
  const timer = setInterval(() => {
    const resident = residentBytes()
    if (!high && resident >= threshold * limitBytes) {
      high = true
      onHigh({ residentBytes: resident, limitBytes })
    } else if (resident < CALM * threshold * limitBytes) {
      high = false
    }
  }, options.everyMs ?? 5000)
  timer.unref()
  return () => clearInterval(timer)
}
