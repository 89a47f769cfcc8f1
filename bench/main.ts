/**
 * `npm run bench [-- --write] [work...]`: ours, the plain packages, a bare relay (and tusd, where it is on the PATH) in
 * one run, in turns, on one store. `--write` puts the figures into docs/performance.md. BENCH_SCALE multiplies sizes and
 * counts, BENCH_ROUNDS the turns (3), BENCH_LONG=1 takes 1,000 slow uploads instead of 200.
 * Works: those of plan.ts by their id, `real`, `takeover`, `memory`, `workers`, `encryption`; default all.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServices } from '../test/support/provision/start-all.ts'
import { testServices } from '../test/support/services.ts'
import { type DiscardStore, startDiscardStore } from './discard-store.ts'
import { measureEncryption } from './encryption.ts'
import { measureHandovers } from './handover.ts'
import { Load } from './load/driver.ts'
import { type Measured, measure } from './measure.ts'
import { measureSlow, type SlowFigures } from './memory.ts'
import { plan } from './plan.ts'
import {
  cpuTable,
  encryptionTable,
  handoverTable,
  machine,
  slowTable,
  storeTable,
  takeoverTable,
  workersTable,
} from './report.ts'
import { hasTusd, type MeasuredServer, type ServerName, startServer } from './servers.ts'
import { measureTakeovers } from './takeover.ts'
import { measureWorkers } from './workers.ts'

const PAGE = join(import.meta.dirname, '..', 'docs', 'performance.md')
const [BEGIN, END] = ['<!-- bench:begin -->', '<!-- bench:end -->']

const scale = Number(process.env.BENCH_SCALE ?? 1)
const rounds = Number(process.env.BENCH_ROUNDS ?? 3)
const long = process.env.BENCH_LONG === '1'
const write = process.argv.includes('--write')
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const takes = (id: string): boolean => wanted.length === 0 || wanted.includes(id)
const names: readonly ServerName[] = hasTusd() ? ['relay', 'ours', 'plain', 'tusd'] : ['relay', 'ours', 'plain']
const startedAt = performance.now()
const loadBefore = loadavg()[0] ?? 0
const seconds = (): number => (performance.now() - startedAt) / 1000
const say = (line: string): void => void process.stderr.write(`bench ${seconds().toFixed(0)} s: ${line}\n`)

/** Services that run already (`npm run services`), or fresh ones. Returns how to stop them. */
async function ensureServices(): Promise<() => Promise<void>> {
  try {
    testServices()
    return async () => {}
  } catch {
    const { value, stop } = await startServices(say)
    const [seaweedfs, versitygw] = value.s3
    process.env.TEST_REDIS_URL = value.redisUrl
    process.env.TEST_DATABASE_URL = value.databaseUrl
    process.env.TEST_S3_ENDPOINT = seaweedfs?.endpoint
    process.env.TEST_S3_STRICT_ENDPOINT = versitygw?.endpoint
    process.env.TEST_S3_ACCESS_KEY = seaweedfs?.accessKeyId
    process.env.TEST_S3_SECRET_KEY = seaweedfs?.secretAccessKey
    process.env.TEST_S3_REGION = seaweedfs?.region
    return stop
  }
}

/** What ran a few hundred times is still interpreted for the most part; a service that runs for weeks is not. */
async function warmUp(servers: readonly MeasuredServer[], load: Load): Promise<void> {
  const MIB = 1024 * 1024
  for (const { url } of servers) {
    await load.run({ name: 'uploads', work: { url, count: 2, parallel: 1, bytes: 64 * MIB, patchBytes: 64 * MIB } })
    await load.run({ name: 'uploads', work: { url, count: 1, parallel: 1, bytes: 20 * MIB, patchBytes: MIB } })
    await load.run({ name: 'uploads', work: { url, count: 8, parallel: 4, bytes: 16 * MIB, patchBytes: MIB / 16 } })
    await load.run({ name: 'files', work: { url, count: 1000, parallel: 8, bytes: 10_240, requests: 1 } })
    await load.run({ name: 'posts', work: { url, count: 1000, parallel: 8 } })
    await load.run({ name: 'prepareHeads', work: { url, count: 10 } })
    await load.run({ name: 'heads', work: { url, count: 2000, parallel: 8 } })
  }
}

async function onStore(sections: string[], load: Load, store: DiscardStore): Promise<void> {
  const works = plan(scale).filter(({ id }) => takes(id))
  const servers = await Promise.all(names.map((name) => startServer(name, store.s3)))
  try {
    if (works.length > 0) {
      await warmUp(servers, load)
      const all: Measured[] = []
      for (const work of works) {
        say(work.title)
        all.push(await measure(work, servers, load, store, rounds))
      }
      sections.push(`### CPU, discard store\n\n${cpuTable(all)}`, `### What the store is asked\n\n${storeTable(all)}`)
    }
    const plain = servers.find(({ name }) => name === 'plain')
    if (takes('takeover') && plain) {
      say('takeovers')
      sections.push(`### Takeover\n\n${takeoverTable(await measureTakeovers(store.s3, load, plain, 20))}`)
      say('hand-overs')
      sections.push(handoverTable(await measureHandovers(store.s3, 40)))
    }
  } finally {
    await Promise.all(servers.map((server) => server.remove()))
  }
}

async function underSlowUploads(load: Load, store: DiscardStore): Promise<string> {
  const slow = { count: long ? 1000 : 200, bytesASecond: 65_536, seconds: long ? 60 : 15, stalled: 0.1 }
  const all: SlowFigures[] = []
  for (const name of names) {
    say(`${slow.count} slow uploads: ${name}`)
    all.push(await measureSlow(name, store.s3, load, slow))
  }
  return `### Memory\n\n${slowTable(all, slow)}`
}

async function onRealStore(load: Load): Promise<string> {
  const s3 = testServices().s3.find(({ name }) => name === 'versitygw')
  if (s3 === undefined) throw new Error('no versitygw')
  const works = plan(scale / 4).filter(({ real }) => real)
  const servers = await Promise.all(names.map((name) => startServer(name, s3)))
  try {
    const all: Measured[] = []
    for (const work of works) {
      say(`versitygw: ${work.title}`)
      all.push(await measure(work, servers, load, null, Math.min(rounds, 2)))
    }
    return `### CPU, versitygw\n\n${cpuTable(all)}`
  } finally {
    await Promise.all(servers.map((server) => server.remove()))
  }
}

async function putIntoPage(figures: string): Promise<void> {
  const page = await readFile(PAGE, 'utf8')
  const [before, rest] = page.split(BEGIN)
  const after = rest?.split(END)[1]
  if (before === undefined || after === undefined) throw new Error(`docs/performance.md lacks ${BEGIN} or ${END}`)
  await writeFile(PAGE, `${before}${BEGIN}\n\n${figures}\n\n${END}${after}`)
}

async function main(): Promise<void> {
  const stopServices = await ensureServices()
  // The plain packages' temporary files go with it.
  const scratch = await mkdtemp(join(tmpdir(), 'upload-bench-'))
  process.env.TMPDIR = scratch
  const store = await startDiscardStore()
  const load = new Load()
  const sections: string[] = []
  try {
    await onStore(sections, load, store)
    if (takes('memory')) sections.push(await underSlowUploads(load, store))
    if (takes('workers')) {
      say('one process and two')
      sections.push(`### WORKERS\n\n${workersTable(await measureWorkers(store.s3, load, rounds))}`)
    }
    if (takes('encryption')) {
      say('with and without encryption by the service')
      sections.push(
        `### Encryption by the service\n\n${encryptionTable(await measureEncryption(store, load, rounds, scale))}`,
      )
    }
    if (takes('real')) sections.push(await onRealStore(load))
  } finally {
    load.stop()
    await store.stop()
    await stopServices()
    await rm(scratch, { recursive: true, force: true })
  }
  const where = machine('npm run bench -- --write', seconds(), scale, [loadBefore, loadavg()[0] ?? 0])
  const figures = [where, ...sections].join('\n\n')
  process.stdout.write(`${figures}\n`)
  if (write) await putIntoPage(figures)
}

await main()
