/** Every setting has an effect that can be seen from the outside; one without a check fails. */
import { describe } from 'node:test'
import { memorySettings } from './settings/memory.ts'
import { poolSettings } from './settings/pools.ts'
import { uploadSettings } from './settings/uploads.ts'

describe('settings', { concurrency: 3 }, () => {
  memorySettings()
  poolSettings()
  uploadSettings()
})
