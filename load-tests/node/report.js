import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os'

/** @import { Options } from './options.js' */
/** @import { Outcome } from './run.js' */

const METADATA = ['POST', 'HEAD', 'info']
/** The guide's aggregate throughput: reported beside, no threshold, since it is of its hardware. */
const GUIDE_BYTES_A_MINUTE = 10e9

/**
 * @typedef {object} Threshold
 * @property {string} what
 * @property {boolean} ok
 * @property {string} seen
 */
/** @typedef {ReturnType<typeof reportOf>} Report */

/**
 * @param {Options} options @param {Outcome} outcome @param {Date} startedAt
 * @returns what is printed, and written by --json
 */
export function reportOf(options, outcome, startedAt) {
  const { figures, generator, ...times } = outcome
  const { counts } = figures
  const bytesPerMinute = outcome.steadyMs > 0 ? (counts.steadyBytes / outcome.steadyMs) * 60_000 : 0
  const { token, json, ...configuration } = options
  const thresholds = thresholdsOf(options, outcome)
  return {
    ok: thresholds.every(({ ok }) => ok),
    startedAt: startedAt.toISOString(),
    ...times,
    machine: machine(),
    configuration: { ...configuration, token: token === undefined ? 'none' : 'given', json: json ?? 'none' },
    generator,
    latencies: figures.latencies,
    counts,
    throughput: { bytesPerMinute, ofGuide: bytesPerMinute / GUIDE_BYTES_A_MINUTE },
    errors: figures.errors,
    examples: figures.examples,
    thresholds,
  }
}

/**
 * @param {Options} options @param {Outcome} outcome
 * @returns {Threshold[]}
 */
function thresholdsOf({ maxMetadataMs, maxErrors }, { figures, interrupted }) {
  const { requests, errors, uploadsVerified, uploadsFailed, wrongContents } = figures.counts
  const share = (/** @type {number} */ part, /** @type {number} */ all) => (all === 0 ? 0 : part / all)
  const percent = (/** @type {number} */ value) => `${Number((value * 100).toFixed(3))} %`
  const latency = METADATA.map((name) => {
    const row = figures.latencies.find(({ operation }) => operation === name)
    const what = `${name} below ${maxMetadataMs} ms at p95`
    // An interrupted run is judged by what it saw; one that ended and saw nothing has shown nothing.
    if (row === undefined) return { what, ok: interrupted, seen: 'no sample' }
    return { what, ok: row.p95 < maxMetadataMs, seen: `${row.p95.toFixed(1)} ms of ${row.samples}` }
  })
  const [failing, broken] = [share(errors, requests), share(uploadsFailed, uploadsFailed + uploadsVerified)]
  return [
    ...latency,
    {
      what: `failed requests below ${percent(maxErrors)}`,
      ok: failing < maxErrors,
      seen: `${percent(failing)}: ${errors} of ${requests}`,
    },
    {
      what: `failed uploads below ${percent(maxErrors)}`,
      ok: broken < maxErrors,
      seen: `${percent(broken)}: ${uploadsFailed} of ${uploadsFailed + uploadsVerified}`,
    },
    { what: 'every content as it was sent', ok: wrongContents === 0, seen: `${wrongContents} wrong` },
    { what: 'some uploads verified', ok: interrupted || uploadsVerified > 0, seen: `${uploadsVerified}` },
  ]
}

function machine() {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  return {
    node: process.version,
    system: `${platform()} ${release()} ${arch()}`,
    processors: `${availableParallelism()} x ${model}`,
    memoryBytes: totalmem(),
    loadAverage: loadavg().map((value) => Number(value.toFixed(2))),
  }
}

/** @param {Report} report @returns {string} */
export function textOf(report) {
  const lines = [
    ...headOf(report),
    '',
    ...tableOf(report),
    '',
    ...countsOf(report),
    '',
    ...report.errors.map(({ what, count }) => `error: ${count} x ${what}`),
    ...report.examples.map(({ at, what, detail }) => `  ${at} ${what}: ${detail}`),
    ...report.thresholds.map(({ what, ok, seen }) => `${ok ? 'ok    ' : 'BROKEN'} ${what} (${seen})`),
  ]
  return `${lines.join('\n')}\n`
}

/** @param {Report} report */
function headOf({ configuration: c, machine: m, generator: g, ...report }) {
  const pace = c.perMinute === 0 ? 'as fast as they can' : `together ${mb(c.perMinute)} a minute at most`
  const rest = report.elapsedMs - Math.min(report.elapsedMs, c.durationMs)
  return [
    `Load test of ${c.url}, ${report.startedAt}${report.interrupted ? ', INTERRUPTED: the report so far' : ''}`,
    `  clients    ${c.concurrent}, ${pace}; uploads of ${c.sizes.join(', ')} bytes in PATCHes of ${c.chunk}, ` +
      `${Number((c.cuts * 100).toFixed(2))} % cut in mid-body; hash from ${c.verify.join(' and ')}`,
    `  time       ${s(report.elapsedMs)}: ${s(c.rampMs)} warm-up while clients start, ${s(report.steadyMs)} measured, ` +
      `${s(rest)} until the last upload ended`,
    `  generator  Node ${m.node}, ${m.system}, ${m.processors}, ${mb(m.memoryBytes)}, load ${m.loadAverage.join(' ')}`,
    `             ${g.cpuShare.toFixed(2)} cores, at most ${mb(g.maxRssBytes)}, p99 of its own delay ${g.p99DelayMs.toFixed(1)} ms` +
      (g.p99DelayMs > 50 ? ': latencies below are also the generator’s own' : ''),
  ]
}

/** @param {Report} report */
function tableOf({ latencies }) {
  const cells = latencies.map(({ operation, samples, ...ms }) => [
    METADATA.includes(operation) ? `${operation} *` : operation,
    String(samples),
    ...[ms.p50, ms.p90, ms.p95, ms.p99, ms.max].map((value) => value.toFixed(1)),
  ])
  const rows = [['ms', 'samples', 'p50', 'p90', 'p95', 'p99', 'max'], ...cells]
  const width = (/** @type {number} */ column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))
  return [
    ...rows.map((row) =>
      row.map((cell, n) => (n === 0 ? cell.padEnd(width(0)) : cell.padStart(width(n) + 2))).join(''),
    ),
    '* metadata operations. PATCH takes as long as the client sends; HEAD after a break waits until what came is stored.',
  ]
}

/** @param {Report} report */
function countsOf({ counts, connections, throughput }) {
  return [
    `uploads     ${counts.uploadsVerified} verified, ${counts.uploadsFailed} failed, ` +
      `${counts.uploadsUnfinished} not ended in time (left behind)`,
    `requests    ${counts.requests}; ${counts.errors} errors; ${counts.cuts} cut on purpose, ${counts.busy} times ` +
      `told to wait after a break; ${connections} connections opened, ${counts.staleConnections} found closed`,
    `throughput  ${mb(throughput.bytesPerMinute)} a minute acknowledged, ` +
      `${(throughput.ofGuide * 100).toFixed(1)} % of the guide’s 10 GB a minute (for information)`,
  ]
}

/** @param {number} bytes */
function mb(bytes) {
  return bytes >= 10e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(0)} MB`
}

/** @param {number} ms */
function s(ms) {
  return `${(ms / 1000).toFixed(1)} s`
}
