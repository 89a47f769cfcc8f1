/** The figures as tables. */
import { cpus } from 'node:os'
import type { EncryptionFigures } from './encryption.ts'
import { type Handover, type Handovers, QUEUED } from './handover.ts'
import type { Measured, Run } from './measure.ts'
import type { SlowFigures, SlowLoad } from './memory.ts'
import type { PlannedWork } from './plan.ts'
import type { ServerName } from './servers.ts'
import { figure, median, quantile } from './statistics.ts'
import type { Takeovers } from './takeover.ts'
import type { WorkersFigures } from './workers.ts'

const LABELS: Readonly<Record<ServerName, string>> = {
  relay: 'bare relay',
  ours: '**ours**',
  plain: '@tus/server + @tus/s3-store',
  tusd: 'tusd',
}

type Row = readonly (string | number)[]

function table(head: Row, rows: readonly Row[]): string {
  const line = (row: Row): string => `| ${row.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

const of = ({ runs }: Measured, server: ServerName): Run[] => runs.filter((run) => run.server === server)

/** The middle of the ratios of the runs that followed each other. */
export function ratio(measured: Measured, server: ServerName, to: ServerName): number {
  const others = of(measured, to)
  return median(of(measured, server).flatMap(({ cpu }, round) => (others[round] ? [cpu / others[round].cpu] : [])))
}

function cpuText({ per }: PlannedWork, runs: readonly Run[]): string {
  const value = median(runs.map(({ cpu }) => cpu))
  return per === 'GiB' ? `${figure(value)} s/GiB` : `${figure(value * 1000)} ms/${per}`
}

function percentiles(runs: readonly { readonly times: readonly number[] }[]): string {
  const times = runs.flatMap(({ times }) => times)
  return times.length < 20
    ? figure(median(times))
    : `${figure(quantile(times, 0.5))} / ${figure(quantile(times, 0.99))}`
}

/** Store requests of one upload or request, as many digits as they need. */
function requests(run: Run, count: number): string {
  const total = Object.values(run.store?.requests ?? {}).reduce((sum, one) => sum + one, 0)
  return figure(total / count)
}

function kinds(run: Run, count: number): string {
  const entries = Object.entries(run.store?.requests ?? {}).sort(([, a], [, b]) => b - a)
  return entries.map(([kind, total]) => `${kind} ${figure(total / count)}`).join(', ')
}

function payload(run: Run, { bytes }: PlannedWork, count: number): string {
  if (run.store === null || bytes === 0) return '-'
  const all = bytes * count
  return `${figure(run.store.bytesIn / all)} / ${figure(run.store.bytesOut / all)}`
}

const SERVERS: readonly ServerName[] = ['relay', 'ours', 'plain', 'tusd']

/** CPU and times of each work on each server. */
export function cpuTable(all: readonly Measured[], names = SERVERS): string {
  const head = ['work', 'server', 'CPU, median', 'x relay', 'to reach', 'x plain', 'ms, p50 / p99', 'runs', 'requests']
  const rows = all.flatMap((measured) =>
    names.flatMap((name): Row[] => {
      const runs = of(measured, name)
      if (runs.length === 0) return []
      const target = name === 'ours' ? (measured.work.target.relay ?? '') : ''
      const ratios = [figure(ratio(measured, name, 'relay')), target, figure(ratio(measured, name, 'plain'))]
      const samples = runs.reduce((sum, run) => sum + run.times.length, 0)
      return [
        [
          measured.work.title,
          LABELS[name],
          cpuText(measured.work, runs),
          ...ratios,
          percentiles(runs),
          runs.length,
          samples,
        ],
      ]
    }),
  )
  return table(head, rows)
}

/** What each work asks of the store, for one upload or request. */
export function storeTable(all: readonly Measured[]): string {
  const head = ['work', 'server', 'S3 requests', 'to reach', 'sent / read, x payload', 'by kind']
  const rows = all.flatMap(({ work, runs }) =>
    SERVERS.flatMap((name): Row[] => {
      const run = runs.filter(({ server }) => server === name).at(-1)
      if (run === undefined) return []
      const count = work.count(name)
      const target = name === 'ours' ? (work.target.requests ?? '') : ''
      return [[work.title, LABELS[name], requests(run, count), target, payload(run, work, count), kinds(run, count)]]
    }),
  )
  return table(head, rows)
}

export function takeoverTable({ live, killed, plain }: Takeovers): string {
  const row = (what: string, times: readonly number[]): Row => {
    const [p50, p99] = [figure(quantile(times, 0.5)), figure(quantile(times, 0.99))]
    return [what, p50, p99, times.length]
  }
  return table(
    ['takeover, from asking to the answer', 'ms, p50', 'ms, p99', 'samples'],
    [
      row('ours, of a PATCH that is open on another instance, its 256 KiB flushed', live),
      row('ours, of an instance killed with -9 (lease 3 s)', killed),
      row('@tus/server, of a PATCH that is open in the same process', plain),
    ],
  )
}

/** What a hand-over consists of; the flush itself lies between its two parts. */
export function handoverTable({ quiet, queued }: Handovers): string {
  const row = (what: string, of: keyof Handover, target: string): Row => {
    const cells = [quiet, queued].flatMap((all) => {
      const times = all.map((each) => each[of])
      return [figure(quantile(times, 0.5)), figure(quantile(times, 0.99))]
    })
    return [what, ...cells, target, quiet.length]
  }
  return table(
    [
      'hand-over, ms',
      'quiet, p50',
      'p99',
      `${QUEUED} writes and ${QUEUED} that wait, p50`,
      'p99',
      'to reach',
      'samples',
    ],
    [
      row('from asking until the holder stores what it has', 'stop', '20'),
      row('from the last answer of the store to the grant', 'grant', '30'),
      row('from asking to the answer', 'whole', 'p99 1000'),
    ],
  )
}

export function slowTable(all: readonly SlowFigures[], { count, bytesASecond, seconds, stalled }: SlowLoad): string {
  const mib = (value: number): string => value.toFixed(0)
  const rows = all.map(({ server, idle, middle, end, peak, posts }): Row => {
    const times = [figure(quantile(posts, 0.5)), figure(quantile(posts, 0.99))]
    return [LABELS[server], mib(idle), mib(middle), mib(end), mib(peak), times.join(' / '), posts.length]
  })
  const what = `${count} uploads at ${bytesASecond / 1024} KiB/s for ${seconds} s, ${stalled * 100} % of them stalled`
  const head = ['server', 'idle, MiB', 'middle', 'end', 'peak', 'POST meanwhile, ms, p50 / p99', 'POSTs']
  return `${what}:\n\n${table(head, rows)}`
}

/** Throughput with one process and with two. */
export function workersTable(all: readonly WorkersFigures[]): string {
  const rows = all.map(({ work, unit, one, two }): Row => {
    const [before, after] = [quantile(one, 0.5), quantile(two, 0.5)]
    return [work, unit, figure(before), figure(after), figure(after / before), one.length]
  })
  return table(['work', 'unit', 'WORKERS=1', 'WORKERS=2', 'ratio', 'runs'], rows)
}

export function encryptionTable(all: readonly EncryptionFigures[]): string {
  const rows = all.map(({ work, per, plain, encrypted }): Row => {
    const [before, after] = [quantile(plain, 0.5), quantile(encrypted, 0.5)]
    const unit = per === 'GiB' ? 's/GiB' : `ms/${per}`
    const figures = [before, after, after - before].map((cpu) => figure(per === 'GiB' ? cpu : cpu * 1000))
    return [work, unit, ...figures, per === 'GiB' ? '+ 1.8' : '', plain.length]
  })
  return table(['work', 'CPU', 'plain', 'encrypted', 'more', 'to reach', 'runs'], rows)
}

/** Where and with what the figures were taken. */
export function machine(command: string, seconds: number, scale: number, load: readonly number[]): string {
  const cores = cpus()
  return [
    `- Command: \`${command}\` (BENCH_SCALE=${scale}), ${figure(seconds)} s, ${new Date().toISOString().slice(0, 10)}`,
    `- Machine: ${cores.length} cores (${cores[0]?.model.trim()}), node ${process.version}, ${process.platform} ${process.arch}; load average before and after: ${load.map((one) => one.toFixed(1)).join(', ')}`,
  ].join('\n')
}
