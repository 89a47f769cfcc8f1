import { concatBytes, crc32Of, splitBytes } from './bytes.ts'
import type { Deps } from './deps.ts'
import { UploadError } from './errors.ts'
import type { Hold } from './hold.ts'
import { tailKey } from './keys.ts'
import { countedTwice } from './memory.ts'
import type { ByteStore, Piece } from './ports/byte-store.ts'
import type { Session } from './ports/coordination.ts'
import type { ChangeOptions, UploadChange } from './ports/records.ts'
import type { Loan } from './tail-cache.ts'
import type { Bytes, Part, Segment, Tail, Upload } from './words.ts'

/**
 * An upload while somebody holds it: its row, its session, and the only ways to change either. Every change goes
 * through the hold, so that a holder that lost it changes nothing.
 */
export class OpenUpload {
  readonly hold: Hold
  readonly #deps: Deps
  #row: Upload
  #session: Session
  /** While bytes are stored that nobody has verified: the session without them, as everybody else may see it. */
  #counted: Session | null = null
  /** Parts of those bytes. */
  #uncounted: Part[] = []
  /** False until the session was saved once: a request that stored nothing leaves nothing behind. */
  saved: boolean
  /** The session was moved here and not yet saved: {@link end} does it together with the release. */
  #heldBack = false
  #ended = false
  /** Keys of cached tails that a write of ours may point into, and how much was read back for it. */
  readonly #lent = new Map<string, Loan>()
  #borrowed = 0
  /** A write failed: what it was given is not used again. */
  #failed = false

  constructor(deps: Deps, hold: Hold, row: Upload, session: Session, saved: boolean) {
    this.#deps = deps
    this.hold = hold
    this.#row = row
    this.#session = session
    this.saved = saved
  }

  get row(): Upload {
    return this.#row
  }

  /** Where this upload's bytes are. */
  get store(): ByteStore {
    return this.#deps.stores.of(this.#row)
  }

  get session(): Session {
    return this.#session
  }

  /** Durable bytes that count: what may be told. */
  get offset(): number {
    return (this.#counted ?? this.#session).offset
  }

  /** Is more stored than counts? */
  get unverified(): boolean {
    return this.#counted !== null
  }

  /** Full parts of the open multipart upload below the offset. */
  get fullParts(): number {
    return Math.floor((this.offset - this.#session.start) / this.#row.partBytes)
  }

  /** Where the part that is being gathered begins. */
  get partStart(): number {
    return this.#session.start + this.fullParts * this.#row.partBytes
  }

  /** Changes the row under the hold's generation; hold_lost when somebody raised it or the state moved on. */
  async change(change: UploadChange, options: Omit<ChangeOptions, 'generation'> = {}): Promise<Upload> {
    await this.#saveHeldBack()
    this.hold.assert()
    const generation = this.hold.epoch
    if (options.raise) this.hold.raisingTo = generation + 1
    const seenAt = Date.now()
    const row = await this.#deps.records.change(this.#row.id, change, { ...options, generation }).catch((error) => {
      // It may still be applied, under a generation that the next holder would share: so that one raises it.
      this.hold.unanswered = true
      throw error
    })
    if (!row) {
      this.hold.lose('the row moved on without it')
      this.hold.assert()
      throw new Error('unreachable')
    }
    this.hold.generation = row.generation
    this.hold.raisingTo = null
    this.hold.rowSeenAt = seenAt
    this.#row = row
    if (options.enter?.length) this.#deps.events.outbox()
    return row
  }

  /** Moves the session; what it says was durable before. */
  async save(change: Partial<Session>, parts?: readonly Part[]): Promise<void> {
    const session = { ...this.#session, generation: this.hold.epoch, ...change }
    if (this.#counted) {
      this.#uncounted.push(...(parts ?? []))
      if (change.multipartId !== undefined) {
        const counted = { ...this.#counted, generation: this.hold.epoch, multipartId: change.multipartId }
        await this.#put(counted)
        this.#counted = counted
      }
    } else await this.#put(session, parts)
    this.#session = session
  }

  /**
   * The same for the last time: it is saved by {@link end}, in one call with the release, or by whatever comes between.
   * Until then nobody may be told of it.
   */
  async saveLast(change: Partial<Session>): Promise<void> {
    if (this.#counted) return this.save(change)
    this.hold.assert()
    this.#session = { ...this.#session, generation: this.hold.epoch, ...change }
    this.#heldBack = true
  }

  async #saveHeldBack(): Promise<void> {
    if (this.#heldBack) await this.#put({ ...this.#session, generation: this.hold.epoch })
  }

  /**
   * From here on what is stored does not count before {@link verified}. The row says so first, since a rebuild looks at
   * the store; the session stays where it is (data-path.md, section 5).
   */
  async beginUnverified(): Promise<void> {
    if (this.#counted) return
    await this.change({ unverifiedFrom: this.offset })
    this.#counted = this.#session
  }

  /** All that was stored since {@link beginUnverified} counts: the row first, then the session. */
  async verified(): Promise<void> {
    if (!this.#counted) return
    await this.change({ unverifiedFrom: null })
    await this.#put({ ...this.#session, generation: this.hold.epoch }, this.#uncounted)
    this.#counted = null
    this.#uncounted = []
  }

  async #put(session: Session, parts?: readonly Part[], release = false): Promise<void> {
    this.hold.assert()
    const { holds } = this.#deps
    const kept = await holds.save(this.hold, session, parts, release).catch((error) => {
      // The store may have what the session does not say: a rebuild must never count it behind what comes next.
      this.hold.unanswered = true
      throw error
    })
    if (kept !== 'kept' && kept !== 'released') {
      this.hold.lose(kept === 'gone' ? 'its session is gone' : 'another request took it')
      this.hold.assert()
    }
    this.#heldBack = false
    this.saved = true
    this.#ended = kept === 'released'
  }

  /** The open multipart upload was completed into a segment; the row is told with the next change that names it. */
  closeMultipart(segment: Segment): void {
    this.#row = { ...this.#row, segments: [...this.#row.segments, segment], multipartId: null, multipartKey: null }
  }

  /** Sends bytes through the write gate and the hold's signal; counts them while they are in flight. */
  async write<T>(bytes: Bytes, urgent: boolean, send: (piece: Piece, options: WriteHooks) => Promise<T>): Promise<T> {
    try {
      return await this.#deps.gate.run(() => {
        this.hold.assert()
        const onUnanswered = () => {
          this.hold.unanswered = true
        }
        const put = () => send({ body: bytes, crc32: crc32Of(bytes) }, { signal: this.hold.signal, onUnanswered })
        return countedTwice(this.#deps.memory, this.store, bytes, put)
      }, urgent)
    } catch (error) {
      this.#failed = true
      throw error
    }
  }

  /**
   * The bytes that `tails` (a chain without gaps) hold from `from` on, from memory or read back. They stay until
   * {@link forgetTails}, once the write that they are for was answered, or {@link close}.
   */
  async tailBytes(tails: readonly Tail[] = this.#session.tails, from = tails[0]?.start ?? 0): Promise<Bytes> {
    const known = tails.map((tail) => this.#lend(tail))
    await this.#borrow(tails.filter((_, index) => known[index] === null))
    const all: Bytes[] = []
    let position = from
    for (const [index, tail] of tails.entries()) {
      const bytes = known[index] ?? (await this.#readBack(tail))
      // A chain may overlap (longest first): only what lies past the position counts.
      all.push(splitBytes(bytes, position - tail.start)[1])
      position = tail.end
    }
    return concatBytes(...all)
  }

  /** Nobody reads these tails any more: the session's, or some that a write took in, which was answered. */
  forgetTails(tails: readonly Tail[] = this.#session.tails): void {
    for (const tail of tails) {
      const key = this.#keyOf(tail)
      this.#deps.tails.delete(key, this.#failed ? null : (this.#lent.get(key) ?? null))
      this.#lent.delete(key)
    }
    if (this.#lent.size === 0) this.#repay()
  }

  /** The parts that the session recorded for the open multipart upload. Throws hold_lost. */
  async recordedParts(): Promise<Part[]> {
    const { kept, parts } = await this.#deps.coordination.parts(this.#row.id, this.hold.token)
    if (kept !== 'kept') this.hold.lose('its session is gone')
    this.hold.assert()
    return parts
  }

  #keyOf(tail: Tail): string {
    return tailKey(this.#deps.settings.keys, this.#row.id, tail)
  }

  #lend(tail: Tail): Bytes | null {
    const key = this.#keyOf(tail)
    // Once is enough: both would be given back together.
    const before = this.#lent.get(key)
    if (before) this.#deps.tails.unlend(key, before)
    const loan = this.#deps.tails.lend(key)
    if (loan) this.#lent.set(key, loan)
    return loan?.kept.bytes ?? null
  }

  /** Room for all that is missing at once: whoever waited with a part of it could wait for somebody who does, too. */
  async #borrow(tails: readonly Tail[]): Promise<void> {
    if (tails.length === 0) return
    // What was read back before and is not given back yet must not be waited for by ourselves.
    this.#repay()
    const bytes = tails.reduce((sum, { start, end }) => sum + end - start, 0)
    await this.#deps.memory.readBacks.borrow(bytes)
    this.#borrowed = bytes
    this.hold.assert()
  }

  #repay(): void {
    if (this.#borrowed > 0) this.#deps.memory.readBacks.repay(this.#borrowed)
    this.#borrowed = 0
  }

  async #readBack(tail: Tail): Promise<Bytes> {
    const key = this.#keyOf(tail)
    const stream = await this.store.read(key, undefined, this.hold.signal)
    const gathering = this.#deps.tails.gathering()
    try {
      for await (const chunk of stream ?? []) gathering.append(chunk)
    } catch (error) {
      gathering.take(gathering.length).release(true)
      // A stream that was ended because the hold is lost says no more than that it was ended.
      this.hold.assert()
      throw error
    }
    const { length } = gathering
    const kept = gathering.take(length)
    if (length !== tail.end - tail.start) {
      kept.release(true)
      // Whoever ended the upload meanwhile deleted it: no fault then.
      await this.#stillOurs()
      throw new UploadError('internal', `Tail ${key} has ${length} bytes instead of ${tail.end - tail.start}.`)
    }
    this.#deps.tails.put(key, kept)
    return this.#lend(tail) ?? kept.bytes
  }

  /** Throws hold_lost when the row has another generation by now. */
  async #stillOurs(): Promise<void> {
    const generations = await this.#deps.records.generations([this.#row.id])
    if (generations.get(this.#row.id) !== this.hold.epoch) this.hold.lose('the row moved on without it')
    this.hold.assert()
  }

  /**
   * Lets go with success: what was held back is saved in the same call. Then the offset may be told. Throws
   * coordination_unavailable, records_unavailable, and hold_lost when the hold or the row was not seen to be ours in time.
   */
  async end(): Promise<void> {
    const { holds } = this.#deps
    await holds.fresh(this.hold, 0.5)
    if (this.#heldBack && !this.hold.unanswered) await this.#put(this.#session, undefined, true)
    else await this.#saveHeldBack()
    holds.assertSeen(this.hold)
    await this.close()
  }

  /** No write of ours is under way any more: nothing that {@link tailBytes} returned is used again. */
  giveBack(): void {
    for (const [key, loan] of this.#lent) {
      if (this.#failed) this.#deps.tails.delete(key)
      else this.#deps.tails.unlend(key, loan)
    }
    this.#lent.clear()
    this.#repay()
  }

  /** Lets go: for the next holder to go on from, or with nothing left behind. */
  async close(how: 'keep' | 'drop' = 'keep'): Promise<void> {
    this.giveBack()
    if (this.#ended) return
    // Not a second time: what did not answer just now would only keep the client waiting.
    if (!this.hold.unanswered) await this.#saveHeldBack().catch(() => {})
    // What is stored and not in the session must not stand behind what the next holder writes.
    if (this.#heldBack) this.hold.unanswered = true
    // The store has parts and tails that must never count: the next holder ends what they belong to.
    if (this.#counted) this.hold.unanswered = true
    const drop = how === 'drop' || !this.saved
    await this.#deps.holds.release(this.hold, drop && !this.hold.lost ? 'drop' : 'clean')
  }
}

interface WriteHooks {
  readonly signal: AbortSignal
  readonly onUnanswered: () => void
}
