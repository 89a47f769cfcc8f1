/** The metrics of several processes as those of one instance. */
import { AggregatorRegistry } from 'prom-client'

/** All metrics of one process, as they travel between processes. */
export type Snapshot = readonly MetricSnapshot[]

/** One metric with its values, in prom-client's own form. */
export interface MetricSnapshot {
  readonly name: string
  readonly help: string
  readonly type: unknown
  readonly aggregator: unknown
  readonly values: readonly object[]
}

/** One step of a counter. */
export interface CountStep {
  readonly name: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly by: number
}

interface Total {
  readonly labels: Readonly<Record<string, string | number>>
  value: number
}

/**
 * What an instance has counted since it started, whichever of its processes counted it and whether that one still
 * runs. Counters of ours are added up step by step as they happen; histograms of a dead process stay as they were last seen.
 */
export class Ledger {
  readonly #counts = new Map<string, Map<string, Total>>()
  #dead: Snapshot[] = []

  count({ name, labels, by }: CountStep): void {
    const byLabels = this.#counts.get(name) ?? new Map<string, Total>()
    this.#counts.set(name, byLabels)
    const key = JSON.stringify(Object.entries(labels).sort())
    const total = byLabels.get(key)
    if (total) total.value += by
    else byLabels.set(key, { labels, value: by })
  }

  /** Keeps what a process that ended had measured. Gauges say how things are, so they end with it. */
  bury(last: Snapshot): void {
    const kept = last.filter(({ type }) => String(type) === 'histogram' || String(type) === 'counter')
    this.#dead = [[...AggregatorRegistry.aggregate([...this.#dead, kept]).getMetricsAsArray()].map(asSnapshotMetric)]
  }

  /** The exposition of the whole instance: the living processes, the dead ones, the counts. */
  async render(living: readonly Snapshot[]): Promise<string> {
    const all = [...living, ...this.#dead].map((snapshot) => [...snapshot])
    const registry = AggregatorRegistry.aggregate(all)
    const metrics = registry.getMetricsAsArray().map(asSnapshotMetric)
    const exact = metrics.map((metric) => {
      const counts = this.#counts.get(metric.name)
      return counts
        ? { ...metric, values: [...counts.values()].map(({ labels, value }) => ({ labels, value })) }
        : metric
    })
    return AggregatorRegistry.aggregate([exact]).metrics()
  }
}

function asSnapshotMetric(metric: object): MetricSnapshot {
  if (!isSnapshotMetric(metric)) throw new Error('prom-client aggregates into another shape than it did')
  const { name, help, type, aggregator, values } = metric
  return { name, help, type, aggregator, values }
}

function isSnapshotMetric(metric: object): metric is MetricSnapshot {
  return 'name' in metric && 'values' in metric && Array.isArray(metric.values)
}
