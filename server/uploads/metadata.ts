import { UploadError } from './errors.ts'

/** `Upload-Metadata`, parsed. */
export interface Metadata {
  /** Key to value: UTF-8 text where the bytes are that, else `base64:` and the base64 that was sent. */
  readonly values: Readonly<Record<string, string>>
  readonly filename: string | null
  readonly contentType: string | null
}

const NONE: Metadata = { values: {}, filename: null, contentType: null }
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
// A key is ASCII without spaces and commas (tus 1.0, Upload-Metadata); control characters never get in.
const KEY = /^[\x21-\x2b\x2d-\x7e]+$/
const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?:\s*;\s*[\w!#$&^.+-]+=(?:[\w!#$&^.+-]+|"[^"\\\r\n]*"))*$/

/**
 * Parses `Upload-Metadata` (tus 1.0, Creation): comma-separated pairs of a unique ASCII key and a base64 value,
 * which may be empty. `raw` is the header as sent, null or '' when absent.
 * Throws metadata_invalid, and metadata_too_large over `maxBytes`.
 */
export function parseMetadata(raw: string | null, maxBytes: number): Metadata {
  if (raw === null || raw.trim() === '') return NONE
  if (raw.length > maxBytes) {
    throw new UploadError(
      'metadata_too_large',
      `Upload-Metadata has ${raw.length} bytes; at most ${maxBytes} are taken.`,
    )
  }
  // Null prototype: `toString` and `__proto__` are keys like any other.
  const values: Record<string, string> = Object.create(null)
  for (const pair of raw.split(',')) {
    const [key, value] = parsePair(pair)
    if (Object.hasOwn(values, key)) {
      throw new UploadError('metadata_invalid', `Upload-Metadata has the key "${key}" twice; keys are unique.`)
    }
    values[key] = decode(value)
  }
  const type = values.filetype ?? values.contentType ?? values.type ?? null
  return {
    values,
    filename: values.filename ?? values.name ?? null,
    contentType: type !== null && MEDIA_TYPE.test(type) ? type : null,
  }
}

function parsePair(pair: string): [string, string] {
  const text = pair.trim()
  const space = text.indexOf(' ')
  const key = space === -1 ? text : text.slice(0, space)
  const value = space === -1 ? '' : text.slice(space + 1)
  if (!KEY.test(key)) {
    throw new UploadError(
      'metadata_invalid',
      `Upload-Metadata has a key that is empty or not ASCII: "${printable(key)}".`,
    )
  }
  if (!BASE64.test(value)) {
    throw new UploadError('metadata_invalid', `Upload-Metadata: the value of "${key}" is not base64.`)
  }
  return [key, value]
}

function decode(value: string): string {
  const bytes = Buffer.from(value, 'base64')
  const text = bytes.toString('utf8')
  // A NUL cannot be kept in a Postgres text or jsonb value, so such bytes stay base64 as well.
  return Buffer.from(text, 'utf8').equals(bytes) && !text.includes('\0') ? text : `base64:${value}`
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 60)
}

/**
 * `Upload-Metadata` that says `values`, for clients that give them by other means (JSON, a form). Values are text.
 * Throws metadata_invalid for a key that the header cannot carry.
 */
export function formatMetadata(values: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(values).map(([key, value]) => {
    if (!KEY.test(key)) {
      throw new UploadError(
        'metadata_invalid',
        `The metadata has a key that is empty or not ASCII: "${printable(key)}".`,
      )
    }
    return value === '' ? key : `${key} ${Buffer.from(value, 'utf8').toString('base64')}`
  })
  return pairs.join(',')
}
