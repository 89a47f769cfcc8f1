/**
 * The kinds of value that a variable can have. Each knows its name for the documentation, and how to read a text:
 * the value, or a {@link Refusal} that says what would be right.
 */
import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'

/** Why a text is no value of its kind, as the end of a sentence: "give a whole number from 1 to 65535". */
export class Refusal {
  readonly advice: string

  constructor(advice: string) {
    this.advice = advice
  }
}

export interface Kind<T> {
  /** For the documentation: `integer`, `duration`, `s3` \| `file`. */
  readonly name: string
  read(text: string): T | Refusal
  /** A value as it would be written in the environment. */
  write(value: T): string
}

export interface Bounds {
  readonly min: number
  readonly max: number
}

export function integer({ min, max }: Bounds): Kind<number> {
  return {
    name: 'integer',
    read(text) {
      const value = Number(text)
      const right = /^\d{1,16}$/.test(text) && Number.isSafeInteger(value) && value >= min && value <= max
      return right ? value : new Refusal(`give a whole number from ${min} to ${max}, digits only`)
    },
    write: String,
  }
}

const MAX_WORKERS = 128

/** A number of processes, or `auto`: as many as there are cores to run on. */
export function workers(): Kind<number> {
  const numbers = integer({ min: 1, max: MAX_WORKERS })
  return {
    name: 'integer \\| `auto`',
    read(text) {
      if (text === 'auto') return Math.min(availableParallelism(), MAX_WORKERS)
      const value = numbers.read(text)
      return value instanceof Refusal ? new Refusal(`give auto, or a whole number from 1 to ${MAX_WORKERS}`) : value
    },
    write: String,
  }
}

/** A part of one: above 0, at most 1. */
export function fraction(): Kind<number> {
  return {
    name: 'number',
    read(text) {
      const value = Number(text)
      return /^\d*\.?\d+$/.test(text) && value > 0 && value <= 1
        ? value
        : new Refusal('give a number above 0 and at most 1, like 0.8')
    },
    write: String,
  }
}

export function boolean(): Kind<boolean> {
  return {
    name: 'boolean',
    read: (text) => (text === 'true' ? true : text === 'false' ? false : new Refusal('give true or false')),
    write: String,
  }
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const

function writeDuration(ms: number): string {
  for (const [unit, factor] of UNITS) if (ms >= factor && ms % factor === 0) return `${ms / factor}${unit}`
  return `${ms}ms`
}

/** A length of time with its unit (`500ms`, `60s`, `5m`, `12h`, `7d`), read as milliseconds; the bounds are milliseconds. */
export function duration({ min, max }: Bounds): Kind<number> {
  const advice = `give a whole number with its unit (ms, s, m, h or d) from ${writeDuration(min)} to ${writeDuration(max)}`
  return {
    name: 'duration',
    read(text) {
      const match = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text)
      const factor = UNITS.find(([unit]) => unit === match?.[2])?.[1]
      if (!match || factor === undefined) return new Refusal(advice)
      const value = Number(match[1]) * factor
      return value >= min && value <= max ? value : new Refusal(advice)
    },
    write: writeDuration,
  }
}

export function oneOf<const T extends string>(...words: readonly T[]): Kind<T> {
  return {
    name: words.map((word) => `\`${word}\``).join(' \\| '),
    read: (text) => words.find((word) => word === text) ?? new Refusal(`give one of: ${words.join(', ')}`),
    write: (value) => value,
  }
}

export function matching(name: string, pattern: RegExp, advice: string): Kind<string> {
  return {
    name,
    read: (text) => (pattern.test(text) ? text : new Refusal(advice)),
    write: (value) => value,
  }
}

/** Any text at all. */
export function text(name = 'text'): Kind<string> {
  return { name, read: (value) => value, write: (value) => value }
}

/** An http(s) URL with nothing secret in it; the slash at its end is dropped unless a query is allowed. */
export function httpUrl({ query = false } = {}): Kind<string> {
  const without = query ? 'user name and fragment' : 'user name, query and fragment'
  const advice = `give an http:// or https:// URL without ${without}, like https://uploads.example.com`
  return {
    name: 'URL',
    read(value) {
      const url = URL.parse(value)
      if (!url || !['http:', 'https:'].includes(url.protocol)) return new Refusal(advice)
      if (url.username || url.password || url.hash || (!query && value.includes('?'))) return new Refusal(advice)
      return query ? url.href : url.href.replace(/\/+$/, '')
    },
    write: (value) => value,
  }
}

function split(value: string): string[] {
  const items = value.split(',').map((item) => item.trim())
  return items.filter((item) => item !== '')
}

function isAddressOrBlock(item: string): boolean {
  const [address = '', bits, ...more] = item.split('/')
  const family = isIP(address)
  if (family === 0 || more.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

/** IP addresses and CIDR blocks, separated by commas. */
export function addresses(): Kind<readonly string[]> {
  return {
    name: 'list of IPs and CIDRs',
    read(value) {
      const items = split(value)
      const wrong = items.find((item) => !isAddressOrBlock(item))
      if (wrong === undefined) return items
      return new Refusal(
        `"${wrong}" is neither an IP address nor a CIDR block like 10.0.0.0/8; separate them with commas`,
      )
    },
    write: (value) => value.join(','),
  }
}

function isOrigin(item: string): boolean {
  const url = URL.parse(item)
  return url !== null && ['http:', 'https:'].includes(url.protocol) && url.origin === item
}

/** `*` alone, or origins as browsers send them, separated by commas. */
export function origins(): Kind<'*' | readonly string[]> {
  return {
    name: 'list of origins',
    read(value) {
      if (value === '*') return '*'
      const items = split(value)
      const wrong = items.find((item) => !isOrigin(item))
      if (wrong === undefined) return items
      return new Refusal(
        `"${wrong}" is no origin; give * alone, or origins like https://app.example.com (no path, no slash at the end), separated by commas`,
      )
    },
    write: (value) => (value === '*' ? value : value.join(',')),
  }
}
