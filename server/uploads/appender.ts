import { concatBytes, NO_BYTES } from './bytes.ts'
import { note } from './context.ts'
import type { Deps } from './deps.ts'
import { UploadError } from './errors.ts'
import type { Kept } from './gathering.ts'
import type { Intake, IntakeEnd } from './intake.ts'
import { newObjectKey, tailKey } from './keys.ts'
import type { OpenUpload } from './open-upload.ts'
import { rollSegment } from './segments.ts'
import { tailsToAbsorb } from './tail-tiers.ts'
import type { Bytes, Part, Tail } from './words.ts'

/** Parts of one upload in flight at once: enough to keep a store busy while the next one is gathered. */
const PARTS_IN_FLIGHT = 4
/** A HEAD makes a holder flush at most this often. */
const FLUSH_EVERY_MS = 1000

/** How an append ended. `wanted`: somebody else needs the upload. `stopped`: this process ends. */
export type AppendEnd = Exclude<IntakeEnd, 'open'> | 'wanted' | 'stopped'

export interface Appended {
  readonly end: AppendEnd
  /** All bytes of a small upload, in memory, when they complete it and no multipart upload is open; else null. */
  readonly whole: Kept | null
}

type FlushReason = 'end' | 'cut' | 'wanted' | 'inspect' | 'age' | 'memory'

/**
 * Moves the bytes of one request into the store: full parts as they fill, the rest as one tail at the end, when the
 * connection breaks, when the upload is wanted elsewhere, when a HEAD asks, when a piece grows old or memory is
 * short (data-path.md, section 4). The session moves over bytes only after the store answered for them, in order.
 */
export class Appender {
  readonly #deps: Deps
  readonly #open: OpenUpload
  readonly #intake: Intake
  /** The offset behind the last byte that was handed to a write. */
  #position: number
  /** Parts in flight, oldest first: each settles when its part is saved or given up. Never rejects. */
  readonly #inFlight: Promise<void>[] = []
  #failure: unknown = null
  #stopped = false
  #aged = false
  #flushedAt = 0

  constructor(deps: Deps, open: OpenUpload, intake: Intake) {
    this.#deps = deps
    this.#open = open
    this.#intake = intake
    this.#position = open.offset
  }

  /** This process ends: flush and let go. */
  stop(): void {
    this.#stopped = true
    this.#intake.poke()
  }

  /** Reads until the body ends or has to. Throws what a write threw, after everything in flight has settled. */
  async run(): Promise<Appended> {
    const { hold } = this.#open
    const poke = () => this.#intake.poke()
    hold.signal.addEventListener('abort', poke, { once: true })
    hold.listen({ wanted: poke, inspected: poke })
    const timer = setInterval(() => this.#checkAge(), Math.max(100, this.#deps.settings.flushAfterMs / 10))
    try {
      const end = await this.#read()
      this.#intake.pause()
      // Nothing of a body that was not verified is kept.
      if (this.#intake.unverified) return { end, whole: null }
      return { end, whole: await this.#last(end) }
    } finally {
      clearInterval(timer)
      hold.signal.removeEventListener('abort', poke)
      hold.listen(null)
      await Promise.all(this.#inFlight)
      this.#deps.holds.answer(hold, this.#open.offset)
    }
  }

  async #read(): Promise<AppendEnd> {
    const { hold } = this.#open
    for (;;) {
      hold.assert()
      if (this.#failure) throw this.#failure
      if (this.#intake.unverified && this.#intake.end !== 'open') {
        if (this.#intake.end !== 'ended') return this.#intake.end
        await this.#verify()
      }
      const need = this.#untilFull()
      // What is asked for comes before reading on: a body that flows fast must not keep anybody waiting.
      if (this.#intake.bytes >= need) await this.#sendPart(need)
      else if (this.#intake.end !== 'open') return this.#intake.end
      else if (hold.wanted) return 'wanted'
      else if (this.#stopped) return 'stopped'
      else if (hold.inspectors.size > 0) {
        if (await this.#inspected()) return 'wanted'
      } else if (this.#aged && !this.#intake.unverified) await this.#flush('age')
      else if (this.#intake.flushAsked) await this.#flush('memory')
      else {
        this.#intake.resume(need)
        await this.#intake.wait()
      }
    }
  }

  /** The body ended: does it count? Throws checksum_mismatch, checksum_invalid. */
  async #verify(): Promise<void> {
    await this.#settle()
    this.#intake.verify()
    await this.#open.verified()
  }

  /**
   * Bytes that fill the part being gathered. The upload's last piece waits for the end of the body instead, and so does
   * a body that fits and has to be verified.
   */
  #untilFull(): number {
    const { row, session } = this.#open
    const done = Math.floor((this.#position - session.start) / row.partBytes)
    const boundary = session.start + (done + 1) * row.partBytes
    const need = row.length !== null && boundary >= row.length ? Number.POSITIVE_INFINITY : boundary - this.#position
    const { unverified, bodyLength } = this.#intake
    const fits = unverified && !this.#open.unverified && bodyLength !== null && bodyLength <= need
    return fits ? Number.POSITIVE_INFINITY : need
  }

  #checkAge(): void {
    if (this.#intake.bytes === 0 || Date.now() - this.#intake.since < this.#deps.settings.flushAfterMs) return
    this.#aged = true
    this.#intake.poke()
  }

  /** A HEAD asks. True: nothing comes any more, so the request is cut and its bytes show. */
  async #inspected(): Promise<boolean> {
    if (this.#intake.quietMs >= this.#deps.settings.inspectStallMs) return true
    const due = !this.#intake.unverified && Date.now() - this.#flushedAt >= FLUSH_EVERY_MS
    if (due) await this.#flush('inspect')
    this.#deps.holds.answer(this.#open.hold, this.#open.offset)
    return false
  }

  /** What is left when reading ended: the last part, a whole small file for the finish, or a tail. */
  async #last(end: AppendEnd): Promise<Kept | null> {
    const { row } = this.#open
    if (end === 'overrun') this.#intake.take(this.#intake.bytes).release(true)
    const rest = this.#intake.bytes
    if (row.length !== null && rest > 0 && this.#position + rest === row.length) {
      if (this.#open.session.multipartId !== null) {
        await this.#sendPart(rest)
        await this.#settle()
        return null
      }
      // Segments are composed with what is behind them, which then has to be durable first.
      if (this.#open.row.segments.length === 0) return this.#gatherWhole()
    }
    await this.#flush(end === 'ended' ? 'end' : end === 'wanted' || end === 'stopped' ? 'wanted' : 'cut')
    return null
  }

  async #gatherWhole(): Promise<Kept> {
    await this.#settle()
    await this.#begin()
    const before = await this.#open.tailBytes()
    const rest = this.#intake.take(this.#intake.bytes)
    return { ...rest, bytes: concatBytes(before, rest.bytes) }
  }

  /** The next part: tails of it that are durable already, and `count` gathered bytes. */
  async #sendPart(count: number): Promise<void> {
    await this.#begin()
    const { store } = this.#open
    // What is not verified must not become a segment: such a body may have as many parts as the store takes.
    if (this.#open.unverified && this.#nextNumber() > store.maxParts) {
      throw new UploadError('upload_too_large', 'A body this long cannot have a checksum. Send it in several requests.')
    }
    if (this.#nextNumber() > this.#deps.settings.segmentParts && !this.#open.unverified) {
      await this.#settle()
      await rollSegment(this.#open)
    }
    if (this.#intake.unverified) await this.#open.beginUnverified()
    const tails = await this.#tailsOfPart()
    const { multipartId, multipartKey } = await this.#multipart()
    if (this.#inFlight.length >= PARTS_IN_FLIGHT) await this.#inFlight[0]
    if (this.#failure) throw this.#failure
    const piece = this.#intake.take(count)
    const number = this.#nextNumber()
    this.#position += count
    this.#track(piece, this.#position, concatBytes(tails, piece.bytes), (bytes) =>
      this.#open.write(bytes, false, (sent, options) =>
        store.uploadPart(multipartKey, multipartId, number, sent, options),
      ),
    )
  }

  #nextNumber(): number {
    const { row, session } = this.#open
    return Math.floor((this.#position - session.start) / row.partBytes) + 1
  }

  /** Tails belong to the first part that this request fills; later ones begin with gathered bytes. */
  async #tailsOfPart(): Promise<Bytes> {
    if (this.#inFlight.length > 0) return NO_BYTES
    return this.#open.session.tails.length > 0 ? this.#open.tailBytes() : NO_BYTES
  }

  #track(piece: Kept, end: number, bytes: Bytes, send: (bytes: Bytes) => Promise<Part | null>): void {
    const before = this.#inFlight.at(-1) ?? Promise.resolve()
    const absorbed = this.#open.session.tails
    const sent = send(bytes)
    sent.catch(() => {})
    const settled = before.then(async () => {
      try {
        const part = await sent
        if (!part) throw this.#ended()
        piece.release(true)
        // A part behind one that failed does not count: the offset moves over bytes without a gap.
        if (this.#failure) {
          // It is in the store all the same: the next holder must not go on as if it were not.
          this.#open.hold.unanswered = true
          return
        }
        await this.#open.save({ offset: end, tails: [] }, [part])
        this.#open.forgetTails(absorbed)
      } catch (error) {
        this.#failure ??= error
        piece.release(false)
      } finally {
        this.#inFlight.shift()
        this.#intake.poke()
      }
    })
    this.#inFlight.push(settled)
  }

  /** Completed or aborted behind our back: the next holder looks at what the store has. */
  #ended(): UploadError {
    this.#open.hold.unanswered = true
    return new UploadError('hold_lost', `The multipart upload of ${this.#open.row.id} was ended by somebody else.`)
  }

  /** Everything handed over so far is stored and saved; throws the first failure. */
  async #settle(): Promise<void> {
    await this.#inFlight.at(-1)
    if (this.#failure) throw this.#failure
  }

  /** Writes what is gathered as one tail, together with small ones before it. */
  async #flush(reason: FlushReason): Promise<void> {
    this.#aged = false
    await this.#settle()
    const count = this.#intake.bytes
    // Bytes go on coming meanwhile: what fills the part by now is sent as a part, since no tail crosses a part's end.
    if (count > 0 && count < this.#untilFull()) {
      await this.#begin()
      if (this.#intake.unverified) await this.#open.beginUnverified()
      const piece = this.#intake.take(count)
      try {
        await this.#putTail(piece, reason === 'end')
      } catch (error) {
        piece.release(false)
        throw error
      }
      this.#deps.events.flushed(reason, count)
      if (reason === 'age' || reason === 'memory') note(this.#deps, this.#open, 'flush', reason)
    }
    this.#flushedAt = Date.now()
    this.#intake.flushAsked = false
    this.#deps.memory.flushed(this.#intake)
  }

  /** Whoever asks for the hold or the offset wants the session to say now what is stored; so does the finish. */
  #nobodyWaits(end: number): boolean {
    const { hold, row } = this.#open
    return !hold.wanted && hold.inspectors.size === 0 && end !== row.length
  }

  /** `last`: nothing of this request comes behind it. */
  async #putTail(piece: Kept, last: boolean): Promise<void> {
    const { session, hold, row } = this.#open
    const absorb = tailsToAbsorb(session.tails, piece.bytes.length)
    const kept = session.tails.slice(0, session.tails.length - absorb)
    const absorbed = session.tails.slice(session.tails.length - absorb)
    const start = absorbed[0]?.start ?? this.#position
    const end = this.#position + piece.bytes.length
    const tail: Tail = { generation: row.tailGeneration, token: hold.token, start, end }
    const bytes = concatBytes(await this.#open.tailBytes(absorbed), piece.bytes)
    const key = tailKey(this.#deps.settings.keys, row.id, tail)
    const { store } = this.#open
    await this.#open.write(bytes, true, (sent, options) => store.putObject(key, sent, { ...options, shortLived: true }))
    this.#position = end
    const moved = { offset: end, tails: [...kept, tail], tailed: true }
    if (last && this.#nobodyWaits(end)) await this.#open.saveLast(moved)
    else await this.#open.save(moved)
    if (absorb === 0) this.#deps.tails.adopt(key, piece)
    else {
      this.#deps.tails.copy(key, bytes)
      piece.release(true)
    }
    this.#open.forgetTails(absorbed)
  }

  /** Before the first byte is stored the row says so, and the generation is raised. */
  async #begin(): Promise<void> {
    const { row, hold } = this.#open
    if (row.state === 'created') {
      await this.#open.change({ tailGeneration: hold.epoch + 1 }, { raise: true, enter: ['receiving'] })
    } else if (row.state === 'finishing') {
      await this.#open.change({}, { enter: ['receiving'] })
    }
  }

  /** The open multipart upload; its id is in the row before its first part is sent. */
  async #multipart(): Promise<{ multipartId: string; multipartKey: string }> {
    const { row, hold, session } = this.#open
    if (row.multipartId !== null && row.multipartKey !== null) {
      // Somebody's late write: the finish would look for the last part where it is not.
      if (session.multipartId !== row.multipartId) throw this.#ended()
      return { multipartId: row.multipartId, multipartKey: row.multipartKey }
    }
    const { store } = this.#open
    const { settings } = this.#deps
    const multipartKey = newObjectKey(settings.keys, row, hold.epoch)
    const multipartId = await store.createMultipart(multipartKey, row.partBytes, {
      signal: hold.signal,
      ...(row.contentType === null ? {} : { contentType: row.contentType }),
    })
    await this.#open.change({ multipartId, multipartKey, bucket: store.bucket })
    await this.#open.save({ multipartId })
    return { multipartId, multipartKey }
  }
}
