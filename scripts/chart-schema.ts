/** The part of helm/values.schema.json that comes from the table of settings. `npm run docs` writes it; a test compares. */
import { SETTINGS, type Setting } from '../server/config/settings.ts'

type Json = Readonly<Record<string, unknown>>

const CHOICE = /^`[^`]+`( \\\| `[^`]+`)*$/

/** What YAML may hold for a setting; the service itself checks more when it starts. */
function typeOf(setting: Setting<unknown>): Json {
  const { name } = setting.kind
  if (name === 'integer') return { type: ['integer', 'string'], minimum: 0, pattern: '^[0-9]+$' }
  if (name === 'number') return { type: ['number', 'string'], pattern: '^[0-9]*\\.?[0-9]+$' }
  if (name === 'boolean') return { enum: [true, false, 'true', 'false'] }
  if (name === 'duration') return { type: 'string', pattern: '^[0-9]+(ms|s|m|h|d)$' }
  if (CHOICE.test(name)) return { enum: [...name.matchAll(/`([^`]+)`/g)].map(([, word]) => word) }
  return { type: ['string', 'number', 'boolean'] }
}

function propertyOf(setting: Setting<unknown>): Json {
  return { description: setting.description, ...typeOf(setting) }
}

const entries = (): [string, Setting<unknown>][] => Object.entries<Setting<unknown>>(SETTINGS)

/** Settings that can hold a secret; the chart keeps them out of its ConfigMap. */
export function secretSettings(): string[] {
  const names = entries().flatMap(([key, setting]) => (setting.secret ? [key] : []))
  return names.sort()
}

/** The definitions that are generated: `config` with every setting and nothing else, and the names alone. */
export function settingDefinitions(): { config: Json; settingName: Json } {
  return {
    config: {
      description: 'Generated from server/config/settings.ts by npm run docs.',
      type: 'object',
      additionalProperties: false,
      properties: Object.fromEntries(entries().map(([key, setting]) => [key, propertyOf(setting)])),
    },
    settingName: { description: 'Generated as config is.', enum: entries().map(([key]) => key) },
  }
}

/** The schema with its generated part brought up to date. */
export function withSettings(schema: Json): Json {
  const own = typeof schema.$defs === 'object' && schema.$defs !== null ? schema.$defs : {}
  return { ...schema, $defs: { ...own, ...settingDefinitions() } }
}
