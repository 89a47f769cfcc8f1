/**
 * The S3 requests of one run, counted at the proxies, and the blow that falls at one of them. A run's requests are
 * those that name an upload which no run before it had: in a key, in the prefix of a listing, in a DeleteObjects.
 * So what goes on in the background after the answer counts too, and what sweepers do does not.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { S3Operation } from '../../../support/s3-operations.ts'
import type { Fault, S3Call, S3Proxy } from '../../../support/s3-proxy.ts'
import { eventually } from '../../support/tus.ts'

/** Before the store hears of the request, after the store applied it, after its answer went back. */
export type Phase = 'before' | 'applied' | 'answered'

export interface Blow {
  readonly name: string
  readonly phase: Phase
  /** How often the same request meets it, its retries included; default once. */
  readonly times?: number
  /** Only at requests of this kind. */
  readonly only?: S3Operation
  /** What happens, and what becomes of the request (never anything after it was answered). */
  strike(slot: number): Promise<Fault | undefined>
  /** Until what was hurt is whole again. */
  heal(): Promise<void>
}

interface Armed {
  readonly blow: Blow
  readonly boundary: number
  left: number
  struck: S3Call | null
}

const UPLOAD_ID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g
/** Slowed requests take so much longer. */
const SLOWLY_MS = 800

export class Track {
  readonly #old = new Set<string>()
  readonly #fresh = new Set<string>()
  readonly #ours = new Map<S3Call, number>()
  #armed: Armed | null = null
  #slow: S3Operation | null = null

  /** Follows the requests of the instance `slot`. */
  follow(proxy: S3Proxy, slot: number): void {
    proxy.before = async (call) => {
      if (!this.#count(call)) return undefined
      if (call.operation === this.#slow) await sleep(SLOWLY_MS)
      return this.#meet(call, 'before', slot)
    }
    proxy.after = async (call) => this.#meet(call, 'applied', slot)
    proxy.answered = (call) => void this.#meet(call, 'answered', slot)
  }

  /** A new run; `blow` falls at its `boundary`th request, counted from 0. `slow`: requests of this kind are held up. */
  begin({ blow, boundary = 0, slow }: { blow?: Blow; boundary?: number; slow?: S3Operation | undefined } = {}): void {
    for (const id of this.#fresh) this.#old.add(id)
    this.#fresh.clear()
    this.#ours.clear()
    this.#slow = slow ?? null
    this.#armed = blow ? { blow, boundary, left: blow.times ?? 1, struck: null } : null
  }

  /** What the run's requests were, in the order in which they came. */
  get operations(): S3Operation[] {
    return [...this.#ours.keys()].map(({ operation }) => operation)
  }

  /** Uploads of this run that S3 heard of. */
  get ids(): string[] {
    return [...this.#fresh]
  }

  /** Where the blow fell; waits for a boundary in the background of an upload that is finished already. */
  async struckAt(): Promise<S3Operation> {
    await eventually(
      async () => this.#armed?.struck !== null,
      `request ${this.#armed?.boundary} came; so far ${this.operations}`,
      30_000,
    )
    return this.#armed?.struck?.operation ?? 'Other'
  }

  /** No request of this run is under way. */
  get idle(): boolean {
    return [...this.#ours.keys()].every((call) => call.endedAt !== undefined)
  }

  /** Whether the request is one of this run. */
  #count(call: S3Call): boolean {
    const named = [call.key, call.prefix, ...call.keys].flatMap((text) => text.match(UPLOAD_ID) ?? [])
    const ours = named.filter((id) => !this.#old.has(id))
    if (ours.length === 0) return false
    for (const id of ours) this.#fresh.add(id)
    this.#ours.set(call, this.#ours.size)
    return true
  }

  async #meet(call: S3Call, phase: Phase, slot: number): Promise<Fault | undefined> {
    const armed = this.#armed
    if (armed === null || armed.blow.phase !== phase || armed.left === 0) return undefined
    const here = armed.struck ? sameRequest(call, armed.struck) : this.#ours.get(call) === armed.boundary
    if (!here) return undefined
    armed.left -= 1
    armed.struck ??= call
    return armed.blow.strike(slot)
  }
}

/** A retry, as far as the store can tell. */
function sameRequest(one: S3Call, other: S3Call): boolean {
  const told = ({ operation, key, prefix, keys, partNumber, multipartId }: S3Call) =>
    JSON.stringify([operation, key, prefix, keys, partNumber, multipartId])
  return told(one) === told(other)
}
