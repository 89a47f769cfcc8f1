import { UploadError } from './errors.ts'
import type { UploadId } from './words.ts'

/** What a holder does when somebody else needs the upload. Set while bytes flow; otherwise requests wait. */
export interface HoldListener {
  /** Stop reading, flush, save, release. */
  wanted(): void
  /** Flush if it is time, then {@link Hold.answer} the offset. */
  inspected(): void
}

/**
 * The right to write one upload for a while: generation, token, lease. Every write to store, session and row takes
 * it. It ends by release, or is lost (`signal` aborts) when the lease ran out, the session is gone or another's, or
 * the row's generation was raised by somebody else. A lost holder aborts its request; it never rebuilds.
 */
export class Hold {
  readonly upload: UploadId
  readonly token: string
  /** The row's generation under which it writes; null until a takeover raised it. */
  generation: number | null
  /** A raise of its own is on its way: both generations are right meanwhile. */
  raisingTo: number | null = null
  /**
   * A storage write stayed without an answer, or was stored and is not in the session: the next holder must not go on
   * as if the session said all there is or will be.
   */
  unanswered = false
  /** Instances that wait for the release. */
  readonly askers = new Set<string>()
  /** Instances that wait for the offset. */
  readonly inspectors = new Set<string>()
  wanted = false
  /** When the lease was last confirmed, by the clock before the question was sent; ms. */
  leasedAt: number
  /** When the row's generation was last seen to be ours; ms. */
  rowSeenAt: number
  readonly #abort = new AbortController()
  #listener: HoldListener | null = null

  constructor(upload: UploadId, token: string, generation: number | null, leasedAt: number, rowSeenAt: number) {
    this.upload = upload
    this.token = token
    this.generation = generation
    this.leasedAt = leasedAt
    this.rowSeenAt = rowSeenAt
  }

  /** Aborts when the hold is lost. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get lost(): boolean {
    return this.#abort.signal.aborted
  }

  lose(why: string): void {
    if (!this.lost)
      this.#abort.abort(new UploadError('hold_lost', `The hold of upload ${this.upload} was lost: ${why}.`))
  }

  /** Throws hold_lost when it is no longer ours. */
  assert(): void {
    if (this.lost) throw this.#abort.signal.reason
  }

  /** The generation; throws when a takeover has not raised it yet. */
  get epoch(): number {
    if (this.generation === null) throw new Error(`hold of ${this.upload} has no generation yet`)
    return this.generation
  }

  listen(listener: HoldListener | null): void {
    this.#listener = listener
    if (!listener) return
    if (this.wanted) listener.wanted()
    if (this.inspectors.size > 0) listener.inspected()
  }

  want(by: string): void {
    this.askers.add(by)
    this.wanted = true
    this.#listener?.wanted()
  }

  inspect(by: string): void {
    this.inspectors.add(by)
    this.#listener?.inspected()
  }
}
