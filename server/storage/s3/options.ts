import type { MarkOptions } from './marks.ts'

/** Keys as AWS gives them; `expiration` is when they have to be asked for again. */
export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}

/** What the S3 driver needs to know. */
export interface S3Options {
  /** `http://host:port` or `https://...`; absent: the region's own AWS endpoint. */
  readonly endpoint?: string
  /** The address that clients reach the store by, for links. Absent: `endpoint`. */
  readonly publicEndpoint?: string
  readonly region: string
  readonly bucket: string
  /** Fixed ones, or a function that is asked again when they expire; absent: the SDK's default chain. */
  readonly credentials?: S3Credentials | (() => Promise<S3Credentials>)
  /** `endpoint/bucket/key` (default) instead of `bucket.endpoint/key`. */
  readonly forcePathStyle?: boolean
  /** The store wants all parts but the last of one size (R2 does): S3_EQUAL_PARTS. Default false. */
  readonly equalParts?: boolean
  /** Connections for writes, and as many (at least 16) for calls without a body; reads are not limited. Default 64. */
  readonly maxSockets?: number
  /** Bytes that a read stream holds ready. Default 65536. */
  readonly readHighWaterMark?: number
  /** Longest time without progress of one request, milliseconds. Default 15000. */
  readonly requestTimeoutMs?: number
  /** The bucket is created when it turns out not to be there. Default false: then that is as if the store were away. */
  readonly createWhenNeeded?: boolean
  /** {@link S3Options.bucket} is one of many: a ping asks whether the store answers, whatever it says of this one. */
  readonly anyBucket?: boolean
  /** How objects are written: S3_SSE, S3_STORAGE_CLASS, S3_TAGS. Default: as the bucket does by itself. */
  readonly marks?: MarkOptions
}

/** The same with every default filled in. */
export interface S3Settings extends S3Options {
  readonly forcePathStyle: boolean
  readonly equalParts: boolean
  readonly maxSockets: number
  readonly readHighWaterMark: number
  readonly requestTimeoutMs: number
  readonly connectTimeoutMs: number
  readonly marks: MarkOptions
}

/** Fills in the defaults. A connection that is not there after 5 s will not come. */
export function s3Settings(options: S3Options): S3Settings {
  const requestTimeoutMs = options.requestTimeoutMs ?? 15_000
  return {
    ...options,
    forcePathStyle: options.forcePathStyle ?? true,
    equalParts: options.equalParts ?? false,
    maxSockets: options.maxSockets ?? 64,
    readHighWaterMark: options.readHighWaterMark ?? 65_536,
    requestTimeoutMs,
    connectTimeoutMs: Math.min(requestTimeoutMs, 5_000),
    marks: options.marks ?? { encryption: { kind: 'none' }, storageClass: null, tags: {} },
  }
}
