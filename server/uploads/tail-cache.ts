import type { Memory } from './memory.ts'
import type { Bytes } from './words.ts'

/** Tails that nobody asked for during this time belong to a client that pauses, or to one that went elsewhere. */
const KEEP_MS = 30_000

interface Entry {
  readonly bytes: Bytes
  usedAt: number
}

/**
 * Bytes of tails that are durable already, kept so that the part they belong to need not be read back.
 * Keyed by the tail's object key, which is never written twice, so an entry can be missing but never wrong.
 * The longest unused goes first; all may go at any time, and each goes when it was not used for a while: the upload
 * may go on in another instance, which nobody tells this one.
 */
export class TailCache {
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>()
  #memory: Memory | null = null

  /** Entries count against the budget. */
  attach(memory: Memory): void {
    this.#memory = memory
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): Bytes | null {
    const entry = this.#entries.get(key)
    if (!entry) return null
    this.#entries.delete(key)
    this.#entries.set(key, { bytes: entry.bytes, usedAt: Date.now() })
    return entry.bytes
  }

  /** `bytes` must hold no more memory than their length says: no slices of larger buffers. */
  set(key: string, bytes: Bytes): void {
    this.delete(key)
    this.expire()
    this.#entries.set(key, { bytes, usedAt: Date.now() })
    this.#memory?.take(bytes.length)
  }

  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (!entry) return
    this.#entries.delete(key)
    this.#memory?.give(entry.bytes.length)
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
    for (const [key, entry] of this.#entries) {
      if (freed >= bytes) break
      freed += entry.bytes.length
      this.delete(key)
    }
    return freed
  }
}
