/**
 * Every variable, once: kind, unit, default, description. `loadConfig` reads by this table, docs/configuration.md is
 * generated from it, and a key that comes near one of these without being one stops the start.
 */
import { encryptionKeys } from './encryption-kinds.ts'
import {
  addresses,
  boolean,
  duration,
  fraction,
  httpUrl,
  integer,
  type Kind,
  matching,
  oneOf,
  origins,
  text,
  workers,
} from './kinds.ts'
import { bucketName, key256, keyTemplates, storageClass, tags } from './s3-kinds.ts'
import { postgresUrl, redisUrl } from './urls.ts'

export const SECTIONS = {
  drivers: 'Drivers',
  server: 'Server',
  uploads: 'Uploads',
  memory: 'Memory',
  s3: 'S3',
  encryption: 'Encryption by the service',
  database: 'Database',
  redis: 'Redis',
  queue: 'Queue and worker',
  hooks: 'Hooks',
  auth: 'Authentication',
  log: 'Log',
} as const

export type Section = keyof typeof SECTIONS

export interface Setting<T> {
  readonly section: Section
  readonly kind: Kind<T & {}>
  /** What the number counts, where its kind does not say. */
  readonly unit: string | null
  /** Used when the variable is not set; null: nothing. */
  readonly fallback: T
  /** The default in words, where it is not one value. */
  readonly fallbackText: string | null
  /** Used instead of `fallback` when started with embedded defaults. */
  readonly embedded: T | undefined
  readonly secret: boolean
  readonly description: string
}

interface More<T> {
  readonly unit?: string
  readonly fallbackText?: string
  readonly embedded?: T
  readonly secret?: boolean
}

function setting<T>(
  section: Section,
  kind: Kind<T & {}>,
  fallback: NoInfer<T>,
  description: string,
  more: More<NoInfer<T>> = {},
): Setting<T> {
  return {
    section,
    kind,
    fallback,
    description,
    unit: more.unit ?? null,
    fallbackText: more.fallbackText ?? null,
    embedded: more.embedded,
    secret: more.secret ?? false,
  }
}

/** A setting that may stay unset. */
function optional<T extends {}>(
  section: Section,
  kind: Kind<T>,
  description: string,
  more: More<T | null> = {},
): Setting<T | null> {
  return setting<T | null>(section, kind, null, description, more)
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE
const MIB = 1024 * 1024
/** What one object can be at most. */
export const MAX_OBJECT_BYTES = 5 * 1024 ** 4

const prefix = matching(
  'key prefix',
  /^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/,
  'give letters, digits, ".", "_", "-", and "/" between them, like uploads',
)
const claim = matching('text', /^\S+$/, 'give the name of a claim, without spaces')
const connections = 'connections a process'

export const SETTINGS = {
  STORAGE: optional(
    'drivers',
    oneOf('s3', 'file'),
    'Where the bytes are. `file` (below DATA_DIR) serves several processes of one machine when COORDINATION=redis and DATABASE=postgres.',
    { embedded: 'file' },
  ),
  COORDINATION: optional(
    'drivers',
    oneOf('redis', 'memory'),
    'Where holds and sessions are. `memory` allows one process.',
    { embedded: 'memory' },
  ),
  DATABASE: optional(
    'drivers',
    oneOf('postgres', 'pglite'),
    'Where the rows are. `pglite` (below DATA_DIR) allows one process.',
    { embedded: 'pglite' },
  ),
  QUEUE: optional('drivers', oneOf('redis', 'memory'), 'Where jobs wait. `memory` needs the worker in the server.', {
    embedded: 'memory',
  }),
  DATA_DIR: optional(
    'drivers',
    text('path'),
    'The directory of STORAGE=file and DATABASE=pglite; required by them. One process at a time locks it when holds or rows are its own.',
    { embedded: './data' },
  ),
  NODE_ENV: setting(
    'server',
    oneOf('development', 'production', 'test'),
    'development',
    'With `production` AUTH_MODE has to be said.',
  ),

  HOST: setting('server', text('address'), '0.0.0.0', 'The address to listen on.', { embedded: '127.0.0.1' }),
  PORT: setting('server', integer({ min: 0, max: 65_535 }), 3005, 'The port to listen on; 0 takes any free one.'),
  PUBLIC_URL: optional(
    'server',
    httpUrl(),
    'What clients reach the service by; `Location` begins with it. Unset: the forwarded headers of TRUSTED_PROXIES, else `Host`.',
  ),
  RELATIVE_LOCATION: setting('server', boolean(), false, '`Location` without scheme and host.'),
  TRUSTED_PROXIES: setting('server', addresses(), [], 'Proxies whose forwarded headers are believed.', {
    fallbackText: 'none',
  }),
  CORS_ORIGINS: setting('server', origins(), '*', 'Origins that browsers may call from; `*` is all.'),
  CORS_CREDENTIALS: setting(
    'server',
    boolean(),
    false,
    'Browsers may send cookies and HTTP authentication along; needs CORS_ORIGINS to name the origins.',
  ),
  MAX_HEADER_BYTES: setting(
    'server',
    integer({ min: 8192, max: 1_048_576 }),
    32_768,
    'Longest header section of a request; more is answered 431.',
    { unit: 'bytes' },
  ),
  ADMIN_SOCKET: optional(
    'server',
    text('path'),
    'Where the local socket for administration is made: nobody but the own user of the service can open it, and no token is asked there. Each of WORKERS adds its number to the name.',
    { fallbackText: '`upload-service-PORT/admin.sock` below the directory for temporary files' },
  ),
  WORKERS: setting(
    'server',
    workers(),
    1,
    'Processes of this instance that share the port; `auto` is one a core. Everything counted "a process" multiplies. More than 1 needs COORDINATION=redis, DATABASE=postgres and QUEUE=redis.',
  ),
  SHUTDOWN_TIMEOUT: setting(
    'server',
    duration({ min: 100, max: 10 * MINUTE }),
    15 * SECOND,
    'How long a stop (SIGTERM) may take in all.',
  ),

  DOWNLOADS: setting(
    'server',
    oneOf('stream', 'redirect'),
    'stream',
    '`redirect` answers a download with a link to the store (307), after the caller was checked; it needs STORAGE=s3. docs/operations/store-settings.md.',
  ),
  DOWNLOAD_LINK_EXPIRES: setting(
    'server',
    duration({ min: SECOND, max: 7 * DAY }),
    5 * MINUTE,
    'How long such a link is good for; a download that began goes on. One that is signed with temporary keys ends with them.',
  ),

  MAX_FILE_SIZE: setting(
    'uploads',
    integer({ min: 1, max: MAX_OBJECT_BYTES }),
    MAX_OBJECT_BYTES,
    "One upload's length at most.",
    { unit: 'bytes', fallbackText: `${MAX_OBJECT_BYTES} (5 TiB)` },
  ),
  MAX_CONCURRENT_UPLOADS: setting(
    'uploads',
    integer({ min: 1, max: 10_000 }),
    25,
    'Storage writes with a body (PutObject, UploadPart) in flight. Flushes for a hand-over or a stop, and small files, may add one more; at 1 nothing is added.',
    { unit: 'writes a process' },
  ),
  CHUNK_SIZE: setting(
    'uploads',
    integer({ min: 1024, max: 64 * MIB }),
    MIB,
    'The block in which received bytes are gathered, and the chunk size of the upload page. A part is eight; with STORAGE=s3 it must come to 5 MiB at least.',
    { unit: 'bytes' },
  ),
  SEGMENT_PARTS: setting(
    'uploads',
    integer({ min: 2, max: 10_000 }),
    640,
    'A multipart upload of so many parts becomes an object of its own, and the next begins; at the end they are put together inside the store (5 GiB, with parts of 8 MiB). MAX_FILE_SIZE may be 5,000 of them at most.',
    { unit: 'parts' },
  ),
  STREAM_BUFFER_SIZE: setting(
    'uploads',
    integer({ min: 1024, max: 16 * MIB }),
    65_536,
    'How far reads from store and files run ahead (highWaterMark).',
    { unit: 'bytes' },
  ),
  MAX_METADATA_BYTES: setting(
    'uploads',
    integer({ min: 0, max: 1_048_576 }),
    16_384,
    'Longest `Upload-Metadata` value as it was sent.',
    { unit: 'bytes' },
  ),
  UPLOAD_EXPIRES_AFTER: setting(
    'uploads',
    duration({ min: SECOND, max: 3650 * DAY }),
    7 * DAY,
    'An unfinished upload expires so long after its last stored byte.',
  ),
  IDLE_TIMEOUT: setting(
    'uploads',
    duration({ min: 100, max: 60 * MINUTE }),
    MINUTE,
    'A body without a byte for so long is cut; what came is kept.',
  ),
  FLUSH_AFTER: setting(
    'uploads',
    duration({ min: 100, max: 10 * MINUTE }),
    30 * SECOND,
    'Received bytes are made durable at this age at the latest.',
  ),
  HOLD_LEASE: setting(
    'uploads',
    duration({ min: 300, max: MINUTE }),
    3 * SECOND,
    'How long a hold outlives its process; renewed three times in that time.',
  ),
  FINISH_WAIT: setting(
    'uploads',
    duration({ min: 100, max: MINUTE }),
    15 * SECOND,
    'How long a request waits for a finish before it is answered 423.',
  ),
  INSPECT_STALL: setting(
    'uploads',
    duration({ min: 50, max: MINUTE }),
    SECOND,
    'A HEAD cuts a running body only if no byte came for so long.',
  ),
  SWEEP_EVERY: setting(
    'uploads',
    duration({ min: 100, max: 60 * MINUTE }),
    30 * SECOND,
    'How often standing finishes are driven on and expired uploads removed.',
  ),
  ORPHAN_SWEEP_EVERY: setting(
    'uploads',
    duration({ min: SECOND, max: 30 * DAY }),
    6 * 60 * MINUTE,
    'How often one instance looks through the store for what no row names: objects of interrupted writes, tails of uploads that ended, open multipart uploads.',
  ),
  ORPHAN_AGE: setting(
    'uploads',
    duration({ min: SECOND, max: 30 * DAY }),
    60 * MINUTE,
    'Younger things in the store are left alone by that.',
  ),
  ORPHAN_DRY_RUN: setting('uploads', boolean(), false, 'Only log and count what it would remove.'),

  MEMORY_LIMIT_MB: setting('memory', integer({ min: 64, max: 1_048_576 }), 2048, 'Memory that the process may take.', {
    unit: 'MiB',
  }),
  MEMORY_WARNING_THRESHOLD: setting(
    'memory',
    fraction(),
    0.8,
    'From this part of the budget on, memory is freed early; from this part of the limit on, the log warns.',
  ),
  UPLOAD_MEMORY_MB: optional(
    'memory',
    integer({ min: 1, max: 1_048_576 }),
    'Budget for upload bytes in memory; when it is spent, sockets are paused.',
    { unit: 'MiB', fallbackText: 'a quarter of MEMORY_LIMIT_MB' },
  ),
  BUFFER_POOL_SIZE: setting('memory', integer({ min: 0, max: 100_000 }), 100, 'Blocks of CHUNK_SIZE kept for reuse.', {
    unit: 'blocks a process',
  }),

  S3_ENDPOINT: optional('s3', httpUrl(), 'The address of an S3-compatible store.', {
    fallbackText: 'AWS, by S3_REGION',
  }),
  S3_PUBLIC_ENDPOINT: optional(
    's3',
    httpUrl(),
    'The address that clients reach the store by, for the links of DOWNLOADS=redirect.',
    { fallbackText: 'S3_ENDPOINT' },
  ),
  S3_REGION: setting(
    's3',
    matching('text', /^[A-Za-z0-9-]+$/, 'give a region like us-east-1'),
    'us-east-1',
    'The region that requests are signed for.',
  ),
  S3_BUCKET: optional(
    's3',
    bucketName(),
    'Required with STORAGE=s3. With `{tenant}` in it, like `uploads-{tenant}`, every tenant has a bucket of its own. Each upload stays in the bucket that it began in.',
  ),
  S3_ACCESS_KEY_ID: optional('s3', text(), 'With S3_SECRET_ACCESS_KEY.', {
    secret: true,
    fallbackText: "the AWS SDK's default chain (role of the machine or pod, ...)",
  }),
  S3_SECRET_ACCESS_KEY: optional('s3', text(), 'With S3_ACCESS_KEY_ID.', { secret: true }),
  S3_SESSION_TOKEN: optional('s3', text(), 'For temporary credentials.', { secret: true }),
  S3_FORCE_PATH_STYLE: optional('s3', boolean(), 'The bucket in the path instead of the host name.', {
    fallbackText: 'true when S3_ENDPOINT is set',
  }),
  S3_KEY_PREFIX: setting('s3', prefix, 'uploads', 'Keys of objects begin with it (with STORAGE=file too).'),
  S3_TAIL_PREFIX: setting('s3', prefix, 'uploads-tails', 'Keys of tails begin with it (with STORAGE=file too).'),
  S3_KEY_TEMPLATE: setting(
    's3',
    keyTemplates(),
    ['{prefix}/{shard}/{id}/{generation}-{token}'],
    'How keys of objects are made (with STORAGE=file too): `{prefix}`, `{shard}` (256 of them, by the id), `{tenant}`, `{id}`, `{generation}`, `{token}`. Separated by commas: the one in use, then earlier ones, by whose keys the sweeper still finds orphans; what a row names is found in any case.',
  ),
  S3_CREATE_BUCKET: setting(
    's3',
    boolean(),
    false,
    'Create the bucket at the start when it is not there; one of a tenant when it is first needed.',
  ),
  S3_BUCKET_CHECKS: setting(
    's3',
    oneOf('refuse', 'warn', 'off'),
    'refuse',
    "What the start does about the bucket's versioning, Object Lock and lifecycle rules: it says what costs or surprises, and with `refuse` does not go on when acknowledged bytes would be removed. docs/operations/store-settings.md.",
  ),
  S3_EQUAL_PARTS: setting(
    's3',
    boolean(),
    false,
    'All parts but the last have one size; true for stores that demand it (R2).',
  ),
  S3_SSE: setting(
    's3',
    oneOf('none', 'aes256', 'kms', 'customer'),
    'none',
    'How the store encrypts what is written (tails too): `aes256` is SSE-S3, `kms` SSE-KMS, `customer` SSE-C; `none` leaves it to the bucket. docs/operations/store-settings.md.',
  ),
  S3_SSE_KMS_KEY_ID: optional('s3', matching('text', /^\S+$/, 'give the id or the ARN of a key'), 'With S3_SSE=kms.', {
    fallbackText: "the bucket's key, else the account's own",
  }),
  S3_SSE_CUSTOMER_KEY: optional(
    's3',
    key256(),
    'Required with S3_SSE=customer. What was written under another key cannot be read.',
    { secret: true },
  ),
  S3_STORAGE_CLASS: optional(
    's3',
    storageClass(),
    'The class of objects, like `STANDARD_IA` or `INTELLIGENT_TIERING`. Tails, which live for minutes, are in the default class always.',
    { fallbackText: "the bucket's own" },
  ),
  S3_TAGS: setting('s3', tags(), {}, 'Tags of objects, like `service=upload,tenant={tenant}`; tails have none.', {
    fallbackText: 'none',
  }),
  S3_REQUEST_TIMEOUT: setting(
    's3',
    duration({ min: 100, max: 10 * MINUTE }),
    30 * SECOND,
    'How long one request to the store may take.',
  ),

  ENCRYPTION_KEYS: setting(
    'encryption',
    encryptionKeys(),
    [],
    'Keys by name, `name:key`: the current one first, then those that older uploads still need. A key is 32 bytes in base64. With it new uploads are encrypted (AES-256-GCM) before they are stored. docs/operations/encryption.md.',
    { secret: true, fallbackText: 'none: nothing is encrypted by the service' },
  ),
  ENCRYPT_NEW_UPLOADS: setting(
    'encryption',
    boolean(),
    true,
    'With ENCRYPTION_KEYS; `false` only reads what was encrypted before.',
  ),

  DATABASE_URL: optional(
    'database',
    postgresUrl(),
    'Required with DATABASE=postgres: `postgres://user@host:5432/database`.',
    { secret: true },
  ),
  DB_PASSWORD: optional('database', text(), 'The password, where DATABASE_URL has none.', { secret: true }),
  DB_POOL_MIN: setting('database', integer({ min: 0, max: 10_000 }), 10, 'Opened at the start and kept.', {
    unit: connections,
    fallbackText: '10, at most DB_POOL_MAX',
  }),
  DB_POOL_MAX: setting('database', integer({ min: 1, max: 10_000 }), 50, 'At most.', { unit: connections }),
  DB_SSL: optional(
    'database',
    oneOf('off', 'require', 'verify'),
    '`require` encrypts, `verify` also checks the certificate.',
    { fallbackText: '`sslmode` of DATABASE_URL, else off' },
  ),
  DB_SSL_CA: optional('database', text('path'), 'A PEM file with the authorities that DB_SSL=verify accepts.', {
    fallbackText: "Node's own",
  }),
  DB_MIGRATE: setting(
    'database',
    oneOf('auto', 'check', 'off'),
    'auto',
    '`auto` migrates at the start, `check` refuses to start when migrations are missing, `off` does not look.',
  ),

  REDIS_URL: optional(
    'redis',
    redisUrl(),
    'Required with COORDINATION=redis or QUEUE=redis. `redis://`, `redis+sentinel://:password@h1:p1,h2:p2/master-name/0` (`?sentinelPassword=` where the sentinels have one) or `redis+cluster://h1:p1,h2:p2`; with TLS `rediss://`, `rediss+sentinel://`, `rediss+cluster://`. docs/operations/redis-topologies.md.',
    { secret: true },
  ),
  REDIS_PASSWORD: optional('redis', text(), 'The password, where REDIS_URL has none.', { secret: true }),
  REDIS_TLS_CA: optional(
    'redis',
    text('path'),
    'A PEM file with the authorities that a `rediss` URL trusts; the certificate is always checked.',
    { fallbackText: "Node's own" },
  ),
  REDIS_PREFIX: setting(
    'redis',
    matching('text', /^[A-Za-z0-9._-]+$/, 'give letters, digits, ".", "_" and "-"'),
    'upload',
    'Keys and channels begin with it.',
  ),
  REDIS_POOL_MIN: setting(
    'redis',
    integer({ min: 1, max: 1000 }),
    5,
    "Opened at the start and kept, beside the subscriber's and the queue's.",
    { unit: connections, fallbackText: '5, at most REDIS_POOL_MAX' },
  ),
  REDIS_POOL_MAX: setting('redis', integer({ min: 1, max: 1000 }), 25, 'At most.', { unit: connections }),

  WORKER_IN_SERVER: optional('queue', boolean(), 'The server works jobs off too; else `npm run worker` does.', {
    fallbackText: 'true with QUEUE=memory, else false',
  }),
  WORKER_CONCURRENCY: setting('queue', integer({ min: 1, max: 1000 }), 4, 'Jobs at once.', { unit: 'jobs a process' }),

  HOOKS_MODULE: optional(
    'hooks',
    text('path'),
    'A TypeScript or JavaScript module with lifecycle hooks, seen from the working directory.',
  ),
  HOOK_TIMEOUT: setting(
    'hooks',
    duration({ min: 10, max: 10 * MINUTE }),
    5 * SECOND,
    'How long a blocking hook may take.',
  ),

  AUTH_MODE: optional(
    'auth',
    oneOf('none', 'jwt'),
    '`none`: everybody is `anonymous` in tenant `default`; for laptops, or behind a gateway that lets nobody else in.',
    { fallbackText: 'none; required with NODE_ENV=production' },
  ),
  JWT_SECRET: optional(
    'auth',
    text(),
    'Shared secret of HS256, HS384 or HS512, 32 bytes at least. AUTH_MODE=jwt takes exactly one of JWT_SECRET, JWT_PUBLIC_KEY and JWT_JWKS_URL.',
    { secret: true },
  ),
  JWT_PUBLIC_KEY: optional(
    'auth',
    text('PEM'),
    'Public key for RS, PS, ES or EdDSA; line breaks may be written `\\n`.',
    { secret: true },
  ),
  JWT_JWKS_URL: optional('auth', httpUrl({ query: true }), 'Where the public keys are fetched.'),
  JWT_ISSUER: optional('auth', text(), '`iss` must be this.'),
  JWT_AUDIENCE: optional('auth', text(), '`aud` must be this or contain it.'),
  JWT_TENANT_CLAIM: setting(
    'auth',
    claim,
    'tenant',
    'The claim with the tenant; a token without it belongs to `default`.',
  ),
  JWT_ROLES_CLAIM: setting(
    'auth',
    claim,
    'roles',
    'The claim with the roles, an array or words separated by spaces; a token without it is an uploader and reader.',
  ),

  LOG_LEVEL: setting(
    'log',
    oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    'info',
    'The least that is logged.',
  ),
} as const

export type SettingKey = keyof typeof SETTINGS
