import type { Verification } from './api.ts'
import { Gathering, type Kept } from './gathering.ts'
import type { Holder, Memory } from './memory.ts'
import type { PagePool } from './page-pool.ts'
import type { Body } from './words.ts'

/** A body of at most this size is small: it is read also when little is left of the budget. */
const SMALL_BODY = 64 * 1024
/** A small body that takes longer than this is a slow one. */
const SMALL_MS = 2000

export interface IntakeOptions {
  readonly body: Body
  readonly bodyLength: number | null
  /** More bytes than this are too many. */
  readonly limit: number
  readonly idleMs: number
  readonly memory: Memory
  readonly pool: PagePool
  /** Stops and restarts the connection itself: a paused stream would still take in a chunk or two. */
  readonly connection?: { rest(): void; readOn(): void }
  /** Told how many bytes came. */
  readonly received: (bytes: number) => void
  /** Told every byte; see {@link Intake.unverified}. */
  readonly verification?: Verification
}

/** Why reading stopped. */
export type IntakeEnd =
  | 'open'
  /** The body ended as it should. */
  | 'ended'
  /** The connection broke. */
  | 'cut'
  /** No byte for idleMs. */
  | 'stalled'
  /** The body is longer than the limit. */
  | 'overrun'

/**
 * Reads a request's own stream and gathers what comes: 'data' listeners, paused while a full part waits or the budget
 * is spent. One waits on it with {@link wait}; flags say what there is to do.
 */
export class Intake implements Holder {
  readonly #options: IntakeOptions
  readonly #gathering: Gathering
  #target = Number.POSITIVE_INFINITY
  #idle: NodeJS.Timeout | null = null
  #idleMs = 0
  /** How long it may still be quiet. */
  #idleLeft: number
  /** The last byte, or when bytes were asked for again. */
  #quietSince = 0
  #wake: (() => void) | null = null
  #paused = true
  #atRest = false
  #started = false
  readonly #startedAt = Date.now()
  #verification: Verification | null
  received = 0
  end: IntakeEnd = 'open'
  /** The budget asks for bytes back. */
  flushAsked = false
  /** When the oldest gathered byte came; ms. */
  since = 0
  lastByteAt = Date.now()

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#gathering = new Gathering(options.pool)
    this.#idleLeft = options.idleMs
    this.#verification = options.verification ?? null
  }

  /** Must its bytes not count yet? True until {@link verify}. */
  get unverified(): boolean {
    return this.#verification !== null
  }

  /** Length of the whole body; null: not known before its end. */
  get bodyLength(): number | null {
    return this.#options.bodyLength
  }

  /** After the end of the body. Throws checksum_mismatch, checksum_invalid. */
  verify(): void {
    this.#verification?.verify()
    this.#verification = null
  }

  get bytes(): number {
    return this.#gathering.length
  }

  get flushableBytes(): number {
    return this.flushAsked || this.end !== 'open' || this.small ? 0 : this.bytes
  }

  get small(): boolean {
    const { bodyLength } = this.#options
    return bodyLength !== null && bodyLength <= SMALL_BODY && Date.now() - this.#startedAt < SMALL_MS
  }

  /** For how long it has been asked for bytes and did not bring any; 0 while it is not read. */
  get quietMs(): number {
    return this.#paused ? 0 : Date.now() - this.#quietSince
  }

  requestFlush(): void {
    this.flushAsked = true
    this.poke()
  }

  /** Begins to listen; to be called once, before {@link resume}. */
  start(): void {
    const { body, memory } = this.#options
    this.#started = true
    memory.enter(this)
    body.on('data', this.#onData)
    body.on('end', this.#onEnd)
    body.on('error', this.#onCut)
    body.on('close', this.#onCut)
    body.pause()
    if (body.readableEnded) this.#onEnd()
    else if (body.destroyed) this.#onCut()
  }

  /** Reads on until `target` bytes are gathered, as soon as the budget allows. */
  resume(target: number): void {
    this.#target = target
    if (!this.#paused || this.end !== 'open' || this.bytes >= target) return
    if (!this.#options.memory.mayRead(this)) {
      this.#stopConnection()
      return
    }
    this.#paused = false
    this.#tick()
    this.#options.body.resume()
    this.#startConnection()
  }

  /** {@link Holder.rest} */
  rest(): void {
    this.#pauseBody()
    this.#stopConnection()
  }

  /** {@link Holder.readOn} */
  readOn(): void {
    if (this.end === 'open' && this.bytes < this.#target) this.resume(this.#target)
  }

  pause(): void {
    this.#options.memory.readsNoMore(this)
    this.#pauseBody()
  }

  #pauseBody(): void {
    if (this.#paused) return
    this.#paused = true
    this.#stopTimer()
    this.#options.body.pause()
  }

  #stopConnection(): void {
    if (this.#atRest) return
    this.#atRest = true
    this.#options.connection?.rest()
  }

  #startConnection(): void {
    if (!this.#atRest) return
    this.#atRest = false
    this.#options.connection?.readOn()
  }

  /** Stops listening and gives back what is left. */
  stop(): void {
    const { body, memory } = this.#options
    if (!this.#started) return
    this.pause()
    memory.leave(this)
    this.#startConnection()
    body.off('data', this.#onData)
    body.off('end', this.#onEnd)
    body.off('close', this.#onCut)
    this.take(this.bytes).release(true)
  }

  /** Resolves when a part is full, reading stopped, or somebody called {@link poke}. */
  wait(): Promise<void> {
    if (this.end !== 'open' || this.bytes >= this.#target || this.flushAsked) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  poke(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  /** The first `count` gathered bytes. They count against the budget until released. */
  take(count: number): Kept {
    const taken = this.#gathering.take(count)
    this.since = Date.now()
    return taken
  }

  #onData = (chunk: Buffer): void => {
    const room = this.#options.limit - this.received
    this.received += chunk.length
    this.#options.received(chunk.length)
    this.#verification?.update(chunk)
    this.lastByteAt = Date.now()
    if (chunk.length > room) {
      this.#stopAs('overrun')
      return
    }
    if (this.bytes === 0) this.since = this.lastByteAt
    this.#quietSince = this.lastByteAt
    this.#idleLeft = this.#options.idleMs
    // The budget may put this very intake to rest meanwhile.
    this.#gathering.append(chunk)
    if (this.bytes >= this.#target) {
      this.pause()
      this.poke()
    } else if (!this.#paused) {
      this.#tick()
    }
  }

  #onEnd = (): void => this.#stopAs('ended')

  /** 'close' before 'end', or an error: the client went away. */
  #onCut = (): void => this.#stopAs('cut')

  #stopAs(end: IntakeEnd): void {
    if (this.end !== 'open') return
    this.end = end
    this.pause()
    this.poke()
  }

  /** Quiet times add up only while bytes are asked for. */
  #tick(): void {
    this.#quietSince = Date.now()
    if (this.#idle && this.#idleMs === this.#idleLeft) {
      this.#idle.refresh()
      return
    }
    if (this.#idle) clearTimeout(this.#idle)
    this.#idleMs = this.#idleLeft
    this.#idle = setTimeout(() => this.#stopAs('stalled'), this.#idleMs)
  }

  #stopTimer(): void {
    if (!this.#idle) return
    clearTimeout(this.#idle)
    this.#idle = null
    this.#idleLeft = Math.max(0, this.#idleLeft - (Date.now() - this.#quietSince))
  }
}
