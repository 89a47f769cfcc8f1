import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { S3Client } from '@aws-sdk/client-s3'
import type { S3Credentials, S3Settings } from './options.ts'

/**
 * The SDK clients of one store. Reads have connections of their own: slow downloads must not keep a Complete waiting,
 * and a reader that pauses is no reason to time out.
 */
export interface S3Clients {
  readonly control: S3Client
  /** For calls that the store may work on for minutes: Complete and UploadPartCopy. */
  readonly patient: S3Client
  readonly reads: S3Client
}

/** However few writes may run at once, calls without a body do not queue for them. */
const LEAST_CONTROL_SOCKETS = 16

const PATIENCE_MS = 300_000

/** Retries are ours (retry.ts), so that an unanswered first try is seen; checksums are ours where they are sent. */
export function s3Clients(settings: S3Settings): S3Clients {
  const shared = {
    region: settings.region,
    forcePathStyle: settings.forcePathStyle,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
    ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
  } as const
  const { connectTimeoutMs: connectionTimeout, requestTimeoutMs, maxSockets } = settings
  const agents = (sockets: number) => ({
    httpAgent: new HttpAgent({ keepAlive: true, maxSockets: sockets }),
    httpsAgent: new HttpsAgent({ keepAlive: true, maxSockets: sockets }),
  })
  return {
    control: new S3Client({
      ...shared,
      requestHandler: {
        ...agents(Math.max(maxSockets, LEAST_CONTROL_SOCKETS)),
        connectionTimeout,
        socketTimeout: requestTimeoutMs,
      },
    }),
    patient: new S3Client({
      ...shared,
      requestHandler: {
        ...agents(maxSockets),
        connectionTimeout,
        socketTimeout: Math.max(requestTimeoutMs, PATIENCE_MS),
      },
    }),
    reads: new S3Client({
      ...shared,
      requestHandler: {
        ...agents(Number.POSITIVE_INFINITY),
        connectionTimeout,
        requestTimeout: requestTimeoutMs,
        throwOnRequestTimeout: true,
        socketTimeout: 0,
      },
    }),
  }
}

/** Where a bucket's objects are: `http://host:port/bucket` or `https://bucket.host`, by the SDK's own endpoint rules. */
export function bucketUrl(client: S3Client, settings: S3Settings, bucket: string): URL {
  return client.config.endpointProvider({
    Bucket: bucket,
    Region: settings.region,
    ForcePathStyle: settings.forcePathStyle,
    UseFIPS: false,
    UseDualStack: false,
    Accelerate: false,
    UseGlobalEndpoint: false,
    DisableMultiRegionAccessPoints: false,
    ...(settings.endpoint === undefined ? {} : { Endpoint: settings.endpoint }),
  }).url
}

/** Ask again this long before the keys expire. */
const RENEW_BEFORE_MS = 60_000

/** As the SDK resolves it: it remembers, too, unless it is told not to. */
export type CredentialProvider = (options: { forceRefresh: boolean }) => Promise<S3Credentials>

/** The keys of the hot path: from the SDK's resolved provider, kept until shortly before they expire. */
export class CredentialSource {
  readonly #provider: CredentialProvider
  #current: S3Credentials | null = null
  #asking: Promise<S3Credentials> | null = null
  #refused = false

  constructor(provider: CredentialProvider) {
    this.#provider = provider
  }

  /** The keys when they are at hand: no promise on the hot path. */
  current(): S3Credentials | null {
    const expires = this.#current?.expiration?.getTime()
    return expires !== undefined && expires - RENEW_BEFORE_MS < Date.now() ? null : this.#current
  }

  /** Asks the provider; callers at the same time share one question. */
  async renew(): Promise<S3Credentials> {
    this.#asking ??= this.#provider({ forceRefresh: this.#refused }).finally(() => {
      this.#asking = null
    })
    this.#current = await this.#asking
    this.#refused = false
    return this.#current
  }

  /** The store says that they are expired. */
  forget(): void {
    this.#current = null
    this.#refused = true
  }
}
