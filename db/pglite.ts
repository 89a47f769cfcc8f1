import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { Kysely, PGliteDialect } from 'kysely'
import type { Driver } from './driver.ts'
import { DurableNodeFs, syncPath, syncTree } from './durable-fs.ts'
import { INT8_OID, parseInt8 } from './int8.ts'
import type { Tables } from './schema.ts'

export interface PgliteOptions {
  /** Where the data is kept. The caller holds the lock on it: PGlite itself would open a directory twice. null: memory, for tests. */
  readonly dir: string | null
}

/**
 * Postgres inside this process, one connection, statements one after another. In a directory every commit is on the
 * disk when its statement returns: PGlite's own fsync does nothing, ours does (db/durable-fs.ts).
 */
export async function openPglite(options: PgliteOptions): Promise<Driver> {
  const parsers = { [INT8_OID]: parseInt8 }
  const pglite = options.dir === null ? await PGlite.create({ parsers }) : await openDirectory(options.dir, parsers)
  const db = new Kysely<Tables>({ dialect: new PGliteDialect({ pglite }) })
  return {
    db,
    // Through Kysely: it keeps others out of a transaction.
    rows: async (statement) => (await db.executeQuery(statement)).rows,
    stats: () => ({ total: 1, idle: 1, waiting: 0 }),
    forMigrations: (run) => run(db),
    restart: null,
    async close() {
      await db.destroy()
      // destroy() leaves an instance alone that no query went through.
      if (!pglite.closed) await pglite.close()
    },
  }
}

async function openDirectory(dir: string, parsers: Record<number, (text: string) => number>): Promise<PGlite> {
  const unfinished = `${dir}.unfinished`
  // Somebody was stopped while initdb ran: nothing in there was ever told to anybody.
  if (existsSync(unfinished)) rmSync(dir, { recursive: true, force: true })
  const fs = new DurableNodeFs(dir)
  const isNew = !fs.isInitialized()
  if (isNew) markUnfinished(unfinished)
  // `-F` is fsync=off; of the methods only plain fsync ends up in the file system that we hand in.
  const startParams = [...PGlite.defaultStartParams.filter((each) => each !== '-F'), '-c', 'wal_sync_method=fsync']
  const pglite = await PGlite.create({ fs, parsers, startParams, relaxedDurability: false })
  // initdb writes without syncing; from here on Postgres syncs what it needs.
  if (isNew) {
    syncTree(dir)
    rmSync(unfinished)
    syncPath(dirname(dir))
  }
  return pglite
}

function markUnfinished(path: string): void {
  writeFileSync(path, 'the directory of this name without its ending is not complete\n', { flush: true })
  syncPath(dirname(path))
}
