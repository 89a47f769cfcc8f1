/**
 * MAX_CONCURRENT_UPLOADS: how many storage writes with a body this process has in flight. First come, first served,
 * so that no upload starves another; a hand-over, a stop or a small file does not queue behind large parts
 * (one more place, unless the limit is 1).
 */
export class WriteGate {
  readonly #limit: number
  readonly #waiting: (() => void)[] = []
  readonly #urgent: (() => void)[] = []
  #running = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#waiting.length + this.#urgent.length
  }

  /** Runs `write` when a place is free and frees the place when it settles. */
  async run<T>(write: () => Promise<T>, urgent = false): Promise<T> {
    if (this.#running >= this.#places(urgent)) {
      await new Promise<void>((resolve) => (urgent ? this.#urgent : this.#waiting).push(resolve))
    } else {
      this.#running++
    }
    try {
      return await write()
    } finally {
      this.#running--
      this.#admit()
    }
  }

  #places(urgent: boolean): number {
    return urgent && this.#limit > 1 ? this.#limit + 1 : this.#limit
  }

  #admit(): void {
    const queue = this.#urgent.length > 0 ? this.#urgent : this.#waiting
    if (queue.length === 0 || this.#running >= this.#places(queue === this.#urgent)) return
    this.#running++
    queue.shift()?.()
  }
}
