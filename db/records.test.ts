import { databaseContract } from './contract.ts'
import { createDatabase } from './database.ts'
import { openPglite } from './pglite.ts'

databaseContract('PGlite', async () => {
  const driver = await openPglite({ dir: null })
  return { driver, database: createDatabase('pglite', driver), remove: async () => {} }
})
