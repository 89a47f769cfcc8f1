import type { ByteStore } from './ports/byte-store.ts'
import type { Bytes } from './words.ts'

/** Something that can give bytes back when the budget runs short: an append with a partly filled part. */
export interface Holder {
  /** Bytes it would free by a flush. */
  readonly flushableBytes: number
  /** When the oldest of them came, ms. */
  readonly since: number
  requestFlush(): void
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

/**
 * The budget for upload bytes (data-path.md, "Memory"): spent as chunks arrive, given back when they are stored.
 * Over the warning share it drops clean tails, then asks the oldest partly filled part to flush; at the limit
 * the sockets pause until bytes come back. Nobody is dropped.
 */
export class Memory {
  readonly #options: MemoryOptions
  readonly #holders = new Set<Holder>()
  #waiters: (() => void)[] = []
  #used = 0
  #asked: Holder | null = null

  constructor(options: MemoryOptions) {
    this.#options = options
  }

  get usedBytes(): number {
    return this.#used
  }

  get limitBytes(): number {
    return this.#options.limitBytes
  }

  get waiting(): number {
    return this.#waiters.length
  }

  /** Is there no room for one more chunk? */
  get full(): boolean {
    return this.#used >= this.#options.limitBytes
  }

  take(bytes: number): void {
    this.#used += bytes
    if (this.#used > this.#options.limitBytes * this.#options.warningShare) this.#relieve()
  }

  give(bytes: number): void {
    this.#used -= bytes
    if (this.full || this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  /** Resolves when the budget has room again. */
  room(): Promise<void> {
    if (!this.full) return Promise.resolve()
    this.#relieve()
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  enter(holder: Holder): void {
    this.#holders.add(holder)
  }

  leave(holder: Holder): void {
    this.#holders.delete(holder)
    this.flushed(holder)
  }

  /** A holder that was asked has flushed (or could not): the next may be asked. */
  flushed(holder: Holder): void {
    if (this.#asked === holder) this.#asked = null
  }

  #relieve(): void {
    const over = this.#used - this.#options.limitBytes * this.#options.warningShare
    if (over > 0 && this.#options.dropClean(over) >= over) return
    if (this.#asked) return
    const oldest = this.#oldest(SMALLEST_FLUSH) ?? (this.full ? this.#oldest(1) : null)
    if (!oldest) return
    this.#asked = oldest
    oldest.requestFlush()
  }

  #oldest(minBytes: number): Holder | null {
    let found: Holder | null = null
    for (const holder of this.#holders) {
      if (holder.flushableBytes >= minBytes && (!found || holder.since < found.since)) found = holder
    }
    return found
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
