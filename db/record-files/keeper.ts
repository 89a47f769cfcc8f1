import type { Kysely } from 'kysely'
import { UploadError } from '../../server/uploads/errors.ts'
import type { UploadId } from '../../server/uploads/words.ts'
import { guarded } from '../failures.ts'
import type { Tables } from '../schema.ts'
import type { RecordFolder } from './folder.ts'
import { spellRecord } from './format.ts'
import { type RowAsJson, readRows } from './rows.ts'

interface Turn {
  begun: boolean
  done: Promise<void>
}

/**
 * Writes records: each time the row as it is in the database by then, one write of an upload at a time. So no older
 * record ever replaces a newer one, in whatever order the changes return.
 */
export class RecordKeeper {
  readonly #db: Kysely<Tables>
  readonly #folder: RecordFolder
  readonly #turns = new Map<UploadId, Turn>()
  /** Uploads whose last write failed. */
  readonly #behind = new Set<UploadId>()

  constructor(db: Kysely<Tables>, folder: RecordFolder) {
    this.#db = db
    this.#folder = folder
  }

  /**
   * Resolves when the record on the disk has everything that was committed for this upload before the call. Throws
   * `records_unavailable` when it cannot be written: the change is in the database, and nobody may be told of it.
   */
  keep(id: UploadId): Promise<void> {
    const last = this.#turns.get(id)
    // A turn that has not begun will read the row after this change too.
    if (last && !last.begun) return last.done
    const turn: Turn = { begun: false, done: Promise.resolve() }
    turn.done = this.#take(id, turn, last?.done)
    this.#turns.set(id, turn)
    return turn.done
  }

  async keepAll(ids: readonly UploadId[]): Promise<void> {
    await Promise.all(ids.map((id) => this.keep(id)))
  }

  /** Resolves when no change of these is waiting for its record. Throws as {@link keep} where one cannot be written. */
  async caughtUp(ids: readonly UploadId[]): Promise<void> {
    const waiting = ids.filter((id) => this.#turns.has(id) || this.#behind.has(id))
    await this.keepAll([...new Set(waiting)])
  }

  /** The record of a row that was read already: only while nobody changes rows. */
  async write({ id, row, events }: RowAsJson): Promise<void> {
    try {
      await this.#folder.write(id, spellRecord(row, events))
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new UploadError('records_unavailable', `the record of upload ${id} could not be written: ${reason}`, {
        cause: error,
      })
    }
  }

  /** Waits for what is being written. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#turns.values()].map(({ done }) => done))
  }

  async #take(id: UploadId, turn: Turn, before: Promise<void> | undefined): Promise<void> {
    await before?.catch(() => undefined)
    turn.begun = true
    try {
      const [found] = await guarded(() => readRows(this.#db, [id]))
      if (found) await this.write(found)
      this.#behind.delete(id)
    } catch (error) {
      this.#behind.add(id)
      throw error
    } finally {
      if (this.#turns.get(id) === turn) this.#turns.delete(id)
    }
  }
}
