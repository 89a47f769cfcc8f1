import type { Upload, UploadId } from './words.ts'

/** A row, and when the database was last known to have it so; ms. */
export interface SeenRow {
  readonly row: Upload
  readonly seenAt: number
}

/** So many rows at most: an upper bound for memory, not a tuning. */
const MOST = 10_000

/**
 * Rows of uploads that are receiving, as this process saw them within the last moments: a client that sends one request
 * after another is not looked up in the database each time. Such a row is what any row is that was read before the hold
 * was asked for, or before the session was looked at: the session's generation, multipart id and start say whether it
 * still holds, and whoever uses it asks the database when they differ, when there is no session, or when the session was
 * not left cleanly. It is younger than half a lease, so what is told with it keeps the rule that the row was seen within
 * a lease (docs/decisions/017-rows-known-for-a-moment.md).
 */
export class KnownRows {
  readonly #maxAgeMs: number
  /** In the order in which they were put. */
  readonly #rows = new Map<UploadId, SeenRow>()

  constructor(maxAgeMs: number) {
    this.#maxAgeMs = maxAgeMs
  }

  get size(): number {
    return this.#rows.size
  }

  put(row: Upload, seenAt: number): void {
    this.#rows.delete(row.id)
    if (row.state !== 'receiving') return
    this.#rows.set(row.id, { row, seenAt })
    this.#forgetOld()
  }

  /** The row when it is fresh enough to be used. */
  get(id: UploadId): SeenRow | null {
    const seen = this.#rows.get(id)
    return seen && this.fresh(seen.seenAt) ? seen : null
  }

  forget(id: UploadId): void {
    this.#rows.delete(id)
  }

  /** Is what was seen then recent enough to be told now? */
  fresh(seenAt: number): boolean {
    const age = Date.now() - seenAt
    return age >= 0 && age < this.#maxAgeMs
  }

  #forgetOld(): void {
    for (const [id, { seenAt }] of this.#rows) {
      if (this.#rows.size <= MOST && this.fresh(seenAt)) return
      this.#rows.delete(id)
    }
  }
}
