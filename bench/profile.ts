/**
 * `npm run bench:profile -- WORK...`: works of plan.ts on ours alone, under `node --cpu-prof`, on the discard store.
 * Prints where the main thread's time went: by file, by function, and by function with all that it called. The profiles
 * stay in `.cache/profiles/` for a viewer. Each work is run once before, so that little of it is the compiler's.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type DiscardStore, startDiscardStore } from './discard-store.ts'
import { Load } from './load/driver.ts'
import { type PlannedWork, plan } from './plan.ts'
import { cpuSeconds } from './process-figures.ts'
import { startServer } from './servers.ts'
import { figure } from './statistics.ts'

const ROOT = join(import.meta.dirname, '..')
const PROFILES = join(ROOT, '.cache', 'profiles')
const SHOWN = 45
const TIMES = 3

/** What `--cpu-prof` writes, as far as it is read here. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
  /** Microseconds of the machine's monotonic clock, which all processes share. */
  readonly startTime: number
}

function placeOf(url: string): string {
  if (url.startsWith('file:')) return relative(ROOT, fileURLToPath(url)).replace(/^node_modules\//, '')
  return url === '' ? '(native)' : url
}

interface Shares {
  readonly byFile: Map<string, number>
  readonly byFunction: Map<string, number>
  readonly withCallees: Map<string, number>
  /** Microseconds in which something ran. */
  readonly busy: number
}

const microseconds = (): number => Number(process.hrtime.bigint() / 1000n)

/** Only what was sampled between `from` and `to` counts: starting up is not the work. */
function sharesOf({ nodes, samples, timeDeltas, startTime }: CpuProfile, from: number, to: number): Shares {
  const self = new Map<number, number>()
  let at = startTime
  for (const [index, id] of samples.entries()) {
    const delta = timeDeltas[index] ?? 0
    at += delta
    if (at >= from && at <= to) self.set(id, (self.get(id) ?? 0) + delta)
  }
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const [byFile, byFunction, withCallees] = [
    new Map<string, number>(),
    new Map<string, number>(),
    new Map<string, number>(),
  ]
  const add = (map: Map<string, number>, key: string, time: number): void =>
    void map.set(key, (map.get(key) ?? 0) + time)
  let busy = 0
  /** A function that calls itself is counted once: `above` holds those on the stack. */
  const walk = (id: number, above: ReadonlySet<string>): number => {
    const node = byId.get(id)
    if (node === undefined) return 0
    const { functionName, url, lineNumber } = node.callFrame
    const place = placeOf(url)
    const name = `${functionName || '(anonymous)'} ${place}:${lineNumber + 1}`
    const own = self.get(id) ?? 0
    const isIdle = functionName === '(idle)' || functionName === '(program)'
    let all = isIdle ? 0 : own
    if (!isIdle) {
      busy += own
      add(byFile, url === '' ? `${functionName}` : place, own)
      add(byFunction, name, own)
    }
    const stack = new Set(above).add(name)
    for (const child of node.children ?? []) all += walk(child, stack)
    if (!above.has(name)) add(withCallees, name, all)
    return all
  }
  const root = nodes[0]
  if (root) walk(root.id, new Set())
  return { byFile, byFunction, withCallees, busy }
}

function print(title: string, times: ReadonlyMap<string, number>, busy: number, amount: number): void {
  const top = [...times].sort(([, a], [, b]) => b - a).slice(0, SHOWN)
  console.log(`\n-- ${title}: share, microseconds for one`)
  for (const [name, time] of top) {
    console.log(`${((time / busy) * 100).toFixed(1).padStart(5)} % ${figure(time / amount).padStart(8)}  ${name}`)
  }
}

async function profile(work: PlannedWork, load: Load, store: DiscardStore): Promise<void> {
  const dir = join(PROFILES, work.id)
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  const server = await startServer('ours', store.s3, { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${dir}` })
  const run = async (): Promise<void> => {
    if (work.prepare) await load.run(work.prepare(server.url, 'ours'))
    await load.run(work.work(server.url, 'ours'))
    await store.settled(server.bucket)
  }
  await run()
  const before = await cpuSeconds(server.pid)
  const from = microseconds()
  for (let times = 0; times < TIMES; times++) await run()
  const to = microseconds()
  const used = (await cpuSeconds(server.pid)) - before
  await server.remove()
  const [file] = await readdir(dir)
  if (file === undefined) throw new Error('no profile was written')
  const parsed: CpuProfile = JSON.parse(await readFile(join(dir, file), 'utf8'))
  const shares = sharesOf(parsed, from, to)
  const amount = work.amount('ours') * TIMES
  console.log(
    `\n==== ${work.title}: ${figure(used / amount)} CPU-s a ${work.per}; main thread busy ${figure(shares.busy / 1e6)} s`,
  )
  print('by file', shares.byFile, shares.busy, amount)
  print('by function', shares.byFunction, shares.busy, amount)
  print('with what they called', shares.withCallees, shares.busy, amount)
}

const wanted = process.argv.slice(2)
const store = await startDiscardStore()
const load = new Load()
try {
  for (const work of plan(Number(process.env.BENCH_SCALE ?? 1))) {
    if (wanted.includes(work.id)) await profile(work, load, store)
  }
} finally {
  load.stop()
  await store.stop()
}
