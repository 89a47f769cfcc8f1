/** docs/metrics.md, from the table. `npm run docs` writes it; a test compares. */
import { MAX_NAMES, METRICS, type MetricRow } from './metric-table.ts'

const HEAD = `# Metrics

Generated from \`server/observability/metric-table.ts\` by \`npm run docs\`; edit there.

\`GET /metrics\` answers in Prometheus' text format. Units are in the names. A label has a closed set of values; one marked
*names* takes what the code calls its operations or steps, and what comes after the first ${MAX_NAMES} is \`other\`; *codes*
are those of docs/errors.md.
The figures of several processes of one instance are summed, gauges marked *max* excepted. Node's own figures
(\`process_…\`, \`nodejs_…\`) come along.

Alerts of the production guide: \`memory_usage_percent > 85\` and \`upload_failure_rate > 0.05\`.

| metric | kind | labels | what it is |
|---|---|---|---|
`

function valuesOf(values: readonly string[] | 'names' | 'codes'): string {
  return typeof values === 'string' ? `*${values}*` : values.join(', ')
}

function labelsOf(row: MetricRow): string {
  const labels = Object.entries(row.labels ?? {})
  return labels.map(([name, values]) => `\`${name}\`: ${valuesOf(values)}`).join('<br>')
}

/** The page as it should stand in docs/metrics.md. */
export function renderMetricsDocs(): string {
  const rows = Object.entries<MetricRow>(METRICS).map(([name, row]) => {
    const kind = row.over === 'max' ? `${row.kind}, *max*` : row.kind
    return `| \`${name}\` | ${kind} | ${labelsOf(row)} | ${row.help} |\n`
  })
  return HEAD + rows.join('')
}
