/**
 * `npm run keys:rewrap`: wraps the data keys of all encrypted uploads with the first of ENCRYPTION_KEYS, so that the
 * others can be taken out (docs/operations/encryption.md); `-- --check` only says which keys are needed, by the exit code
 * too. Reads ENCRYPTION_KEYS and the database settings of the environment. Postgres may serve meanwhile; with embedded
 * data the service has to be stopped.
 */
import { loadConfig } from '../server/config/load.ts'
import { lockData } from '../server/data-lock.ts'
import { lockedDir, openRecords } from '../server/drivers.ts'
import { encryptionKeys } from '../server/encryption.ts'
import { Keyring } from '../server/storage/encryption/index.ts'
import { rewrapAll } from '../server/storage/encryption/rewrapping.ts'

/** The configuration of database and keys; nothing of the rest is opened here. */
function configuration() {
  const { DATABASE_URL } = process.env
  const read = /^(DATABASE|DATABASE_URL|DB_.*|DATA_DIR|ENCRYPTION_KEYS)$/
  const settings = Object.fromEntries(Object.entries(process.env).filter(([key]) => read.test(key)))
  const database = DATABASE_URL ? { DATABASE: 'postgres' } : {}
  return loadConfig({ ...database, ...settings }, { embedded: true })
}

async function main(args: readonly string[]): Promise<void> {
  const unknown = args.find((arg) => arg !== '--check')
  if (unknown !== undefined) throw new Error(`unknown argument ${unknown}; the only one is --check`)
  const config = configuration()
  const keyring = new Keyring(encryptionKeys(config))
  if (keyring.currentId === null)
    throw new Error('ENCRYPTION_KEYS is not set: give the new key first, then the old ones')
  const lock = config.database.driver === 'pglite' ? await lockData(lockedDir(config) ?? '.') : null
  const database = await openRecords(config, () => {})
  try {
    await database.migrate(lock ? 'auto' : 'check')
    if (!args.includes('--check')) {
      const changed = await rewrapAll(database.dataKeys, keyring)
      console.log(`wrapped the data keys of ${changed} uploads with "${keyring.currentId}"`)
    }
    for (const [id, uploads] of await database.dataKeys.uses()) {
      console.log(`"${id}" is needed by ${uploads} uploads`)
      if (id !== keyring.currentId) process.exitCode = 1
    }
  } finally {
    await database.close()
    await lock?.release()
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
