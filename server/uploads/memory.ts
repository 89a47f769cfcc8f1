import { Allowance } from './allowance.ts'
import type { ByteStore } from './ports/byte-store.ts'
import type { Bytes } from './words.ts'

/** An append with a body: it reads its connection, and holds bytes that a flush would give back. */
export interface Holder {
  /** Bytes it would free by a flush. */
  readonly flushableBytes: number
  /** When the oldest of them came, ms. */
  readonly since: number
  /** When its connection brought its last byte, ms. */
  readonly lastByteAt: number
  /** A small body, which nobody slow may keep waiting. */
  readonly small: boolean
  requestFlush(): void
  /** Stops reading its connection, until {@link Holder.readOn}. */
  rest(): void
  readOn(): void
}

export interface MemoryOptions {
  /** UPLOAD_MEMORY_MB in bytes. */
  readonly limitBytes: number
  /** MEMORY_WARNING_THRESHOLD, 0..1: from this share on, clean tails go and the oldest pieces are flushed. */
  readonly warningShare: number
  /** Drops clean cached bytes (durable, so they can go at any time); returns how many were freed. */
  readonly dropClean: (bytes: number) => number
}

const SMALLEST_FLUSH = 256 * 1024
/** Flushes asked for at once: one waits for the store and for the session, others can go on meanwhile. */
const FLUSHES_AT_ONCE = 16
/**
 * Shares of the budget. Connections are read up to the first, small bodies up to the second; the rest is for what is
 * read back from the store to be written again, without which nothing would become free any more.
 */
const READING = 0.81
const SMALL = 0.85
const READ_BACK = 0.1
const COMPOSED = 0.05
/** What one read of a connection brings at most. */
const READ_BYTES = 64 * 1024
/** A connection that was quiet for so long is left open for reading: it brings nothing, or one chunk. */
const QUIET_MS = 5_000

/**
 * The budget for upload bytes (data-path.md, "Memory"): spent as chunks arrive, given back when they are stored.
 * Over the warning share it drops clean tails, then asks partly filled parts to flush, the oldest first. When it is
 * spent, every connection rests; as bytes come back they are read on in the order in which they came to rest. Nobody
 * is dropped.
 */
export class Memory {
  readonly #options: MemoryOptions
  readonly #holders = new Set<Holder>()
  /** Those that read their connection now. */
  readonly #reading = new Set<Holder>()
  /** Those that wait for room, the longest waiting first. */
  readonly #waiting = new Set<Holder>()
  /** Those that were asked to flush, and how much that will free. */
  readonly #asked = new Map<Holder, number>()
  #used = 0
  #waking = false
  /** Tails that are read back for the part they belong to. */
  readonly readBacks: Allowance
  /** Pieces of compositions that the store cannot copy by itself. */
  readonly compositions: Allowance

  constructor(options: MemoryOptions) {
    this.#options = options
    this.readBacks = new Allowance(options.limitBytes * READ_BACK)
    this.compositions = new Allowance(options.limitBytes * COMPOSED)
  }

  get usedBytes(): number {
    return this.#used
  }

  get limitBytes(): number {
    return this.#options.limitBytes
  }

  /** Connections at rest because there is no room. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Is it so short that nothing should be kept for later? */
  get tight(): boolean {
    return this.#used > this.#warning
  }

  get #warning(): number {
    return this.#options.limitBytes * Math.min(READING, this.#options.warningShare)
  }

  #full(small: boolean): boolean {
    return this.#used >= this.#options.limitBytes * (small ? SMALL : READING)
  }

  take(bytes: number): void {
    this.#used += bytes
    if (!this.tight) return
    this.#relieve()
    if (this.#full(false)) this.#stopReaders()
  }

  give(bytes: number): void {
    this.#used -= bytes
    this.#wakeSoon()
  }

  enter(holder: Holder): void {
    this.#holders.add(holder)
  }

  leave(holder: Holder): void {
    this.#holders.delete(holder)
    this.#reading.delete(holder)
    this.#waiting.delete(holder)
    this.flushed(holder)
  }

  /** A holder wants to read. True: it may; else {@link Holder.readOn} tells when. */
  mayRead(holder: Holder): boolean {
    if (this.#full(holder.small)) {
      this.#waiting.add(holder)
      this.#relieve()
      return false
    }
    this.#waiting.delete(holder)
    this.#reading.add(holder)
    return true
  }

  /** A holder stopped reading, or no longer wants to. */
  readsNoMore(holder: Holder): void {
    this.#reading.delete(holder)
    this.#waiting.delete(holder)
  }

  /** A holder that was asked has flushed (or could not): another may be asked. */
  flushed(holder: Holder): void {
    this.#asked.delete(holder)
    if (this.tight) this.#relieve()
  }

  #relieve(): void {
    const over = this.#used - this.#warning
    if (over > 0 && this.#options.dropClean(over) >= over) return
    const wanted = over + this.#waiting.size * READ_BYTES
    let coming = 0
    for (const bytes of this.#asked.values()) coming += bytes
    while (coming < wanted && this.#asked.size < FLUSHES_AT_ONCE) {
      const holder = this.#oldest() ?? (this.#full(false) ? this.#largest() : null)
      if (!holder) return
      const { flushableBytes } = holder
      this.#asked.set(holder, flushableBytes)
      coming += flushableBytes
      holder.requestFlush()
    }
  }

  /** The oldest of those with enough for a flush. */
  #oldest(): Holder | null {
    let found: Holder | null = null
    for (const holder of this.#holders) {
      if (this.#asked.has(holder) || holder.flushableBytes < SMALLEST_FLUSH) continue
      if (!found || holder.since < found.since) found = holder
    }
    return found
  }

  #largest(): Holder | null {
    let found: Holder | null = null
    for (const holder of this.#holders) {
      if (this.#asked.has(holder) || holder.flushableBytes === 0) continue
      if (!found || holder.flushableBytes > found.flushableBytes) found = holder
    }
    return found
  }

  #stopReaders(): void {
    const quietSince = Date.now() - QUIET_MS
    for (const holder of this.#reading) {
      if (holder.lastByteAt < quietSince || !this.#full(holder.small)) continue
      this.#reading.delete(holder)
      this.#waiting.add(holder)
      holder.rest()
    }
  }

  #wakeSoon(): void {
    if (this.#waking || this.#waiting.size === 0 || this.#full(true)) return
    this.#waking = true
    setImmediate(this.#wake)
  }

  /** As many as there is room for what each may bring; who has nothing to bring must not keep the others waiting. */
  #wake = (): void => {
    this.#waking = false
    let room = this.#options.limitBytes * READING - this.#used
    const chosen: Holder[] = []
    for (const holder of this.#waiting) {
      if (holder.small ? this.#full(true) : room <= 0) continue
      chosen.push(holder)
      room -= READ_BYTES
    }
    for (const holder of chosen) {
      this.#waiting.delete(holder)
      holder.readOn()
    }
    if (!this.#full(false)) this.#wakeSoon()
  }
}

/** Runs a write; a store that encrypts has the bytes a second time meanwhile, which count too. */
export async function countedTwice<T>(
  memory: Memory,
  { sealing }: ByteStore,
  { length }: Bytes,
  write: () => Promise<T>,
): Promise<T> {
  if (!sealing) return write()
  memory.take(length)
  try {
    return await write()
  } finally {
    memory.give(length)
  }
}
