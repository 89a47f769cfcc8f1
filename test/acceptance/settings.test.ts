/** Every setting has an effect that can be seen from the outside; one without a check fails. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parseEnv } from 'node:util'
import { authSettings } from './settings/auth.ts'
import { databaseSettings } from './settings/databases.ts'
import { driverSettings } from './settings/drivers.ts'
import { encryptionSettings } from './settings/encryption.ts'
import { memorySettings } from './settings/memory.ts'
import { poolSettings } from './settings/pools.ts'
import { s3Settings } from './settings/s3.ts'
import { serverSettings } from './settings/server.ts'
import { shownKeys } from './settings/stage.ts'
import { uploadSettings } from './settings/uploads.ts'
import { workSettings } from './settings/work.ts'

describe('settings', { concurrency: 3 }, () => {
  memorySettings()
  poolSettings()
  s3Settings()
  encryptionSettings()
  databaseSettings()
  authSettings()
  driverSettings()
  serverSettings()
  workSettings()
  uploadSettings()
})

const ROOT = join(import.meta.dirname, '..', '..')

test('every key of .env.production has a check, the eleven of the production guide among them', async () => {
  const keys = Object.keys(parseEnv(await readFile(join(ROOT, '.env.production'), 'utf8')))
  const guide =
    'MAX_CONCURRENT_UPLOADS MEMORY_LIMIT_MB MEMORY_WARNING_THRESHOLD BUFFER_POOL_SIZE DB_POOL_MIN DB_POOL_MAX ' +
    'REDIS_POOL_MIN REDIS_POOL_MAX MAX_FILE_SIZE CHUNK_SIZE STREAM_BUFFER_SIZE'
  for (const key of guide.split(' ')) assert.ok(keys.includes(key), `.env.production lacks ${key}`)
  assert.deepEqual(
    keys.filter((key) => !shownKeys().has(key)),
    [],
    'keys without a check',
  )
})

test('every key of docs/configuration.md has a check, and every check is of one of them', async () => {
  const page = await readFile(join(ROOT, 'docs', 'configuration.md'), 'utf8')
  const keys = [...page.matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map(([, key = '']) => key)
  assert.deepEqual([...shownKeys()].sort(), keys.sort())
})
