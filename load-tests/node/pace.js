import { setTimeout as sleep } from 'node:timers/promises'

/** Longest time that an idle client saves up for. */
const SAVED_MS = 2000

/** Lines differ: equal ones would end all uploads of a run at the same moment, in waves. */
const SLOWEST = 0.5
const FASTEST = 1.5
const STEP_SECONDS = 1

/** How fast one client sends, as a person's line would: time that it did not use it may use later, up to 2 s. */
export class Pace {
  #due = performance.now()

  /** @param {number} bytesPerSecond of many clients in the mean; 0: as fast as it can @param {AbortSignal} signal ends a wait */
  constructor(bytesPerSecond, signal) {
    const own = bytesPerSecond * (SLOWEST + Math.random() * (FASTEST - SLOWEST))
    this.msPerByte = bytesPerSecond === 0 ? 0 : 1000 / own
    /** Bytes to send at once at most: a slow line is slow all the time, it does not pause for a minute and then burst. */
    this.step = bytesPerSecond === 0 ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(own * STEP_SECONDS))
    this.signal = signal
  }

  /** Resolves when so many more bytes may be sent. @param {number} bytes */
  async allow(bytes) {
    if (this.msPerByte === 0) return
    const now = performance.now()
    this.#due = Math.max(this.#due, now - SAVED_MS) + bytes * this.msPerByte
    if (this.#due - now >= 1) await sleep(this.#due - now, undefined, { signal: this.signal })
  }
}
