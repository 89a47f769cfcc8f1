import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { freshDataDir, freshWorld, startService } from './service.ts'

const main = join(import.meta.dirname, 'fixtures', 'tiny-service.ts')

test('a service is ready when /readyz says so, gets only its own environment, and stops with its code', async () => {
  process.env.MAX_FILE_SIZE = '1'
  try {
    const service = await startService({ mode: 'embedded', env: { DATA_DIR: '/x' }, main })
    const answer = await fetch(service.url)
    const seen: { args: string[]; env: Record<string, string> } = JSON.parse(await answer.text())
    assert.deepEqual(seen.args, ['--embedded'])
    assert.partialDeepStrictEqual(seen.env, { DATA_DIR: '/x', HOST: '127.0.0.1', PORT: String(service.port) })
    assert.ok(!('MAX_FILE_SIZE' in seen.env))
    assert.equal(await service.stop(), 0)
    assert.match(service.logs(), /stopping/)
  } finally {
    delete process.env.MAX_FILE_SIZE
  }
})

test('a killed service is gone and can be started again on its port', async () => {
  const first = await startService({ mode: 'production', env: {}, main })
  await first.kill()
  assert.deepEqual(await first.exited, { code: null, signal: 'SIGKILL' })
  await assert.rejects(fetch(first.url))
  const second = await startService({ mode: 'production', env: {}, main, port: first.port })
  assert.equal(second.url, first.url)
  await second.kill()
})

test('a service that ends at its start fails with what it said', async () => {
  await assert.rejects(
    startService({ mode: 'production', env: { TINY: 'ends at once' }, main }),
    /ended with 3 at its start:\nno bucket of that name/,
  )
})

test('a world is complete, its own, and removed without a trace', async () => {
  const [one, other] = await Promise.all([freshWorld(), freshWorld()])
  assert.notEqual(one.env.REDIS_PREFIX, other.env.REDIS_PREFIX)
  assert.notEqual(one.env.S3_BUCKET, other.env.S3_BUCKET)
  assert.notEqual(one.env.DATABASE_URL, other.env.DATABASE_URL)
  await Promise.all([one.remove(), other.remove()])
  await assert.rejects(one.remove(), /NoSuchBucket|does not exist/)
})

test('a data directory goes with what is in it', async () => {
  const { dir, remove } = await freshDataDir()
  assert.match(dir, /upload-data-/)
  await remove()
})
