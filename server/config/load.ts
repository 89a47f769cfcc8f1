/**
 * The environment, once: `main.ts` calls {@link loadConfig} and hands the parts on. Nothing else of the project looks
 * at the environment.
 */
import { join, resolve } from 'node:path'
import type {
  AuthConfig,
  Config,
  CoordinationConfig,
  DatabaseConfig,
  MemoryConfig,
  PostgresConfig,
  QueueConfig,
  RedisConfig,
  S3EncryptionConfig,
  ServerConfig,
  StorageConfig,
  UploadsConfig,
} from './config.ts'
import { ConfigError } from './faults.ts'
import { applyRules, pemOf } from './rules.ts'
import { withoutSslMode, withPassword } from './urls.ts'
import { type Env, readValues, type Values } from './values.ts'

export type { Config } from './config.ts'
export { ConfigError } from './faults.ts'

const MIB = 1024 * 1024

/**
 * The configuration that `env` describes, deep-frozen. `embedded`: with the defaults of `npm start` (files, PGlite,
 * everything in this process) for what is not set. Throws {@link ConfigError} with every fault at once.
 */
export function loadConfig(env: Env, { embedded }: { readonly embedded: boolean }): Config {
  const faults: string[] = []
  const warnings: string[] = []
  const values = readValues(env, embedded, faults)
  applyRules(values, { faults, warnings })
  if (faults.length > 0) throw new ConfigError(faults)
  return deepFreeze(build(values, embedded, warnings))
}

/** Only called when no rule found a fault: what a driver needs is there. */
function build(values: Values, embedded: boolean, warnings: readonly string[]): Config {
  const directory = values.get('DATA_DIR')
  const dataDir = directory === null ? null : resolve(directory)
  const redis = redisOf(values)
  const queue = queueOf(values, redis)
  const usesDataDir = values.get('STORAGE') === 'file' || values.get('DATABASE') === 'pglite'
  return {
    embedded,
    environment: values.get('NODE_ENV'),
    dataDir: usesDataDir ? dataDir : null,
    server: serverOf(values),
    uploads: uploadsOf(values),
    memory: memoryOf(values),
    keys: {
      prefix: values.get('S3_KEY_PREFIX'),
      tailPrefix: values.get('S3_TAIL_PREFIX'),
      objects: values.get('S3_KEY_TEMPLATE'),
    },
    storage: storageOf(values, dataDir),
    encryption: {
      keys: values.get('ENCRYPTION_KEYS'),
      encryptNew: values.get('ENCRYPT_NEW_UPLOADS') && values.isSet('ENCRYPTION_KEYS'),
    },
    database: databaseOf(values, dataDir),
    coordination: coordinationOf(values, redis),
    queue,
    redis,
    worker: {
      inServer: values.get('WORKER_IN_SERVER') ?? queue.driver === 'memory',
      concurrency: values.get('WORKER_CONCURRENCY'),
    },
    hooks: { module: values.get('HOOKS_MODULE'), timeoutMs: values.get('HOOK_TIMEOUT') },
    auth: authOf(values),
    log: { level: values.get('LOG_LEVEL') },
    warnings,
  }
}

function serverOf(values: Values): ServerConfig {
  return {
    host: values.get('HOST'),
    port: values.get('PORT'),
    publicUrl: values.get('PUBLIC_URL'),
    relativeLocation: values.get('RELATIVE_LOCATION'),
    trustedProxies: values.get('TRUSTED_PROXIES'),
    cors: { origins: values.get('CORS_ORIGINS'), credentials: values.get('CORS_CREDENTIALS') },
    maxHeaderBytes: values.get('MAX_HEADER_BYTES'),
    shutdownTimeoutMs: values.get('SHUTDOWN_TIMEOUT'),
    adminSocket: values.get('ADMIN_SOCKET'),
    workers: values.get('WORKERS'),
    downloads: values.get('DOWNLOADS'),
    linkMs: values.get('DOWNLOAD_LINK_EXPIRES'),
  }
}

function uploadsOf(values: Values): UploadsConfig {
  return {
    maxBytes: values.get('MAX_FILE_SIZE'),
    maxConcurrentWrites: values.get('MAX_CONCURRENT_UPLOADS'),
    chunkBytes: values.get('CHUNK_SIZE'),
    partBytes: 8 * values.get('CHUNK_SIZE'),
    segmentParts: values.get('SEGMENT_PARTS'),
    streamBufferBytes: values.get('STREAM_BUFFER_SIZE'),
    maxMetadataBytes: values.get('MAX_METADATA_BYTES'),
    expiresAfterMs: values.get('UPLOAD_EXPIRES_AFTER'),
    idleTimeoutMs: values.get('IDLE_TIMEOUT'),
    flushAfterMs: values.get('FLUSH_AFTER'),
    leaseMs: values.get('HOLD_LEASE'),
    finishWaitMs: values.get('FINISH_WAIT'),
    inspectStallMs: values.get('INSPECT_STALL'),
    sweepEveryMs: values.get('SWEEP_EVERY'),
    orphans: {
      everyMs: values.get('ORPHAN_SWEEP_EVERY'),
      minAgeMs: values.get('ORPHAN_AGE'),
      dryRun: values.get('ORPHAN_DRY_RUN'),
    },
  }
}

function memoryOf(values: Values): MemoryConfig {
  const limitMb = values.get('MEMORY_LIMIT_MB')
  return {
    limitBytes: limitMb * MIB,
    warningThreshold: values.get('MEMORY_WARNING_THRESHOLD'),
    uploadBytes: (values.get('UPLOAD_MEMORY_MB') ?? Math.floor(limitMb / 4)) * MIB,
    bufferPoolBlocks: values.get('BUFFER_POOL_SIZE'),
  }
}

function storageOf(values: Values, dataDir: string | null): StorageConfig {
  if (values.get('STORAGE') === 'file') return { driver: 'file', directory: join(needed('DATA_DIR', dataDir), 'store') }
  const endpoint = values.get('S3_ENDPOINT')
  const accessKeyId = values.get('S3_ACCESS_KEY_ID')
  const secretAccessKey = values.get('S3_SECRET_ACCESS_KEY')
  const sessionToken = values.get('S3_SESSION_TOKEN')
  return {
    driver: 's3',
    s3: {
      endpoint,
      publicEndpoint: values.get('S3_PUBLIC_ENDPOINT'),
      region: values.get('S3_REGION'),
      bucket: needed('S3_BUCKET', values.get('S3_BUCKET')),
      credentials:
        accessKeyId === null || secretAccessKey === null ? null : { accessKeyId, secretAccessKey, sessionToken },
      forcePathStyle: values.get('S3_FORCE_PATH_STYLE') ?? endpoint !== null,
      createBucket: values.get('S3_CREATE_BUCKET'),
      bucketChecks: values.get('S3_BUCKET_CHECKS'),
      equalParts: values.get('S3_EQUAL_PARTS'),
      requestTimeoutMs: values.get('S3_REQUEST_TIMEOUT'),
      encryption: encryptionOf(values),
      storageClass: values.get('S3_STORAGE_CLASS'),
      tags: values.get('S3_TAGS'),
    },
  }
}

function encryptionOf(values: Values): S3EncryptionConfig {
  const kind = values.get('S3_SSE')
  if (kind === 'kms') return { kind, keyId: values.get('S3_SSE_KMS_KEY_ID') }
  if (kind === 'customer') return { kind, key: needed('S3_SSE_CUSTOMER_KEY', values.get('S3_SSE_CUSTOMER_KEY')) }
  return { kind }
}

function databaseOf(values: Values, dataDir: string | null): DatabaseConfig {
  const migrate = values.get('DB_MIGRATE')
  if (values.get('DATABASE') === 'postgres') return { driver: 'postgres', migrate, postgres: postgresOf(values) }
  return { driver: 'pglite', migrate, directory: join(needed('DATA_DIR', dataDir), 'db') }
}

function postgresOf(values: Values): PostgresConfig {
  const { url, mode } = withoutSslMode(needed('DATABASE_URL', values.get('DATABASE_URL')))
  const max = values.get('DB_POOL_MAX')
  return {
    url: withPassword(url, values.get('DB_PASSWORD')),
    pool: { min: Math.min(values.get('DB_POOL_MIN'), max), max },
    ssl: { mode: values.get('DB_SSL') ?? mode ?? 'off', caFile: values.get('DB_SSL_CA') },
  }
}

function redisOf(values: Values): RedisConfig | null {
  if (values.get('COORDINATION') !== 'redis' && values.get('QUEUE') !== 'redis') return null
  const max = values.get('REDIS_POOL_MAX')
  return {
    url: withPassword(needed('REDIS_URL', values.get('REDIS_URL')), values.get('REDIS_PASSWORD')),
    caFile: values.get('REDIS_TLS_CA'),
    prefix: values.get('REDIS_PREFIX'),
    pool: { min: Math.min(values.get('REDIS_POOL_MIN'), max), max },
  }
}

function coordinationOf(values: Values, redis: RedisConfig | null): CoordinationConfig {
  if (values.get('COORDINATION') === 'memory') return { driver: 'memory' }
  return { driver: 'redis', redis: needed('REDIS_URL', redis) }
}

function queueOf(values: Values, redis: RedisConfig | null): QueueConfig {
  return values.get('QUEUE') === 'memory'
    ? { driver: 'memory' }
    : { driver: 'redis', redis: needed('REDIS_URL', redis) }
}

function authOf(values: Values): AuthConfig {
  if (values.get('AUTH_MODE') !== 'jwt') return { mode: 'none' }
  const secret = values.get('JWT_SECRET')
  const pem = values.get('JWT_PUBLIC_KEY')
  return {
    mode: 'jwt',
    key:
      secret !== null
        ? { kind: 'secret', secret }
        : pem !== null
          ? { kind: 'publicKey', pem: pemOf(pem) }
          : { kind: 'jwks', url: needed('JWT_JWKS_URL', values.get('JWT_JWKS_URL')) },
    issuer: values.get('JWT_ISSUER'),
    audience: values.get('JWT_AUDIENCE'),
    tenantClaim: values.get('JWT_TENANT_CLAIM'),
    rolesClaim: values.get('JWT_ROLES_CLAIM'),
  }
}

/** A rule has seen to it that the value is there; should one ever not have, the start still stops with its name. */
function needed<T>(key: string, value: T | null): T {
  if (value === null) throw new ConfigError([`${key} is not set, and another setting needs it: give it`])
  return value
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
