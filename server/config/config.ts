/**
 * What the environment says, parsed, checked and frozen (`loadConfig` in load.ts). Units are in the names:
 * `…Ms` milliseconds, `…Bytes` bytes. `null` means "not set, and that is fine". docs/configuration.md is generated
 * from the same table (settings.ts) and says what each variable does.
 */

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
export type Environment = 'development' | 'production' | 'test'

export interface ServerConfig {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** What clients reach us by, without a trailing slash; null: forwarded headers of trusted proxies, else Host. */
  readonly publicUrl: string | null
  readonly relativeLocation: boolean
  /** IP addresses and CIDR blocks. */
  readonly trustedProxies: readonly string[]
  readonly cors: { readonly origins: '*' | readonly string[]; readonly credentials: boolean }
  /** Node's `maxHeaderSize`. */
  readonly maxHeaderBytes: number
  readonly shutdownTimeoutMs: number
  /** Path of the local socket for administration; null: by the port, among the temporary files. */
  readonly adminSocket: string | null
  /** Processes of this instance. */
  readonly workers: number
  /** `redirect`: a download is answered with a link to the store that is good for `linkMs`. */
  readonly downloads: 'stream' | 'redirect'
  readonly linkMs: number
}

export interface UploadsConfig {
  /** Longest allowed upload. */
  readonly maxBytes: number
  /** Calls with a body to the store in flight, a process. */
  readonly maxConcurrentWrites: number
  readonly chunkBytes: number
  /** Eight chunks. */
  readonly partBytes: number
  /** Parts of a multipart upload before it becomes a segment. */
  readonly segmentParts: number
  readonly streamBufferBytes: number
  /** Longest `Upload-Metadata` value as it was sent. */
  readonly maxMetadataBytes: number
  readonly expiresAfterMs: number
  /** Without a byte of a running body. */
  readonly idleTimeoutMs: number
  readonly flushAfterMs: number
  readonly leaseMs: number
  readonly finishWaitMs: number
  readonly inspectStallMs: number
  readonly sweepEveryMs: number
  readonly orphans: { readonly everyMs: number; readonly minAgeMs: number; readonly dryRun: boolean }
}

export interface MemoryConfig {
  /** The whole process. */
  readonly limitBytes: number
  /** 0..1 of the limit, and of the budget for upload bytes. */
  readonly warningThreshold: number
  /** Budget for upload bytes. */
  readonly uploadBytes: number
  /** Blocks of `uploads.chunkBytes` kept for reuse. */
  readonly bufferPoolBlocks: number
}

export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string | null
}

export interface S3Config {
  /** null: AWS, by region. */
  readonly endpoint: string | null
  /** For links; null: `endpoint`. */
  readonly publicEndpoint: string | null
  readonly region: string
  /** May hold `{tenant}`. */
  readonly bucket: string
  /** null: the SDK's default chain (role of the machine, of the pod, ...). */
  readonly credentials: S3Credentials | null
  readonly forcePathStyle: boolean
  readonly createBucket: boolean
  readonly bucketChecks: 'refuse' | 'warn' | 'off'
  readonly equalParts: boolean
  readonly requestTimeoutMs: number
  readonly encryption: S3EncryptionConfig
  /** null: the bucket's own. */
  readonly storageClass: string | null
  /** Values may hold `{tenant}`. */
  readonly tags: Readonly<Record<string, string>>
}

/** S3_SSE. */
export type S3EncryptionConfig =
  | { readonly kind: 'none' }
  | { readonly kind: 'aes256' }
  /** `keyId` null: the bucket's, else the account's own. */
  | { readonly kind: 'kms'; readonly keyId: string | null }
  /** `key`: 32 bytes in base64. */
  | { readonly kind: 'customer'; readonly key: string }

export type StorageConfig =
  | { readonly driver: 's3'; readonly s3: S3Config }
  /** `directory` is inside `dataDir`. */
  | { readonly driver: 'file'; readonly directory: string }

/** The prefixes that object keys and tail keys begin with, on either store (`KeyTemplate` of the engine). */
export interface KeysConfig {
  readonly prefix: string
  readonly tailPrefix: string
  /** Templates of object keys: the one in use, then earlier ones. */
  readonly objects: readonly string[]
}

/** Encryption by the service. */
export interface EncryptionConfig {
  /** The current one first; none: nothing is encrypted. `secret`: 32 bytes in base64. */
  readonly keys: readonly { readonly id: string; readonly secret: string }[]
  /** Is what comes from now on encrypted? */
  readonly encryptNew: boolean
}

export interface PoolConfig {
  readonly min: number
  readonly max: number
}

export interface PostgresConfig {
  /** With DB_PASSWORD put in where the URL had none, and without `sslmode`. */
  readonly url: string
  readonly pool: PoolConfig
  /** `require` encrypts without a check of the certificate; `verify` checks it (against `caFile` where given). */
  readonly ssl: { readonly mode: 'off' | 'require' | 'verify'; readonly caFile: string | null }
}

export type DatabaseConfig = { readonly migrate: 'auto' | 'check' | 'off' } & (
  | { readonly driver: 'postgres'; readonly postgres: PostgresConfig }
  /** `directory` is inside `dataDir`. */
  | { readonly driver: 'pglite'; readonly directory: string }
)

export interface RedisConfig {
  /**
   * `redis://`, `rediss://`, `redis+sentinel://:password@h1:p1,h2:p2/master-name/0` or `redis+cluster://h1:p1,h2:p2`
   * (with TLS `rediss+...`), with REDIS_PASSWORD put in where it had none.
   */
  readonly url: string
  /** PEM file with the authorities that a `rediss` URL trusts; null: Node's own. */
  readonly caFile: string | null
  readonly prefix: string
  /** Command connections, beside the subscriber's and the queue's. */
  readonly pool: PoolConfig
}

export type CoordinationConfig =
  | { readonly driver: 'redis'; readonly redis: RedisConfig }
  | { readonly driver: 'memory' }
export type QueueConfig = { readonly driver: 'redis'; readonly redis: RedisConfig } | { readonly driver: 'memory' }

/** Where the keys of tokens come from. */
export type JwtKey =
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'publicKey'; readonly pem: string }
  | { readonly kind: 'jwks'; readonly url: string }

export interface JwtConfig {
  readonly key: JwtKey
  readonly issuer: string | null
  readonly audience: string | null
  readonly tenantClaim: string
  readonly rolesClaim: string
}

/** Fits `createAuthenticator` as it is. */
export type AuthConfig = { readonly mode: 'none' } | ({ readonly mode: 'jwt' } & JwtConfig)

export interface Config {
  /** Started with embedded defaults (`npm start`). */
  readonly embedded: boolean
  readonly environment: Environment
  /** Absolute; null when neither files nor PGlite need it. What the embedded lock guards. */
  readonly dataDir: string | null
  readonly server: ServerConfig
  readonly uploads: UploadsConfig
  readonly memory: MemoryConfig
  readonly keys: KeysConfig
  readonly storage: StorageConfig
  readonly encryption: EncryptionConfig
  readonly database: DatabaseConfig
  readonly coordination: CoordinationConfig
  readonly queue: QueueConfig
  /** What coordination and queue share; null when neither uses Redis. */
  readonly redis: RedisConfig | null
  readonly worker: { readonly inServer: boolean; readonly concurrency: number }
  readonly hooks: { readonly module: string | null; readonly timeoutMs: number }
  readonly auth: AuthConfig
  readonly log: { readonly level: LogLevel }
  /** What is allowed but ought to be known: to be logged at the start. */
  readonly warnings: readonly string[]
}
