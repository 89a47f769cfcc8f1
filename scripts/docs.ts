/** `npm run docs`: writes the pages that are generated from the code; the tests compare them. */
import { writeFile } from 'node:fs/promises'
import { renderConfigurationDocs } from '../server/config/docs.ts'
import { renderErrorDocs } from '../server/errors/docs.ts'
import { renderMetricsDocs } from '../server/observability/metrics-docs.ts'

const PAGES = {
  'configuration.md': renderConfigurationDocs,
  'errors.md': renderErrorDocs,
  'metrics.md': renderMetricsDocs,
}

const folder = new URL('../docs/', import.meta.url)
for (const [name, render] of Object.entries(PAGES)) {
  await writeFile(new URL(name, folder), render())
  process.stdout.write(`docs/${name}\n`)
}
