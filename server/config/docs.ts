/** docs/configuration.md, from the table. `npm run docs` writes it; a test compares. */
import { SECTIONS, SETTINGS, type Setting } from './settings.ts'

const HEAD = `# Configuration

Generated from \`server/config/settings.ts\` by \`npm run docs\`; edit there.

The service reads environment variables only; \`.env.production\` is an env file to start from
(\`node --env-file=.env.production server/main.ts\`; comments stand on lines of their own). An empty value counts as not
set. A value that cannot be used stops the start, and all of them are named at once; so does a key that looks like a
misspelt one of these. Other keys are ignored.

- *duration*: a whole number with its unit: \`500ms\`, \`60s\`, \`5m\`, \`12h\`, \`7d\`.
- *boolean*: \`true\` or \`false\`. *Lists* are separated by commas.
- *embedded*: what \`npm start\` (\`server/main.ts --embedded\`) takes instead of the default.
- Secret values never appear in messages or logs.
`

function defaultOf(setting: Setting<unknown>): string {
  const base =
    setting.fallbackText ??
    (setting.fallback === null ? 'not set' : `\`${setting.kind.write(setting.fallback ?? '')}\``)
  return setting.embedded === undefined ? base : `${base}; embedded: \`${setting.kind.write(setting.embedded ?? '')}\``
}

function row([key, setting]: readonly [string, Setting<unknown>]): string {
  const kind = [
    setting.kind.name,
    ...(setting.unit === null ? [] : [setting.unit]),
    ...(setting.secret ? ['secret'] : []),
  ]
  return `| \`${key}\` | ${kind.join(', ')} | ${defaultOf(setting)} | ${setting.description.replaceAll(' | ', ' \\| ')} |`
}

/** The page as it should stand in docs/configuration.md. */
export function renderConfigurationDocs(): string {
  const entries = Object.entries<Setting<unknown>>(SETTINGS)
  const sections = Object.entries(SECTIONS).map(([section, title]) => {
    const rows = entries.filter(([, setting]) => setting.section === section).map(row)
    return `\n## ${title}\n\n| variable | kind | default | what it does |\n|---|---|---|---|\n${rows.join('\n')}\n`
  })
  return HEAD + sections.join('')
}
