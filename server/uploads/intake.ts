import type { Verification } from './api.ts'
import type { BlockPool } from './block-pool.ts'
import { splitBytes } from './bytes.ts'
import type { Holder, Memory } from './memory.ts'
import type { Body, Bytes } from './words.ts'

/** Chunks below this size are copied into a block; larger ones are kept as they came. */
const SMALL_CHUNK = 4096

export interface IntakeOptions {
  readonly body: Body
  readonly bodyLength: number | null
  /** More bytes than this are too many. */
  readonly limit: number
  readonly idleMs: number
  readonly memory: Memory
  readonly pool: BlockPool
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

/** Bytes taken from an intake. */
export interface Gathered {
  readonly bytes: Bytes
  /** The memory of the blocks that some of them lie in, which is used again after the release. */
  readonly pooled: ReadonlySet<ArrayBufferLike>
  /** To be called once they are stored or given up. `reuse`: nobody points into them any more, not even a socket. */
  release(reuse: boolean): void
}

/**
 * Reads a request's own stream and gathers what comes, without joining it: 'data' listeners, paused while a full
 * part waits or the budget is spent. One waits on it with {@link wait}; flags say what there is to do.
 */
export class Intake implements Holder {
  readonly #options: IntakeOptions
  #chunks: Buffer[] = []
  #bytes = 0
  #target = Number.POSITIVE_INFINITY
  #block: { buffer: Buffer; used: number } | null = null
  #blocks: Buffer[] = []
  #idle: NodeJS.Timeout | null = null
  #wake: (() => void) | null = null
  #paused = true
  #started = false
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
    return this.#bytes
  }

  get flushableBytes(): number {
    return this.flushAsked || this.end !== 'open' ? 0 : this.#bytes
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

  /** Reads on until `target` bytes are gathered. */
  resume(target: number): void {
    this.#target = target
    if (!this.#paused || this.end !== 'open' || this.#bytes >= target) return
    this.#paused = false
    this.#tick()
    this.#options.body.resume()
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#stopTimer()
    this.#options.body.pause()
  }

  /** Stops listening and gives back what is left. */
  stop(): void {
    const { body, memory } = this.#options
    if (!this.#started) return
    this.pause()
    memory.leave(this)
    body.off('data', this.#onData)
    body.off('end', this.#onEnd)
    body.off('close', this.#onCut)
    this.take(this.#bytes).release(true)
  }

  /** Resolves when a part is full, reading stopped, or somebody called {@link poke}. */
  wait(): Promise<void> {
    if (this.end !== 'open' || this.#bytes >= this.#target || this.flushAsked) return Promise.resolve()
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
  take(count: number): Gathered {
    const { memory, pool } = this.#options
    const [bytes, rest] = splitBytes({ chunks: this.#chunks, length: this.#bytes }, count)
    // A block that both sides point into is left to the garbage collector.
    const blocks = rest.length === 0 ? this.#blocks : []
    const pooled = new Set(this.#blocks.map(({ buffer }) => buffer))
    this.#chunks = [...rest.chunks]
    this.#bytes = rest.length
    this.#block = null
    this.#blocks = []
    this.since = Date.now()
    let held = true
    return {
      bytes,
      pooled,
      release: (reuse) => {
        if (!held) return
        held = false
        memory.give(bytes.length)
        if (reuse) for (const block of blocks) pool.give(block)
      },
    }
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
    if (this.#bytes === 0) this.since = this.lastByteAt
    this.#keep(chunk)
    this.#bytes += chunk.length
    this.#options.memory.take(chunk.length)
    if (this.#bytes >= this.#target) {
      this.pause()
      this.poke()
    } else if (this.#options.memory.full) {
      void this.#waitForRoom()
    } else {
      this.#tick()
    }
  }

  #keep(chunk: Buffer): void {
    if (chunk.length >= SMALL_CHUNK) {
      this.#chunks.push(chunk)
      this.#block = null
      return
    }
    let block = this.#block
    if (!block || block.used + chunk.length > block.buffer.length) {
      block = { buffer: this.#options.pool.take(), used: 0 }
      this.#blocks.push(block.buffer)
    }
    const start = block.used
    chunk.copy(block.buffer, start)
    block.used += chunk.length
    // Neighbours in one block are one chunk.
    if (this.#block === block && this.#chunks.length > 0) {
      const from = start - (this.#chunks.at(-1)?.length ?? 0)
      this.#chunks[this.#chunks.length - 1] = block.buffer.subarray(from, block.used)
    } else {
      this.#chunks.push(block.buffer.subarray(start, block.used))
    }
    this.#block = block
  }

  async #waitForRoom(): Promise<void> {
    this.pause()
    await this.#options.memory.room()
    if (this.end === 'open' && this.#bytes < this.#target) this.resume(this.#target)
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

  /** The idle timer runs only while bytes are asked for. */
  #tick(): void {
    if (this.#idle) this.#idle.refresh()
    else this.#idle = setTimeout(() => this.#stopAs('stalled'), this.#options.idleMs)
  }

  #stopTimer(): void {
    if (this.#idle) clearTimeout(this.#idle)
    this.#idle = null
  }
}
