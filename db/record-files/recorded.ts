import { UploadError } from '../../server/uploads/errors.ts'
import type { Records } from '../../server/uploads/ports/records.ts'
import type { DataKeys } from '../data-keys.ts'
import type { Database } from '../database.ts'
import type { Driver } from '../driver.ts'
import { guarded } from '../failures.ts'
import type { Outbox } from '../outbox.ts'
import type { Processing } from '../processing.ts'
import { RecordFolder } from './folder.ts'
import { RecordKeeper } from './keeper.ts'
import { type RebuildReport, rebuildRows } from './rebuild.ts'
import { findPartialsOf, findUploadOfEvent, spellInUtc } from './rows.ts'

export interface RecordedOptions {
  /** The folder of the record files; made where it is missing. */
  readonly folder: string
  /** What a start found, before anything is served. */
  readonly onRebuilt?: (report: RebuildReport) => void
}

/**
 * A database of this process, and beside it a file for each row, which is on the disk before a change returns. What the
 * database lost is put back by `migrate`. Until then every call is `records_unavailable`, so that nobody is told that an
 * upload is unknown which is only not back yet. Throws file system errors when the folder cannot be made.
 */
export async function withRecordFiles(plain: Database, driver: Driver, options: RecordedOptions): Promise<Database> {
  const { db } = driver
  const folder = await RecordFolder.open(options.folder)
  const keeper = new RecordKeeper(db, folder)
  const gate = new Gate()
  let unknown = 0
  const rebuild = async (): Promise<void> => {
    await guarded(() => spellInUtc(db))
    const report = await rebuildRows(db, folder, keeper)
    unknown = report.unknown
    options.onRebuilt?.(report)
    gate.open()
  }
  let rebuilding: Promise<void> | null = null
  return {
    ...plain,
    records: gate.before(recordedRows(plain.records, driver, keeper)),
    processing: gate.before(recordedProcessing(plain.processing, keeper)),
    outbox: gate.before(recordedOutbox(plain.outbox, driver, keeper)),
    dataKeys: gate.before(recordedDataKeys(plain.dataKeys, keeper)),
    housekeeping: gate.before({
      ...plain.housekeeping,
      // What no row names is removed under a lease. While a record cannot be read, its upload's bytes would be.
      lease: async (...sweep) => unknown === 0 && (await plain.housekeeping.lease(...sweep)),
    }),
    async migrate(mode) {
      const applied = await plain.migrate(mode)
      rebuilding ??= rebuild()
      await rebuilding
      return applied
    },
    async close() {
      await keeper.settled()
      await plain.close()
    },
  }
}

function recordedRows(plain: Records, { db }: Driver, keeper: RecordKeeper): Records {
  return {
    ...plain,
    async insert(upload, entered) {
      const inserted = await plain.insert(upload, entered)
      await keeper.keep(inserted.id)
      return inserted
    },
    async insertFinal(upload, partials) {
      const inserted = await plain.insertFinal(upload, partials)
      if (inserted) await keeper.keepAll([inserted.id, ...partials])
      return inserted
    },
    async change(id, change, options) {
      const changed = await plain.change(id, change, options)
      if (changed) await keeper.keep(id)
      return changed
    },
    async releasePartials(final, expiresAt) {
      await plain.releasePartials(final, expiresAt)
      await keeper.keepAll(await guarded(() => findPartialsOf(db, final)))
    },
  }
}

function recordedProcessing(plain: Processing, keeper: RecordKeeper): Processing {
  return {
    async begin(id) {
      const result = await plain.begin(id)
      if (result.entered) await keeper.keep(id)
      return result
    },
    async finish(id, found) {
      const result = await plain.finish(id, found)
      if (result.entered) await keeper.keep(id)
      return result
    },
  }
}

function recordedDataKeys(plain: DataKeys, keeper: RecordKeeper): DataKeys {
  return {
    ...plain,
    async replace(id, before, now) {
      const replaced = await plain.replace(id, before, now)
      if (replaced) await keeper.keep(id)
      return replaced
    },
  }
}

/**
 * Nobody is told of an event that a rebuilt database would not know: it would make the same event again, with another id.
 * One that is done leaves the record, so that it is not told of again.
 */
function recordedOutbox(plain: Outbox, { db }: Driver, keeper: RecordKeeper): Outbox {
  return {
    ...plain,
    async claim(limit, leaseMs) {
      const events = await plain.claim(limit, leaseMs)
      await keeper.caughtUp(events.map(({ upload }) => upload))
      return events
    },
    async markDone(eventId) {
      const first = await plain.markDone(eventId)
      const id = first ? await guarded(() => findUploadOfEvent(db, eventId)) : null
      if (id !== null) await keeper.keep(id)
      return first
    },
  }
}

/** Shut until rows and records agree. */
class Gate {
  #isOpen = false

  open(): void {
    this.#isOpen = true
  }

  /** The same calls, refused while the gate is shut. */
  before<T extends object>(calls: T): T {
    return new Proxy(calls, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        return this.#isOpen || typeof value !== 'function' ? value : refuse
      },
    })
  }
}

async function refuse(): Promise<never> {
  throw new UploadError('records_unavailable', 'the rows are still being compared with their records; try again')
}
