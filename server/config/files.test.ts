/** The files that go with the table: .env.production and docs/configuration.md. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { parseEnv } from 'node:util'
import { renderConfigurationDocs } from './docs.ts'
import { ConfigError, loadConfig } from './load.ts'
import { SETTINGS } from './settings.ts'

const root = new URL('../../', import.meta.url)
const envFile = await readFile(new URL('.env.production', root), 'utf8')
const env = parseEnv(envFile)

const GUIDE = {
  MAX_CONCURRENT_UPLOADS: '25',
  MEMORY_LIMIT_MB: '2048',
  MEMORY_WARNING_THRESHOLD: '0.8',
  BUFFER_POOL_SIZE: '100',
  DB_POOL_MIN: '10',
  DB_POOL_MAX: '50',
  REDIS_POOL_MIN: '5',
  REDIS_POOL_MAX: '25',
  MAX_FILE_SIZE: '104857600',
  CHUNK_SIZE: '1048576',
  STREAM_BUFFER_SIZE: '65536',
}

test('.env.production has the eleven settings of the production guide, each with a comment above', () => {
  const lines = envFile.split('\n')
  for (const [key, value] of Object.entries(GUIDE)) {
    assert.equal(env[key], value, key)
    const at = lines.indexOf(`${key}=${value}`)
    const above = lines.slice(0, at).findLast((line) => !/^(DB|REDIS)_POOL_MIN=/.test(line))
    assert.match(above ?? '', /^# \w/, `${key} has no comment on the line above it`)
  }
})

test('every key of .env.production is a setting, and no value drags a comment along', () => {
  for (const [key, value] of Object.entries(env)) {
    assert.ok(Object.hasOwn(SETTINGS, key), `${key} is not a setting`)
    assert.ok(!value?.includes('#'), `${key}=${value}`)
  }
})

test('.env.production has no secret in it', () => {
  for (const [key, setting] of Object.entries(SETTINGS)) {
    if (!setting.secret || key.endsWith('_URL')) continue
    assert.equal(env[key] ?? '', '', key)
  }
  assert.doesNotMatch(`${env.DATABASE_URL} ${env.REDIS_URL}`, /:[^/:@]+@/)
})

test('.env.production loads once the secrets are given, and says what is missing before', () => {
  const missing = (error: unknown) => error instanceof ConfigError && error.faults.join().includes('JWT_SECRET')
  assert.throws(() => loadConfig(env, { embedded: false }), missing)
  const config = loadConfig({ ...env, JWT_SECRET: 's'.repeat(32), DB_PASSWORD: 'x' }, { embedded: false })
  assert.equal(config.environment, 'production')
  assert.deepEqual(config.warnings, [])
  assert.equal(config.uploads.maxBytes, 104_857_600)
})

test('docs/configuration.md is what npm run docs writes', async () => {
  const page = await readFile(new URL('docs/configuration.md', root), 'utf8')
  assert.equal(page, renderConfigurationDocs(), 'run npm run docs')
  for (const key of Object.keys(SETTINGS)) assert.ok(page.includes(`\`${key}\``), key)
})
