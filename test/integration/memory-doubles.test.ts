import { describe } from 'node:test'
import { finalsContract } from '../../db/contract/finals.ts'
import { listContract } from '../../db/contract/list.ts'
import { recordsContract } from '../../db/contract/records.ts'
import { byteStoreContract } from '../../server/storage/contract.ts'
import { MemoryRecords } from './support/property/memory-records.ts'
import { MemoryByteStore } from './support/property/memory-store.ts'

/** What the property test of the engine stands on keeps the same contracts as the real drivers. */
byteStoreContract('memory', async () => ({ store: new MemoryByteStore(), cleanup: async () => {} }))
byteStoreContract('memory, every ETag its own', async () => ({
  store: new MemoryByteStore({ uniqueEtags: true, equalParts: true }),
  cleanup: async () => {},
}))

describe('records in memory', () => {
  const { database } = new MemoryRecords()
  const subject = () => ({ database })
  recordsContract(subject)
  finalsContract(subject)
  listContract(subject)
})
