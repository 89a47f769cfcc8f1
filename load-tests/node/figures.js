import { createHistogram } from 'node:perf_hooks'

const LABELS_KEPT = 50
const EXAMPLES_KEPT = 10

/** Rows of the report, in its order. The first three are what the guide calls metadata operations. */
export const OPERATIONS = /** @type {const} */ ([
  'POST',
  'HEAD',
  'info',
  'HEAD after a break',
  'PATCH',
  'download',
  'DELETE',
])

/** @typedef {(typeof OPERATIONS)[number]} Operation */
/** @typedef {'requests' | 'errors' | 'busy' | 'cuts' | 'staleConnections' | 'acknowledgedBytes' | 'steadyBytes' | 'uploadsBegun' | 'uploadsVerified' | 'uploadsFailed' | 'uploadsUnfinished' | 'wrongContents'} Counter */
/** @typedef {Pick<Figures, 'latency' | 'acknowledged' | 'count' | 'error'>} Recorder what an upload tells while it goes */
/** @typedef {{ at: string, what: string, detail: string }} Example */

/** What happened, in memory that does not grow with the run. */
export class Figures {
  /** Latencies are kept only while this is true: not while clients start, nor while the last uploads end. */
  steady = false
  /** @type {Map<Operation, import('node:perf_hooks').RecordableHistogram>} */
  #latencies = new Map()
  /** @type {Map<string, number>} */
  #errors = new Map()
  /** @type {Example[]} */
  examples = []
  /** @type {Record<Counter, number>} */
  counts = {
    requests: 0,
    errors: 0,
    busy: 0,
    cuts: 0,
    staleConnections: 0,
    acknowledgedBytes: 0,
    steadyBytes: 0,
    uploadsBegun: 0,
    uploadsVerified: 0,
    uploadsFailed: 0,
    uploadsUnfinished: 0,
    wrongContents: 0,
  }

  /** @param {Operation} operation @param {number} ms */
  latency(operation, ms) {
    if (!this.steady) return
    let histogram = this.#latencies.get(operation)
    if (histogram === undefined) {
      histogram = createHistogram({ lowest: 1, highest: 3_600_000_000, figures: 3 })
      this.#latencies.set(operation, histogram)
    }
    histogram.record(Math.max(1, Math.round(ms * 1000)))
  }

  /** @param {Counter} counter */
  count(counter) {
    this.counts[counter] += 1
  }

  /** @param {number} bytes that the server has said it has */
  acknowledged(bytes) {
    this.counts.acknowledgedBytes += bytes
    if (this.steady) this.counts.steadyBytes += bytes
  }

  /** @param {string} what a label from a small set @param {string} detail of this one case */
  error(what, detail) {
    this.counts.errors += 1
    const label = this.#errors.has(what) || this.#errors.size < LABELS_KEPT ? what : 'others'
    this.#errors.set(label, (this.#errors.get(label) ?? 0) + 1)
    const known = this.examples.filter((example) => example.what === what).length
    if (known < 2 && this.examples.length < EXAMPLES_KEPT) {
      this.examples.push({ at: new Date().toISOString(), what, detail })
    }
  }

  /** Most frequent first. */
  get errors() {
    return [...this.#errors].sort((a, b) => b[1] - a[1]).map(([what, count]) => ({ what, count }))
  }

  /** Milliseconds, an operation a row, of those that were seen. */
  get latencies() {
    return OPERATIONS.flatMap((operation) => {
      const histogram = this.#latencies.get(operation)
      if (histogram === undefined) return []
      const at = (/** @type {number} */ percent) => histogram.percentile(percent) / 1000
      return [
        {
          operation,
          samples: histogram.count,
          p50: at(50),
          p90: at(90),
          p95: at(95),
          p99: at(99),
          max: histogram.max / 1000,
        },
      ]
    })
  }
}
