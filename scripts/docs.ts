/** `npm run docs`: writes the pages that are generated from the code; the tests compare them. */
import { execFileSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { renderConfigurationDocs } from '../server/config/docs.ts'
import { renderErrorDocs } from '../server/errors/docs.ts'
import { renderMetricsDocs } from '../server/observability/metrics-docs.ts'
import { withSettings } from './chart-schema.ts'

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

const schema = fileURLToPath(new URL('../helm/values.schema.json', import.meta.url))
await writeFile(schema, JSON.stringify(withSettings(JSON.parse(await readFile(schema, 'utf8'))), null, 2))
const biome = join(import.meta.dirname, '..', 'node_modules', '.bin', 'biome')
execFileSync(biome, ['format', '--write', '--log-level=error', schema])
process.stdout.write('helm/values.schema.json\n')
