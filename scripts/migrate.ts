/**
 * `npm run db:migrate`: brings the database of DATABASE_URL up to date; `-- --check` only says whether it is, by the
 * exit code. Reads the database settings of the environment and no others, so that it runs where the rest is not known.
 */
import { openDatabase } from '../db/database.ts'
import { loadConfig } from '../server/config/load.ts'

/** What the configuration asks for beside the database; nothing of it is opened here. */
const REST = {
  DATABASE: 'postgres',
  STORAGE: 'file',
  DATA_DIR: 'data',
  COORDINATION: 'memory',
  QUEUE: 'memory',
  AUTH_MODE: 'none',
}

async function main(args: readonly string[]): Promise<void> {
  const unknown = args.find((arg) => arg !== '--check')
  if (unknown !== undefined) throw new Error(`unknown argument ${unknown}; the only one is --check`)
  const settings = Object.entries(process.env).filter(
    ([key]) => key.startsWith('DATABASE_URL') || key.startsWith('DB_'),
  )
  const { database } = loadConfig({ ...Object.fromEntries(settings), ...REST }, { embedded: false })
  if (database.driver !== 'postgres') throw new Error(`${database.driver} is migrated by the server when it starts`)
  const { url, ssl } = database.postgres
  const opened = await openDatabase({ driver: 'postgres', url, ssl, poolMin: 0, poolMax: 1 })
  try {
    const check = args.includes('--check')
    const applied = await opened.migrate(check ? 'check' : 'auto')
    console.log(applied.length > 0 ? `applied ${applied.join(', ')}` : 'the schema is up to date')
  } finally {
    await opened.close()
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
