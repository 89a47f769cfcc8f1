import type { Memory } from './memory.ts'
import type { Bytes } from './words.ts'

/**
 * Bytes of tails that are durable already, kept so that the part they belong to need not be read back.
 * Keyed by the tail's object key, which is never written twice, so an entry can be missing but never wrong.
 * Least recently used goes first; all may go at any time.
 */
export class TailCache {
  readonly #entries = new Map<string, Bytes>()
  #memory: Memory | null = null

  /** Entries count against the budget. */
  attach(memory: Memory): void {
    this.#memory = memory
  }

  get(key: string): Bytes | null {
    return this.#entries.get(key) ?? null
  }

  set(key: string, bytes: Bytes): void {
    this.delete(key)
    this.#entries.set(key, bytes)
    this.#memory?.take(bytes.length)
  }

  delete(key: string): void {
    const bytes = this.#entries.get(key)
    if (!bytes) return
    this.#entries.delete(key)
    this.#memory?.give(bytes.length)
  }

  /** Drops the oldest entries until `bytes` are free; returns how many were freed. */
  drop(bytes: number): number {
    let freed = 0
    for (const [key, entry] of this.#entries) {
      if (freed >= bytes) break
      freed += entry.length
      this.delete(key)
    }
    return freed
  }
}
