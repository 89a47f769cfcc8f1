import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'

export interface SigningKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

/** The body is not hashed: TLS or the CRC header protects it, and hashing would cost more than sending. */
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'

function hmac(key: string | Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

let spelt = { second: 0, date: '' }

/** `20260102T030405Z`; spelt once a second. */
export function amzDate(time: number): string {
  const second = Math.floor(time / 1000)
  if (spelt.second !== second) {
    spelt = { second, date: `${new Date(second * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z` }
  }
  return spelt.date
}

/** encodeURIComponent, and what RFC 3986 also reserves: the spelling that SigV4 signs. */
export function encodeStrict(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

const PLAIN_PATH = /^[A-Za-z0-9/._~-]*$/

/** A key as the path of a request: every segment encoded, the slashes kept. */
export function encodeKey(key: string): string {
  if (PLAIN_PATH.test(key)) return key
  return key.split('/').map(encodeStrict).join('/')
}

export interface SignedParts {
  readonly method: string
  /** Encoded path, as it is sent. */
  readonly path: string
  /** Encoded query without `?`, sorted by name, every name with its `=`. */
  readonly query: string
  /** Lower-case names and trimmed values, one after the other, sorted by name; `x-amz-content-sha256` among them. */
  readonly headers: readonly string[]
  readonly payloadHash: string
}

export interface PresignedParts {
  readonly host: string
  /** Encoded path. */
  readonly path: string
  readonly seconds: number
  readonly query: readonly string[]
}

function namesOf(headers: readonly string[]): string {
  let names = ''
  for (let i = 0; i < headers.length; i += 2) names += i === 0 ? headers[i] : `;${headers[i]}`
  return names
}

/** AWS Signature Version 4 for S3. The signing key depends on secret and day alone, so it is derived once for both. */
export class Signer {
  readonly #region: string
  #derivedFor = ''
  /** A key object: an HMAC with plain bytes takes eight times as long, most of it making one of them. */
  #key: KeyObject | null = null

  constructor(region: string) {
    this.#region = region
  }

  /** The value of the `authorization` header. `date` is what `x-amz-date` says. */
  sign(keys: SigningKeys, date: string, parts: SignedParts): string {
    const scope = this.#scope(date)
    const names = namesOf(parts.headers)
    const signature = this.#signature(keys, date, parts, names)
    return `AWS4-HMAC-SHA256 Credential=${keys.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  }

  /**
   * The query that lets anybody GET `path` of `host` for so many seconds (at most 604800) from `date` on. `query`: names and
   * plain values that are to be part of it, one after the other, sorted by name, all behind `X-Amz-`.
   */
  presign(keys: SigningKeys, date: string, { host, path, seconds, query }: PresignedParts): string {
    const named = [
      ...['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
      ...['X-Amz-Credential', `${keys.accessKeyId}/${this.#scope(date)}`],
      ...['X-Amz-Date', date, 'X-Amz-Expires', String(seconds)],
      ...(keys.sessionToken === undefined ? [] : ['X-Amz-Security-Token', keys.sessionToken]),
      ...['X-Amz-SignedHeaders', 'host'],
      ...query,
    ]
    const pairs: string[] = []
    for (let i = 0; i < named.length; i += 2) {
      pairs.push(`${encodeStrict(named[i] ?? '')}=${encodeStrict(named[i + 1] ?? '')}`)
    }
    const signed = pairs.join('&')
    const parts = { method: 'GET', path, query: signed, headers: ['host', host], payloadHash: UNSIGNED_PAYLOAD }
    return `${signed}&X-Amz-Signature=${this.#signature(keys, date, parts, 'host')}`
  }

  #scope(date: string): string {
    return `${date.slice(0, 8)}/${this.#region}/s3/aws4_request`
  }

  #signature(keys: SigningKeys, date: string, parts: SignedParts, names: string): string {
    const { headers } = parts
    let canonicalHeaders = ''
    for (let i = 0; i < headers.length; i += 2) canonicalHeaders += `${headers[i]}:${headers[i + 1]}\n`
    const canonical = `${parts.method}\n${parts.path}\n${parts.query}\n${canonicalHeaders}\n${names}\n${parts.payloadHash}`
    const toSign = `AWS4-HMAC-SHA256\n${date}\n${this.#scope(date)}\n${hash('sha256', canonical)}`
    const key = this.#signingKey(keys.secretAccessKey, date.slice(0, 8))
    return createHmac('sha256', key).update(toSign).digest('hex')
  }

  #signingKey(secret: string, day: string): KeyObject {
    const derivedFor = `${day}${secret}`
    if (this.#key === null || this.#derivedFor !== derivedFor) {
      const key = hmac(hmac(hmac(hmac(`AWS4${secret}`, day), this.#region), 's3'), 'aws4_request')
      this.#key = createSecretKey(key)
      this.#derivedFor = derivedFor
    }
    return this.#key
  }
}
