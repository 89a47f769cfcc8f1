/** Kinds of value that only the store's settings have. */
import { type Kind, Refusal } from './kinds.ts'

/** What S3 takes in a tag, and `{tenant}`. */
const TAG_TEXT = /^[A-Za-z0-9 +\-._:/@{}]+$/
const MAX_TAGS = 10
const MAX_TAG_NAME = 128
const MAX_TAG_VALUE = 256
const MAX_TENANT = 63
const TENANT = '{tenant}'

/** Why this is no tag, or null. */
function faultOfTag(item: string): string | null {
  const at = item.indexOf('=')
  const [name, value] = [item.slice(0, at).trim(), item.slice(at + 1).trim()]
  if (at < 1 || name === '' || value === '') return `"${item}" has no form name=value`
  if (!TAG_TEXT.test(name) || !TAG_TEXT.test(value)) {
    return `"${item}" has a sign that a tag cannot have (letters, digits, space and + - . _ : / @ are taken)`
  }
  if (/[{}]/.test(name) || /[{}]/.test(value.replaceAll(TENANT, '')))
    return `"${item}" has braces; only {tenant} is known`
  const longest = value.replaceAll(TENANT, 'x'.repeat(MAX_TENANT))
  if (name.length > MAX_TAG_NAME || longest.length > MAX_TAG_VALUE) {
    return `"${item}" is too long (a name has at most ${MAX_TAG_NAME} signs, a value ${MAX_TAG_VALUE})`
  }
  return name.toLowerCase().startsWith('aws:') ? `"${item}" begins with aws:, which is AWS's own` : null
}

/** `name=value` pairs, separated by commas; a value may hold `{tenant}`. */
export function tags(): Kind<Readonly<Record<string, string>>> {
  return {
    name: 'list of name=value',
    read(text) {
      const items = text.split(',').map((item) => item.trim())
      const pairs: [string, string][] = []
      for (const item of items) {
        const fault = faultOfTag(item)
        if (fault !== null) return new Refusal(`${fault}; give tags like service=upload,tenant={tenant}`)
        const at = item.indexOf('=')
        pairs.push([item.slice(0, at).trim(), item.slice(at + 1).trim()])
      }
      if (pairs.length > MAX_TAGS) return new Refusal(`S3 takes ${MAX_TAGS} tags an object: give at most that`)
      if (new Set(pairs.map(([name]) => name)).size < pairs.length) return new Refusal('give each name once')
      return Object.fromEntries(pairs)
    },
    write: (value) =>
      Object.entries(value)
        .map(([name, inner]) => `${name}=${inner}`)
        .join(','),
  }
}

/** Objects of these classes have to be fetched back before they can be read: hours, not a download. */
const ASLEEP = ['GLACIER', 'DEEP_ARCHIVE']

/** A storage class that can be read at once. */
export function storageClass(): Kind<string> {
  return {
    name: 'text',
    read(text) {
      if (ASLEEP.includes(text)) {
        return new Refusal(
          'such objects cannot be read before they are restored; let a lifecycle rule move them, or give one like STANDARD_IA',
        )
      }
      return /^[A-Z0-9_-]{1,64}$/.test(text) ? text : new Refusal('give a storage class like STANDARD_IA')
    },
    write: (value) => value,
  }
}

/** A bucket, or with `{tenant}` in it one for every tenant. */
export function bucketName(): Kind<string> {
  return {
    name: 'text',
    read(text) {
      if (/^[A-Za-z0-9._-]{3,255}$/.test(text)) return text
      if (!text.includes(TENANT)) return new Refusal('give the name of a bucket')
      // A tenant's name comes from its token: by itself it could be the name of any bucket that the keys may reach.
      if (!/[a-z0-9]/.test(text.replaceAll(TENANT, ''))) {
        return new Refusal(
          'a tenant could be called like any other bucket: give text beside {tenant}, like uploads-{tenant}',
        )
      }
      const right =
        /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(text.replaceAll(TENANT, 'tenant')) && text.split(TENANT).length === 2
      return right
        ? text
        : new Refusal('give lower-case letters, digits, "-" and ".", and {tenant} once, like uploads-{tenant}')
    },
    write: (value) => value,
  }
}

const KEY_BYTES = 32

/** Base64 of 32 bytes. */
export function key256(): Kind<string> {
  return {
    name: 'base64 of 32 bytes',
    read(text) {
      const bytes = Buffer.from(text, 'base64')
      const right = bytes.length === KEY_BYTES && bytes.toString('base64') === text
      return right ? text : new Refusal('give 32 bytes in base64, for example from openssl rand -base64 32')
    },
    write: (value) => value,
  }
}

const PLACEHOLDERS = ['prefix', 'shard', 'id', 'generation', 'token', 'tenant']
/** What the store in files can name too: no segment begins with a dot, none is longer than 200 signs. */
const SEGMENT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/
const LONGEST: Readonly<Record<string, string>> = {
  prefix: 'p',
  shard: '00',
  id: '0'.repeat(36),
  generation: '1'.repeat(10),
  token: '0'.repeat(32),
  tenant: 't'.repeat(MAX_TENANT),
}

/** Why keys of this template could not be told from each other, or not from foreign ones; or null. */
function faultOfTemplate(template: string): string | null {
  const quoted = `"${template}"`
  const names = [...template.matchAll(/\{([^{}]*)\}/g)].map(([, name = '']) => name)
  const unknown = names.find((name) => !PLACEHOLDERS.includes(name))
  if (unknown !== undefined) return `${quoted} has {${unknown}}; known are {${PLACEHOLDERS.join('}, {')}}`
  if (!template.startsWith('{prefix}/')) return `${quoted} does not begin with {prefix}/, by which the sweeper lists`
  for (const name of ['id', 'token']) {
    if (!names.includes(name)) return `${quoted} lacks {${name}}, without which keys of two objects could be the same`
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return `${quoted} has {${twice}} twice`
  const close = /\}\{/.test(template) || /[a-z0-9-]\{tenant\}|\{tenant\}[a-z0-9-]/i.test(template)
  if (close)
    return `${quoted} has placeholders that run into each other: put one of / . _ between them (or -, but for {tenant})`
  if (/[A-Za-z0-9]\{|\}[A-Za-z0-9]/.test(template))
    return `${quoted} has text that runs into a placeholder: put one of / . _ - between`
  const filled = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => LONGEST[name] ?? '')
  const wrong = filled.split('/').some((segment) => !SEGMENT.test(segment))
  return wrong
    ? `${quoted} has signs or lengths that a key cannot have (letters, digits, "." "_" "-", and "/" between)`
    : null
}

/** Templates of object keys, separated by commas: what keys are made by, then what earlier ones were made by. */
export function keyTemplates(): Kind<readonly string[]> {
  return {
    name: 'list of templates',
    read(text) {
      const items = text.split(',').map((item) => item.trim())
      const fault = items.map(faultOfTemplate).find((each) => each !== null)
      if (fault !== undefined) return new Refusal(`${fault}; the default is {prefix}/{shard}/{id}/{generation}-{token}`)
      return items
    },
    write: (value) => value.join(','),
  }
}
