import { dirname, join } from 'node:path'
import { type Database, openDatabase } from '../db/database.ts'
import type { RebuildReport } from '../db/record-files/rebuild.ts'
import { StartFault } from './start-fault.ts'
import { hasCode } from './uploads/errors.ts'

/**
 * Opens the database of this process, with a record file for each upload beside it. `onRebuilt`: what it had lost, once it
 * is migrated. One that is broken is a StartFault that says how to have it made anew: putting it aside is left to a
 * person, because it may as well be a full disk or another user's.
 */
export async function openEmbedded(dir: string, onRebuilt: (report: RebuildReport) => void): Promise<Database> {
  const folder = join(dirname(dir), 'records')
  try {
    const database = await openDatabase({ driver: 'pglite', dir, recordFiles: { folder, onRebuilt } })
    const migrate: Database['migrate'] = (mode) =>
      database.migrate(mode).catch((error: unknown) => {
        // With a cause it is what Postgres says, not what we demand of it.
        throw hasCode(error, 'internal') && error.cause !== undefined ? broken(dir, folder, error) : error
      })
    return { ...database, migrate }
  } catch (error) {
    throw broken(dir, folder, error)
  }
}

function broken(dir: string, folder: string, error: unknown): StartFault {
  const reason = error instanceof Error ? error.message : String(error)
  return new StartFault(
    `The database in ${dir} cannot be used: ${reason}\nIf the disk is not full and the directory is this user's, it is ` +
      `broken. Every upload is in ${folder} too. Put it aside, and the next start makes a new one of those:\n` +
      `  mv ${dir} ${dir}.broken`,
    error,
  )
}
