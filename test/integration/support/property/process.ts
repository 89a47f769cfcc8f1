import { UploadError } from '../../../../server/uploads/errors.ts'
import type { Clock, Owner } from './clock.ts'
import type { Random } from './random.ts'

export type Port = 'store' | 'records' | 'coordination'

/**
 * What goes wrong with one call.
 *   refused   answered with a failure, nothing done
 *   lost      done, but the answer never comes
 *   late      no answer; it is done long after
 *   twice     the first try got no answer and is done long after as well; the second try is answered
 */
export type FaultKind = 'refused' | 'lost' | 'late' | 'twice'

export interface Fault {
  readonly port: Port
  readonly kind: FaultKind
  /** So many calls to this port go well before. */
  readonly after: number
}

/** Delays of the network, ms: what a call takes each way, and how late a call that nobody waits for may arrive. */
export interface Delays {
  readonly way: Readonly<Record<Port, number>>
  readonly late: Readonly<Record<Port, number>>
}

export interface CallHooks {
  readonly signal?: AbortSignal
  readonly onUnanswered?: () => void
}

/** A call between leaving and being applied. */
interface InFlight {
  arrive: (() => void) | null
}

/**
 * One process of the service, as the others see it: its calls travel, get lost, arrive after it is dead. It can be
 * stopped for a while (SIGSTOP: what is on the wire goes on, what it would do waits) and killed (nothing answers it
 * any more; what it had sent may still be applied).
 */
export class SimProcess implements Owner {
  readonly name: string
  readonly #clock: Clock
  readonly #random: Random
  readonly #delays: Delays
  readonly #flying = new Map<Port, Set<InFlight>>()
  #waiting: (() => void)[] = []
  #faults: { port: Port; kind: FaultKind; after: number }[] = []
  #slow = new Map<Port, number>()
  #deaths: (() => void)[] = []
  #unanswered = new Map<(error: unknown) => void, Port>()
  #buried = false
  stoppedUntil: number | null = 0
  /** Calls that were not answered as they should: the run had faults. */
  disturbed = false

  constructor(name: string, clock: Clock, random: Random, delays: Delays) {
    this.name = name
    this.#clock = clock
    this.#random = random
    this.#delays = delays
  }

  get dead(): boolean {
    return this.stoppedUntil === null
  }

  fail(fault: Fault): void {
    this.#faults.push({ ...fault })
  }

  /** Calls to a port take `ms` longer each way; 0: as usual. */
  slow(port: Port, ms: number): void {
    this.#slow.set(port, ms)
  }

  /** No faults from now on. */
  heal(): void {
    this.#faults = []
    this.#slow.clear()
  }

  stop(ms: number): void {
    if (this.dead) return
    this.disturbed = true
    const until = this.#clock.now() + ms
    this.stoppedUntil = Math.max(this.stoppedUntil ?? 0, until)
    this.#clock.after(ms, () => this.#wake())
  }

  kill(): void {
    if (this.dead) return
    this.disturbed = true
    this.stoppedUntil = null
    this.#waiting = []
    for (const [port, calls] of this.#flying) for (const call of calls) this.#abandon(port, call)
    for (const die of this.#deaths) die()
  }

  /** What the dead still wait for fails now, and all that they would ask: in real time their timers must end. */
  bury(): void {
    this.#buried = true
    for (const [fail, port] of this.#unanswered) fail(unavailable(port))
    this.#unanswered.clear()
  }

  /** Runs when it dies: its clients see their connections break. */
  onDeath(run: () => void): void {
    if (this.dead) run()
    else this.#deaths.push(run)
  }

  /** Runs now, when it goes on, or never. */
  deliver(run: () => void): void {
    if (this.dead) return
    if ((this.stoppedUntil ?? 0) > this.#clock.now()) this.#waiting.push(run)
    else run()
  }

  /** A call over the network: `apply` is what it does there. */
  call<T>(port: Port, apply: () => Promise<T>, { signal, onUnanswered }: CallHooks = {}): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#buried) return Promise.reject(unavailable(port))
    const fault = this.#faultFor(port)
    if (fault) this.disturbed = true
    return new Promise<T>((resolve, reject) => {
      let answered = false
      this.#unanswered.set(reject, port)
      const answer = (run: () => void) => {
        if (answered) return
        answered = true
        this.#unanswered.delete(reject)
        signal?.removeEventListener('abort', abort)
        run()
      }
      const reply = (run: () => void) => this.#clock.after(this.#way(port), () => this.deliver(() => answer(run)))
      const away = () => reject(unavailable(port))
      const call = this.#send(port, () => {
        const done = apply()
        if (fault === 'lost') done.catch(() => {})
        else
          done.then(
            (value) => reply(() => resolve(value)),
            (error) => reply(() => reject(error)),
          )
      })
      const abort = () => {
        onUnanswered?.()
        answer(() => reject(signal?.reason))
        this.#abandon(port, call)
      }
      signal?.addEventListener('abort', abort)
      if (fault === 'refused') {
        call.arrive = null
        reply(away)
      } else if (fault === 'lost' || fault === 'late') {
        if (fault === 'late') this.#postpone(port, call)
        onUnanswered?.()
        this.#clock.after(this.#way(port) * 4, () => reply(away))
      } else if (fault === 'twice') {
        onUnanswered?.()
        this.#postpone(
          port,
          this.#send(port, () => void apply().catch(() => {})),
        )
      }
    })
  }

  #send(port: Port, arrive: () => void): InFlight {
    const calls = this.#flying.get(port) ?? new Set()
    this.#flying.set(port, calls)
    const call: InFlight = { arrive }
    calls.add(call)
    this.#clock.after(this.#way(port), () => {
      calls.delete(call)
      call.arrive?.()
    })
    return call
  }

  /** Nobody waits for it any more: it may be lost, arrive as if nothing were, or long after. */
  #abandon(port: Port, call: InFlight): void {
    const fate = this.#random.below(3)
    if (fate === 0) call.arrive = null
    else if (fate === 1) this.#postpone(port, call)
  }

  #postpone(port: Port, call: InFlight): void {
    const { arrive } = call
    call.arrive = null
    if (arrive) this.#clock.after(1 + this.#random.below(this.#delays.late[port]), arrive)
  }

  #way(port: Port): number {
    return this.#random.below(this.#delays.way[port] + 1) + (this.#slow.get(port) ?? 0)
  }

  #faultFor(port: Port): FaultKind | null {
    const fault = this.#faults.find((each) => each.port === port)
    if (!fault || fault.after-- > 0) return null
    this.#faults.splice(this.#faults.indexOf(fault), 1)
    return fault.kind
  }

  #wake(): void {
    if (this.dead) return
    // A real timer may be early by a fraction, and another stop may have come on top.
    const left = (this.stoppedUntil ?? 0) - this.#clock.now()
    if (left > 0) {
      this.#clock.after(left + 1, () => this.#wake())
      return
    }
    const waiting = this.#waiting
    this.#waiting = []
    for (const run of waiting) this.deliver(run)
  }
}

function unavailable(port: Port): UploadError {
  return new UploadError(`${port}_unavailable`, `The ${port} did not answer (a fault of the test).`)
}
