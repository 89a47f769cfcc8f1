/** The share of failures in the last while, in slices that are forgotten one by one. */

const SLICES = 30

interface Slice {
  number: number
  all: number
  failed: number
}

export class FailureRate {
  readonly #sliceMs: number
  readonly #now: () => number
  readonly #slices: Slice[] = Array.from({ length: SLICES }, () => ({ number: -1, all: 0, failed: 0 }))

  /** @param now monotonic, milliseconds */
  constructor(windowMs: number, now: () => number) {
    this.#sliceMs = windowMs / SLICES
    this.#now = now
  }

  count(failed: boolean): void {
    const number = this.#current()
    const slice = this.#slices[number % SLICES]
    if (slice === undefined) return
    if (slice.number !== number) Object.assign(slice, { number, all: 0, failed: 0 })
    slice.all += 1
    if (failed) slice.failed += 1
  }

  /** 0 to 1; 0 when nothing happened. */
  value(): number {
    const oldest = this.#current() - SLICES + 1
    let all = 0
    let failed = 0
    for (const slice of this.#slices) {
      if (slice.number < oldest) continue
      all += slice.all
      failed += slice.failed
    }
    return all === 0 ? 0 : failed / all
  }

  #current(): number {
    return Math.floor(this.#now() / this.#sliceMs)
  }
}
