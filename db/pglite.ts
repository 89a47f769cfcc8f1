import { PGlite } from '@electric-sql/pglite'
import { Kysely, PGliteDialect } from 'kysely'
import type { Driver } from './driver.ts'
import { DurableNodeFs, syncTree } from './durable-fs.ts'
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
  const fs = new DurableNodeFs(dir)
  const isNew = !fs.isInitialized()
  // `-F` is fsync=off; of the methods only plain fsync ends up in the file system that we hand in.
  const startParams = [...PGlite.defaultStartParams.filter((each) => each !== '-F'), '-c', 'wal_sync_method=fsync']
  const pglite = await PGlite.create({ fs, parsers, startParams, relaxedDurability: false })
  // initdb writes without syncing; from here on Postgres syncs what it needs.
  if (isNew) syncTree(dir)
  return pglite
}
