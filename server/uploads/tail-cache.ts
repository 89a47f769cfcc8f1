import { sameSum } from './bytes.ts'
import { copyOf, Gathering, type Kept } from './gathering.ts'
import type { Memory } from './memory.ts'
import type { PagePool } from './page-pool.ts'
import type { Bytes } from './words.ts'

/** Tails that nobody asked for during this time belong to a client that pauses, or to one that went elsewhere. */
const KEEP_MS = 30_000
/** A tail keeps the pages it came in as long as they are not much larger than it is. */
const LOOSE = 1.5

interface Entry {
  readonly kept: Kept
  usedAt: number
  /** Writes that may point into it. */
  lent: number
}

/**
 * Bytes that a write may point into. It is of these very bytes: the same tail may be read back twice, by two holders of
 * one process of which the first does not know yet that it was replaced.
 */
export type Loan = Pick<Entry, 'kept'>

/**
 * Bytes of tails that are durable already, kept so that the part they belong to need not be read back.
 * Keyed by the tail's object key, which is never written twice, so an entry can be missing but never wrong.
 * The longest unused goes first; all but what is lent may go at any time, and each goes when it was not used for a
 * while: the upload may go on in another instance, which nobody tells this one.
 */
export class TailCache {
  readonly #pool: PagePool
  readonly #memory: Memory
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>()

  constructor(pool: PagePool, memory: Memory) {
    this.#pool = pool
    this.#memory = memory
  }

  get size(): number {
    return this.#entries.size
  }

  /**
   * Lends the bytes for a write: they stay until {@link unlend}, or {@link delete} once the write was answered. Where
   * neither comes they are left to the garbage collector in the end.
   */
  lend(key: string): Loan | null {
    const entry = this.#entries.get(key)
    if (!entry) return null
    entry.lent++
    entry.usedAt = Date.now()
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry
  }

  /** The write is over, and nobody points into the bytes for its sake any more. */
  unlend(key: string, loan: Loan): void {
    const entry = this.#entries.get(key)
    if (entry === loan && entry.lent > 0) entry.lent--
  }

  /** Where to gather bytes that are to be {@link put}. */
  gathering(): Gathering {
    return new Gathering(this.#pool)
  }

  /** Keeps a copy, unless memory is short. */
  copy(key: string, bytes: Bytes): void {
    if (!this.#memory.tight) this.put(key, this.#compact(bytes))
  }

  /** Keeps bytes that were just stored and takes them over; when memory is short they are given back instead. */
  adopt(key: string, kept: Kept): void {
    const { bytes, heldBytes } = kept
    if (!this.#memory.tight && heldBytes <= LOOSE * bytes.length) {
      this.put(key, kept)
    } else {
      this.copy(key, bytes)
      kept.release(true)
    }
  }

  /**
   * Keeps bytes that were read back, whatever the budget says: they are about to be lent. Those that are there already
   * are the same, and may be lent.
   */
  put(key: string, kept: Kept): void {
    this.expire()
    if (this.#entries.has(key)) {
      kept.release(true)
      return
    }
    this.#entries.set(key, { kept, usedAt: Date.now(), lent: 0 })
  }

  /** Whoever lent it and deletes it gives back its `loan` when its write is over. */
  delete(key: string, loan: Loan | null = null): void {
    const entry = this.#entries.get(key)
    if (!entry) return
    this.#entries.delete(key)
    entry.kept.release(entry.lent === 0 || (entry === loan && entry.lent === 1))
  }

  /** Drops what was not used for {@link KEEP_MS}. */
  expire(now = Date.now()): void {
    for (const [key, { usedAt }] of this.#entries) {
      if (now - usedAt < KEEP_MS) return
      this.delete(key)
    }
  }

  /** Drops the longest unused until `bytes` are free; returns how many were freed. */
  drop(bytes: number): number {
    let freed = 0
    for (const [key, { kept, lent }] of this.#entries) {
      if (freed >= bytes) break
      if (lent > 0) continue
      freed += kept.heldBytes
      this.delete(key)
    }
    return freed
  }

  /** In pages when it fills some; a small one is a buffer of its own size. */
  #compact(bytes: Bytes): Kept {
    if (bytes.length >= this.#pool.pageBytes) {
      const kept = copyOf(this.#pool, bytes)
      sameSum(bytes, kept.bytes)
      return kept
    }
    const memory = this.#memory
    memory.take(bytes.length)
    return {
      bytes: sameSum(bytes, { chunks: [joined(bytes)], length: bytes.length }),
      heldBytes: bytes.length,
      release: () => memory.give(bytes.length),
    }
  }
}

/** In memory of its own: Node would put a small one into a buffer that others share. */
function joined({ chunks, length }: Bytes): Buffer {
  const whole = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const chunk of chunks) at += chunk.copy(whole, at)
  return whole
}
