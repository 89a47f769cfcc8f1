/** From the environment to typed values, one variable at a time. */
import { Refusal } from './kinds.ts'
import { shown } from './secrets.ts'
import { SETTINGS, type Setting, type SettingKey } from './settings.ts'
import { misspelt } from './spelling.ts'

export type Env = Readonly<Record<string, string | undefined>>

/** The variables as their kinds read them. */
export interface Values {
  /** The value, or the default. Where the text was refused, the default too: the fault is noted and the start stops. */
  get<K extends SettingKey>(key: K): ValueOf<K>
  /** Is there a text? Empty is as good as not set, since an env file cannot unset a variable. */
  isSet(key: SettingKey): boolean
}

type ValueOf<K extends SettingKey> = (typeof SETTINGS)[K] extends Setting<infer T> ? T : never

const KEYS: readonly string[] = Object.keys(SETTINGS)

function textOf(env: Env, key: string): string | null {
  const text = env[key]?.trim()
  return text === undefined || text === '' ? null : text
}

function readOne<T>(env: Env, key: string, setting: Setting<T>, embedded: boolean): T | Refusal {
  const text = textOf(env, key)
  if (text !== null) return setting.kind.read(text)
  return embedded && setting.embedded !== undefined ? setting.embedded : setting.fallback
}

function misspeltFaults(env: Env): string[] {
  return Object.keys(env).flatMap((key) => {
    const meant = misspelt(key, KEYS)
    return meant === null ? [] : [`${key} is not a setting; write ${meant} if that is meant, else rename or remove it`]
  })
}

/** Reads every variable; what cannot be read is added to `faults`, one sentence each. */
export function readValues(env: Env, embedded: boolean, faults: string[]): Values {
  const read = new Map<string, unknown>()
  for (const [key, setting] of Object.entries<Setting<unknown>>(SETTINGS)) {
    const value = readOne(env, key, setting, embedded)
    if (value instanceof Refusal) {
      faults.push(`${key} is ${shown(textOf(env, key) ?? '', setting.secret)}: ${value.advice}`)
    }
    read.set(key, value instanceof Refusal ? setting.fallback : value)
  }
  faults.push(...misspeltFaults(env))
  return {
    // the map was filled from SETTINGS, key by key, so what is under a key has that setting's type
    get: <K extends SettingKey>(key: K) => read.get(key) as ValueOf<K>,
    isSet: (key) => textOf(env, key) !== null,
  }
}
