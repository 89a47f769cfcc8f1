/** prom-client metrics made from rows of the table. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { CountStep } from './aggregate.ts'
import { MAX_NAMES, METRICS, type MetricName, type MetricRow } from './metric-table.ts'

type Named<Kind extends MetricRow['kind']> = {
  [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends Kind ? Name : never
}[MetricName]

/** Finds no metric of the wrong kind: the name decides. */
export interface Instruments {
  counter(name: Named<'counter'>): Counter
  gauge(name: Named<'gauge'>): Gauge
  histogram(name: Named<'histogram'>): Histogram
}

export function createInstruments(registry: Registry, onCount?: (step: CountStep) => void): Instruments {
  const made = {
    counter: new Map<string, Counter>(),
    gauge: new Map<string, Gauge>(),
    histogram: new Map<string, Histogram>(),
  }
  for (const [name, row] of Object.entries<MetricRow>(METRICS)) {
    const base = {
      name,
      help: row.help,
      labelNames: Object.keys(row.labels ?? {}),
      registers: [registry],
      aggregator: row.over ?? 'sum',
    }
    if (row.kind === 'counter') made.counter.set(name, startedAtZero(told(new Counter(base), name, onCount), row))
    if (row.kind === 'gauge') made.gauge.set(name, new Gauge(base))
    if (row.kind === 'histogram')
      made.histogram.set(name, new Histogram({ ...base, buckets: [...(row.buckets ?? [])] }))
  }
  return {
    counter: (name) => found(made.counter, name),
    gauge: (name) => found(made.gauge, name),
    histogram: (name) => found(made.histogram, name),
  }
}

/** `counter`, whose steps are told as they happen. */
function told(counter: Counter, name: string, onCount: ((step: CountStep) => void) | undefined): Counter {
  if (!onCount) return counter
  const inc = counter.inc.bind(counter)
  return Object.assign(counter, {
    inc(first: number | CountStep['labels'] = {}, second = 1): void {
      const [labels, by] = typeof first === 'number' ? [{}, first] : [first, second]
      inc({ ...labels }, by)
      onCount({ name, labels, by })
    },
  })
}

function found<T>(made: ReadonlyMap<string, T>, name: string): T {
  const metric = made.get(name)
  if (metric === undefined) throw new Error(`No such metric: ${name}`)
  return metric
}

/** A counter that appears with its first event hides that event from `rate()`. */
function startedAtZero(counter: Counter, row: MetricRow): Counter {
  const [label, ...more] = Object.entries(row.labels ?? {})
  if (label === undefined || more.length > 0) return counter
  const [name, values] = label
  if (typeof values !== 'string') for (const value of values) counter.inc({ [name]: value }, 0)
  return counter
}

/** A label whose names the code gives: the first {@link MAX_NAMES} are kept, the rest is `other`. */
export function cappedNames(): (name: string) => string {
  const seen = new Set<string>()
  return (name) => {
    if (seen.has(name)) return name
    if (seen.size >= MAX_NAMES) return 'other'
    seen.add(name)
    return name
  }
}
