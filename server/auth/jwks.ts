/**
 * The public keys behind a URL. One set in memory: younger than `freshMs` it is used as it is; younger than `staleMs`
 * it is used while a new one is fetched beside; a key that it does not have is looked for again, at most once each
 * `cooldownMs`. So the issuer may be away for as long as `staleMs` and nobody with a known key notices.
 */
import {
  type CompactJWSHeaderParameters,
  type CryptoKey,
  createLocalJWKSet,
  errors,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type LocalJWKSet,
} from 'jose'

export interface JwksOptions {
  readonly url: string
  readonly freshMs?: number
  readonly staleMs?: number
  readonly cooldownMs?: number
  readonly timeoutMs?: number
  /** Milliseconds; for tests. */
  readonly now?: () => number
}

export interface Jwks {
  /** The key that a token's header names. Throws jose's JWKSNoMatchingKey and JWKSMultipleMatchingKeys, or {@link JwksAway}. */
  readonly keyFor: (header: CompactJWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>
}

/** No keys, or not the one that is needed, and the URL gave none. */
export class JwksAway extends Error {}

interface Loaded {
  readonly keys: LocalJWKSet
  readonly at: number
}

const MINUTE_MS = 60_000
/** A set of keys is a few KiB. */
const LONGEST_SET = 1024 * 1024

export function createJwks(options: JwksOptions): Jwks {
  const {
    url,
    freshMs = 10 * MINUTE_MS,
    staleMs = 24 * 60 * MINUTE_MS,
    cooldownMs = 30_000,
    timeoutMs = 5000,
  } = options
  const now = options.now ?? Date.now
  let loaded: Loaded | null = null
  let triedAt = Number.NEGATIVE_INFINITY
  let failure: unknown = null
  let running: Promise<void> | null = null

  function reload(): Promise<void> {
    running ??= fetchSet(url, timeoutMs)
      .then(
        (keys) => {
          loaded = { keys, at: now() }
          failure = null
        },
        (error: unknown) => {
          failure = error
        },
      )
      .finally(() => {
        triedAt = now()
        running = null
      })
    return running
  }

  const ageMs = (): number => (loaded === null ? Number.POSITIVE_INFINITY : now() - loaded.at)
  const coolingDown = (): boolean => now() - triedAt < cooldownMs
  const away = (): JwksAway => new JwksAway(`No keys from ${url}`, { cause: failure })

  /** Keys no older than `staleMs`. Without any, each call asks: there is nothing else to answer with. */
  async function current(): Promise<LocalJWKSet> {
    if (ageMs() > staleMs) await reload()
    else if (ageMs() > freshMs && !coolingDown()) void reload()
    if (loaded === null || ageMs() > staleMs) throw away()
    return loaded.keys
  }

  return {
    async keyFor(header, token) {
      const keys = await current()
      try {
        return await keys(header, token)
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
        if (!coolingDown() || running !== null) await reload()
        // Unknown to the last set, and the URL is away: it may be a new key, so nobody can say that it is wrong.
        if (failure !== null) throw away()
        return (await current())(header, token)
      }
    },
  }
}

async function fetchSet(url: string, timeoutMs: number): Promise<LocalJWKSet> {
  const response = await fetch(url, {
    headers: { accept: 'application/json, application/jwk-set+json' },
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`${url} answered ${response.status}`)
  }
  const text = await response.text()
  if (text.length > LONGEST_SET) throw new Error(`${url} answered more than ${LONGEST_SET} bytes`)
  // createLocalJWKSet checks that it is a key set
  return createLocalJWKSet(JSON.parse(text) as JSONWebKeySet)
}
