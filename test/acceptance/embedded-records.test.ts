/**
 * The embedded service loses its database: what its record files say of every upload is enough to go on, to download, to
 * list, and to remember what is gone.
 */
import assert from 'node:assert/strict'
import { readdir, rename, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { launch } from '../support/launch.ts'
import { freePorts } from '../support/provision/ports.ts'
import { freshDataDir, type RunningService, startService, surroundings } from '../support/service.ts'
import { eventually, idOf, sampleBytes, sha256, Tus, UPLOADS } from './support/tus.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'server', 'main.ts')

let data: Awaited<ReturnType<typeof freshDataDir>>
let service: RunningService

async function start(): Promise<Tus> {
  service = await startService({ mode: 'embedded', env: { DATA_DIR: data.dir, HOLD_LEASE: '1s' } })
  return new Tus(service.url)
}

/** A log line comes through a pipe, and not at once. */
async function said(pattern: RegExp): Promise<void> {
  await eventually(async () => pattern.test(service.logs()), `the log says ${pattern}`)
}

async function states(tus: Tus): Promise<Map<string, string>> {
  const answer = await tus.send('GET', `${UPLOADS}?limit=100`)
  assert.equal(answer.status, 200)
  const { items }: { items: { id: string; state: string }[] } = JSON.parse(answer.body.toString())
  return new Map(items.map(({ id, state }) => [id, state]))
}

before(async () => {
  data = await freshDataDir()
})
after(async () => {
  await service?.kill()
  await data?.remove()
})

const HALF = 9_000_000
const large = sampleBytes(20_000_000, 'embedded-large')
const small = sampleBytes(300_000, 'embedded-small')
let half = ''
let finished = ''
let gone = ''

test('kill -9, and its whole database is lost: everything goes on where it was', { timeout: 120_000 }, async () => {
  const first = await start()
  half = await first.createWith(
    large.length,
    large.subarray(0, HALF),
    `filename ${Buffer.from('é.bin').toString('base64')}`,
  )
  finished = await first.createWith(small.length, small)
  gone = await first.createWith(10, '12345')
  assert.equal((await first.terminate(gone)).status, 204)
  await eventually(async () => (await states(first)).get(idOf(finished)) === 'available', 'it is processed')
  const listed = await states(first)
  const info = await first.info(half)
  await service.kill()
  await rm(join(data.dir, 'db'), { recursive: true })

  const again = await start()
  await said(/"event":"records.rebuilt","rebuilt":3,/)
  await again.standsAt(half, HALF, large.length)
  assert.deepEqual(await states(again), listed)
  // HEAD took the hold of the unfinished one: that is in the row by now.
  const { updatedAt: _, ...kept } = await again.info(half)
  for (const [name, value] of Object.entries(kept)) assert.deepEqual(value, info[name], name)
  assert.equal(await again.downloaded(finished), sha256(small))
  assert.equal((await again.head(gone)).status, 410)
  assert.equal((await again.patch(gone, 5, '67890')).status, 410)
  const patched = await again.patch(half, HALF, large.subarray(HALF))
  assert.equal(patched.status, 204)
  assert.equal(await again.downloaded(half), sha256(large))
})

test('a database that cannot be opened: the start says what to do, and that does it', {
  timeout: 120_000,
}, async () => {
  assert.equal(await service.stop(), 0)
  const db = join(data.dir, 'db')
  await truncate(join(db, 'global', 'pg_control'), 0)
  const [port = 0] = await freePorts(1)
  const broken = launch(process.execPath, [MAIN, '--embedded'], {
    env: { ...surroundings(), DATA_DIR: data.dir, PORT: String(port) },
  })
  assert.equal(await broken.ends(), 1)
  const [, from = '', to = ''] = /\n {2}mv (\S+) (\S+)\n/.exec(broken.output()) ?? []
  assert.equal(from, db, broken.output())
  assert.doesNotMatch(broken.output(), /\n {4}at /, 'a sentence, not a stack')
  await rename(from, to)

  const tus = await start()
  await said(/"event":"records.rebuilt","rebuilt":3,/)
  assert.equal(await tus.downloaded(half), sha256(large))
  assert.equal(await tus.downloaded(finished), sha256(small))
  assert.equal((await tus.head(gone)).status, 410)
  assert.ok((await readdir(data.dir)).includes('db.broken'), 'the broken one is kept')
})
