import { AsyncLocalStorage } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import timersPromises from 'node:timers/promises'

/** Whose timers these are: a process of the simulation that may be stopped for a while, or for good. */
export interface Owner {
  /** When it runs again, by the clock; null: never. 0: it runs. */
  readonly stoppedUntil: number | null
}

/** Time as a simulation needs it: what is to happen later, and the passing of it. */
export interface Clock {
  now(): number
  /** Runs `run` in `ms`, whoever asks: a message on the wire does not stop with its sender. */
  after(ms: number, run: () => void): void
  /** Lets `ms` pass, less when `done` says so before. */
  pass(ms: number, done?: () => boolean): Promise<void>
  /** Runs `run` as a part of the process `owner`: its timers stop when it does. */
  as<T>(owner: Owner, run: () => T): T
  end(): void
}

/** The clock on the wall, `times` as fast: what takes a second of the simulation takes 1/times of a real one. */
export function realClock(times: number): Clock {
  const sleep = timersPromises.setTimeout
  return {
    now: () => Date.now() * times,
    after: (ms, run) => void setTimeout(run, ms / times),
    async pass(ms, done = () => false) {
      const until = Date.now() + ms / times
      while (Date.now() < until && !done()) await sleep(Math.min(5, ms / times))
    },
    as: (_owner, run) => run(),
    end: () => {},
  }
}

const EPOCH = 1_800_000_000_000
const REAL = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
  setImmediate: globalThis.setImmediate,
  now: Date.now,
  sleep: timersPromises.setTimeout,
}

/** One timer; what Node's own has of methods that the engine uses. */
class Timer {
  readonly clock: VirtualClock
  readonly ms: number
  readonly run: () => void
  readonly repeats: boolean
  readonly owner: Owner | undefined
  due: number
  live = true

  constructor(clock: VirtualClock, ms: number, run: () => void, repeats: boolean, owner: Owner | undefined) {
    this.clock = clock
    // As Node has it: nothing is sooner than a millisecond, and a thought longer than promised.
    this.ms = Math.max(1, Math.ceil(ms))
    this.run = run
    this.repeats = repeats
    this.owner = owner
    this.due = clock.now() + this.ms
  }

  refresh(): this {
    this.due = this.clock.now() + this.ms
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

const owners = new AsyncLocalStorage<Owner | undefined>()

/**
 * A clock that stands still while anything runs, and jumps to the next timer when nothing does: minutes of leases and
 * timeouts pass in milliseconds, and the same start always takes the same way. Replaces the timers of the whole
 * process until {@link end}; all else that a run waits for has to be promises and process.nextTick.
 */
export class VirtualClock implements Clock {
  #now = 0
  /** By due time; a refreshed timer is put back when its old turn comes. */
  #timers: { at: number; timer: Timer }[] = []

  constructor() {
    const timer = (run: () => void, ms: number, repeats: boolean) => this.#add(run, ms, repeats, owners.getStore())
    const cancel = (given: unknown) => {
      if (given instanceof Timer) given.live = false
    }
    const set = (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) => timer(() => run(...args), ms, false)
    Object.assign(globalThis, {
      setTimeout: set,
      clearTimeout: cancel,
      setInterval: (run: () => void, ms: number) => timer(run, ms, true),
      clearInterval: cancel,
      setImmediate: (run: (...args: unknown[]) => void, ...args: unknown[]) => set(run, 0, ...args),
    })
    Date.now = () => EPOCH + this.#now
    const sleep = (ms = 0, value?: unknown) => new Promise((resolve) => set(resolve, ms, value))
    Object.assign(timersPromises, { setTimeout: sleep })
    syncBuiltinESMExports()
  }

  end(): void {
    const { now, sleep, ...timers } = REAL
    Object.assign(globalThis, timers)
    Date.now = now
    Object.assign(timersPromises, { setTimeout: sleep })
    syncBuiltinESMExports()
    this.#timers = []
  }

  now(): number {
    return this.#now
  }

  after(ms: number, run: () => void): void {
    this.#add(run, ms, false, undefined)
  }

  as<T>(owner: Owner, run: () => T): T {
    return owners.run(owner, run)
  }

  async pass(ms: number, done: () => boolean = () => false): Promise<void> {
    const until = this.#now + ms
    for (;;) {
      // Everything that can run without time passing has run when this comes back.
      await new Promise<void>((resolve) => REAL.setImmediate(resolve))
      if (done()) return
      const next = this.#timers[0]
      if (!next || next.at > until) break
      this.#timers.shift()
      this.#now = Math.max(this.#now, next.at)
      this.#fire(next.timer, next.at)
    }
    this.#now = until
  }

  #fire(timer: Timer, at: number): void {
    if (!timer.live) return
    const stopped = timer.owner?.stoppedUntil
    if (stopped === null) return
    if (timer.due > at || (stopped ?? 0) > at) {
      timer.due = Math.max(timer.due, stopped ?? 0)
      this.#queue(timer)
      return
    }
    if (timer.repeats) {
      timer.refresh()
      this.#queue(timer)
    } else {
      timer.live = false
    }
    owners.run(timer.owner, timer.run)
  }

  #add(run: () => void, ms: number, repeats: boolean, owner: Owner | undefined): Timer {
    const timer = new Timer(this, ms, run, repeats, owner)
    this.#queue(timer)
    return timer
  }

  #queue(timer: Timer): void {
    const at = timer.due
    let low = 0
    let high = this.#timers.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#timers[middle]?.at ?? 0) <= at) low = middle + 1
      else high = middle
    }
    this.#timers.splice(low, 0, { at, timer })
  }
}
