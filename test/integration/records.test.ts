import { databaseContract } from '../../db/contract.ts'
import { createDatabase } from '../../db/database.ts'
import { openPostgres } from '../../db/postgres.ts'
import { freshDatabase } from '../support/services.ts'

databaseContract('Postgres', async () => {
  const { url, drop } = await freshDatabase()
  const driver = openPostgres({ url, poolMin: 2, poolMax: 12 })
  return { driver, database: createDatabase('postgres', driver), remove: drop }
})
