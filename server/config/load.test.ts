import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type Config, ConfigError, loadConfig } from './load.ts'
import type { Env } from './values.ts'

const MIB = 1024 * 1024
const SECRET = 'correct-horse-battery-staple-0123456789'

/** The least that a production process needs. */
const PRODUCTION = {
  NODE_ENV: 'production',
  STORAGE: 's3',
  S3_BUCKET: 'uploads',
  COORDINATION: 'redis',
  QUEUE: 'redis',
  REDIS_URL: 'redis://redis:6379',
  DATABASE: 'postgres',
  DATABASE_URL: 'postgres://app@postgres:5432/uploads',
  AUTH_MODE: 'jwt',
  JWT_SECRET: SECRET,
}

function production(more: Env = {}): Config {
  return loadConfig({ ...PRODUCTION, ...more }, { embedded: false })
}

function faultsOf(env: Env, embedded = false): readonly string[] {
  try {
    loadConfig(env, { embedded })
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    for (const fault of error.faults) assert.ok(error.message.includes(fault))
    return error.faults
  }
  return []
}

/** The faults of the production configuration with these changes. */
function faults(more: Env): readonly string[] {
  return faultsOf({ ...PRODUCTION, ...more })
}

function assertFault(more: Env, pattern: RegExp): void {
  const found = faults(more)
  assert.equal(found.length, 1, found.join('\n'))
  assert.match(found[0] ?? '', pattern)
}

describe('embedded defaults', () => {
  test('nothing set: one process, all state under ./data, on the loopback address', () => {
    const config = loadConfig({}, { embedded: true })
    assert.equal(config.dataDir, join(process.cwd(), 'data'))
    assert.deepEqual(config.storage, { driver: 'file', directory: join(process.cwd(), 'data', 'store') })
    assert.deepEqual(config.database, {
      driver: 'pglite',
      migrate: 'auto',
      directory: join(process.cwd(), 'data', 'db'),
    })
    assert.deepEqual([config.coordination, config.queue], [{ driver: 'memory' }, { driver: 'memory' }])
    assert.deepEqual([config.server.host, config.server.port], ['127.0.0.1', 3005])
    assert.deepEqual(config.worker, { inServer: true, concurrency: 4 })
    assert.deepEqual(config.auth, { mode: 'none' })
    assert.deepEqual(config.warnings, [])
    assert.equal(config.redis, null)
  })

  test('what is set wins over them', () => {
    const config = loadConfig({ STORAGE: 's3', S3_BUCKET: 'b-b', PORT: '0', HOST: '::1' }, { embedded: true })
    assert.equal(config.storage.driver, 's3')
    assert.deepEqual([config.server.host, config.server.port], ['::1', 0])
  })

  test('open to all beyond this machine is warned about', () => {
    const config = loadConfig({ HOST: '0.0.0.0' }, { embedded: true })
    assert.match(config.warnings.join(), /AUTH_MODE=none/)
  })
})

describe('values', () => {
  test("the guide's figures are the defaults, and units are in the names", () => {
    const config = production()
    assert.deepEqual(config.memory, {
      limitBytes: 2048 * MIB,
      warningThreshold: 0.8,
      uploadBytes: 512 * MIB,
      bufferPoolBlocks: 100,
    })
    assert.deepEqual(config.uploads, {
      maxBytes: 5 * 1024 ** 4,
      maxConcurrentWrites: 25,
      chunkBytes: MIB,
      partBytes: 8 * MIB,
      segmentParts: 640,
      streamBufferBytes: 65_536,
      maxMetadataBytes: 16_384,
      expiresAfterMs: 7 * 24 * 3_600_000,
      idleTimeoutMs: 60_000,
      flushAfterMs: 30_000,
      leaseMs: 3000,
      finishWaitMs: 15_000,
      inspectStallMs: 1000,
      sweepEveryMs: 30_000,
      orphans: { everyMs: 21_600_000, minAgeMs: 3_600_000, dryRun: false },
    })
    assert.ok(config.database.driver === 'postgres')
    assert.deepEqual(config.database.postgres.pool, { min: 10, max: 50 })
    assert.deepEqual(config.redis?.pool, { min: 5, max: 25 })
    assert.deepEqual(config.worker, { inServer: false, concurrency: 4 })
  })

  test('durations take every unit', () => {
    const read = (text: string) => production({ IDLE_TIMEOUT: text }).uploads.idleTimeoutMs
    assert.deepEqual(['500ms', '60s', '5m', '1h'].map(read), [500, 60_000, 300_000, 3_600_000])
    assert.equal(production({ UPLOAD_EXPIRES_AFTER: '2d' }).uploads.expiresAfterMs, 172_800_000)
  })

  test('lists are split, trimmed and checked item by item', () => {
    const config = production({
      TRUSTED_PROXIES: '10.0.0.0/8, ::1 ,192.168.1.4',
      CORS_ORIGINS: 'https://a.example,http://localhost:3000',
      CORS_CREDENTIALS: 'true',
    })
    assert.deepEqual(config.server.trustedProxies, ['10.0.0.0/8', '::1', '192.168.1.4'])
    assert.deepEqual(config.server.cors, {
      origins: ['https://a.example', 'http://localhost:3000'],
      credentials: true,
    })
    assertFault({ TRUSTED_PROXIES: '10.0.0.0/8,gateway' }, /TRUSTED_PROXIES.*"gateway" is neither/)
    assertFault({ TRUSTED_PROXIES: '10.0.0.0/33' }, /"10.0.0.0\/33" is neither/)
    assertFault({ CORS_ORIGINS: 'https://a.example/' }, /"https:\/\/a.example\/" is no origin/)
  })

  test('an empty value is as good as not set', () => {
    const config = production({ PORT: '', MAX_FILE_SIZE: '  ', PUBLIC_URL: '' })
    assert.deepEqual(
      [config.server.port, config.server.publicUrl, config.uploads.maxBytes],
      [3005, null, 5 * 1024 ** 4],
    )
    assertFault({ S3_BUCKET: '' }, /S3_BUCKET is not set/)
  })

  test('PUBLIC_URL loses the slash at its end, and takes no secret along', () => {
    assert.equal(production({ PUBLIC_URL: 'https://u.example/base/' }).server.publicUrl, 'https://u.example/base')
    assertFault({ PUBLIC_URL: 'ftp://u.example' }, /PUBLIC_URL is "ftp:\/\/u.example": give an http/)
    const [fault = ''] = faults({ PUBLIC_URL: 'https://me:hunter2@u.example' })
    assert.match(fault, /PUBLIC_URL is "https:\/\/\*\*\*@u.example"/)
  })

  for (const [key, wrong] of [
    ['PORT', '65536'],
    ['PORT', '3005 # comment'],
    ['MAX_FILE_SIZE', '100MB'],
    ['MAX_FILE_SIZE', '1e8'],
    ['MAX_FILE_SIZE', '-1'],
    ['MAX_CONCURRENT_UPLOADS', '0'],
    ['MEMORY_WARNING_THRESHOLD', '80'],
    ['MEMORY_WARNING_THRESHOLD', '0'],
    ['IDLE_TIMEOUT', '60'],
    ['IDLE_TIMEOUT', '1.5s'],
    ['RELATIVE_LOCATION', 'yes'],
    ['LOG_LEVEL', 'verbose'],
    ['STORAGE', 'gcs'],
    ['NODE_ENV', 'prod'],
    ['S3_KEY_PREFIX', '/uploads'],
    ['S3_ENDPOINT', 'minio:9000'],
  ] as const) {
    test(`${key}=${wrong} is refused with the value and what to do`, () => {
      const [fault = '', ...more] = faults({ [key]: wrong })
      assert.deepEqual(more, [])
      assert.ok(fault.startsWith(`${key} is "${wrong}": give `), fault)
    })
  }
})

describe('faults', () => {
  test('all are said at once', () => {
    const found = faultsOf({
      NODE_ENV: 'production',
      PORT: 'http',
      CHUNK_SIZE: 'big',
      STORAGE: 's3',
      COORDINATION: 'redis',
      S3_BUKCET: 'uploads',
    })
    const keys = found.map((fault) => fault.split(' ')[0]).sort()
    assert.deepEqual(keys, [
      'AUTH_MODE',
      'CHUNK_SIZE',
      'DATABASE',
      'PORT',
      'QUEUE',
      'REDIS_URL',
      'S3_BUCKET',
      'S3_BUKCET',
    ])
  })

  test('a misspelt key is named with what was meant; foreign keys are ignored', () => {
    assertFault({ MAX_FILE_SIZ: '1' }, /^MAX_FILE_SIZ is not a setting; write MAX_FILE_SIZE/)
    assertFault({ max_file_size: '1' }, /^max_file_size is not a setting; write MAX_FILE_SIZE/)
    assert.deepEqual(
      faults({ PATH: '/bin', HOME: '/', PGDATABASE: 'x', HOSTNAME: 'pod-1', EXPORT: 'x', REPORT: 'x' }),
      [],
    )
    assert.deepEqual(
      faults({ AWS_REGION: 'eu-west-1', NODE_OPTIONS: '', REDIS_PORT: 'tcp://10.0.0.1:6379', LANGUAGE: 'en' }),
      [],
    )
  })

  test('secrets are never in a message', () => {
    const hidden = 'hunter2-hunter2'
    const found = faults({
      REDIS_URL: `redis:/${hidden}`,
      DATABASE_URL: `mysql://app:${hidden}@db/x`,
      JWT_SECRET: hidden,
      JWT_SECERT: hidden,
      JWT_PUBLIC_KEY: hidden,
      S3_ACCESS_KEY_ID: hidden,
      S3_SECRT_ACCESS_KEY: hidden,
      S3_ENDPOINT: `https://key:${hidden}@store`,
    })
    assert.ok(found.length >= 8, found.join('\n'))
    assert.ok(!found.join('\n').includes(hidden), found.join('\n'))
  })

  test('a long or unprintable value is cut and made printable', () => {
    const [fault = ''] = faults({ LOG_LEVEL: `\u001b[31m${'x'.repeat(5000)}` })
    assert.ok(fault.length < 300)
    assert.ok(!fault.includes('\u001b'))
  })
})

describe('what must fit together', () => {
  const rules: readonly (readonly [Env, RegExp])[] = [
    [{ STORAGE: undefined }, /^STORAGE is not set: give s3 or file/],
    [{ STORAGE: 'file' }, /^DATA_DIR is not set, and STORAGE=file needs it/],
    [{ QUEUE: 'memory', WORKER_IN_SERVER: 'false' }, /^WORKER_IN_SERVER/],
    [{ CORS_CREDENTIALS: 'true' }, /^CORS_CREDENTIALS.*name the origins/],
    [{ MAX_METADATA_BYTES: '65536' }, /^MAX_HEADER_BYTES is 32768.*give 69632 or more/],
    [{ UPLOAD_MEMORY_MB: '4096' }, /^UPLOAD_MEMORY_MB is 4096, more than MEMORY_LIMIT_MB=2048/],
    [{ UPLOAD_MEMORY_MB: '4' }, /^UPLOAD_MEMORY_MB is 4, and one part .* give 8 or more/],
    [{ BUFFER_POOL_SIZE: '4096' }, /^BUFFER_POOL_SIZE is 4096/],
    [{ S3_TAIL_PREFIX: 'uploads/tails' }, /^S3_KEY_PREFIX is "uploads" and S3_TAIL_PREFIX "uploads\/tails"/],
    [{ S3_BUCKET: undefined }, /^S3_BUCKET is not set/],
    [{ S3_ACCESS_KEY_ID: 'k' }, /^S3_SECRET_ACCESS_KEY is not set/],
    [{ SEGMENT_PARTS: '2' }, /^SEGMENT_PARTS is 2, .* MAX_FILE_SIZE=5497558138880 .* give 132 or more/],
    [{ CHUNK_SIZE: '65536' }, /^CHUNK_SIZE is 65536, .* give 655360 or more/],
    [{ DATABASE_URL: undefined }, /^DATABASE_URL is not set/],
    [{ DATABASE_URL: 'postgres://db' }, /^DATABASE_URL is \(value hidden\): give postgres/],
    [{ DATABASE_URL: 'postgres://a,b/x' }, /^DATABASE_URL/],
    [{ DB_POOL_MIN: '60' }, /^DB_POOL_MIN is 60, more than DB_POOL_MAX=50/],
    [{ DATABASE_URL: 'postgres://db/x?sslmode=require', DB_SSL: 'verify' }, /^DB_SSL is set/],
    [{ REDIS_URL: undefined }, /^REDIS_URL is not set, and COORDINATION=redis and QUEUE=redis needs it/],
    [{ REDIS_URL: 'redis+sentinel://h1:26379' }, /^REDIS_URL/],
    [{ REDIS_URL: 'redis://h1,h2' }, /^REDIS_URL/],
    [{ REDIS_URL: 'rediss+cluster://h1:7001/1' }, /^REDIS_URL/],
    [{ REDIS_URL: 'redis+sentinel://h1/uploads?password=x' }, /^REDIS_URL/],
    [{ REDIS_TLS_CA: '/etc/ca.pem' }, /^REDIS_TLS_CA is set, but REDIS_URL asks for no TLS/],
    [{ REDIS_POOL_MIN: '26' }, /^REDIS_POOL_MIN is 26/],
    [{ AUTH_MODE: undefined, JWT_SECRET: undefined }, /^AUTH_MODE is not set with NODE_ENV=production/],
    [{ AUTH_MODE: undefined, NODE_ENV: undefined }, /^JWT_SECRET is set without AUTH_MODE/],
    [{ JWT_SECRET: undefined }, /^AUTH_MODE=jwt takes exactly one .* none of them is set/],
    [{ JWT_JWKS_URL: 'https://id.example/keys' }, /exactly one .* JWT_SECRET and JWT_JWKS_URL are set/],
    [{ JWT_SECRET: 'short' }, /^JWT_SECRET \(value hidden\) has 5 bytes/],
    [{ JWT_SECRET: '-----BEGIN PUBLIC KEY-----' }, /^JWT_SECRET .* give it as JWT_PUBLIC_KEY/],
    [{ JWT_SECRET: undefined, JWT_PUBLIC_KEY: 'nonsense' }, /^JWT_PUBLIC_KEY .* no public key/],
  ]
  for (const [env, pattern] of rules) {
    test(
      JSON.stringify(env, (_, value) => value ?? null),
      () => assertFault(env, pattern),
    )
  }

  test('a private key is not taken as a public one', () => {
    const { privateKey } = generateKeyPairSync('ed25519')
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    assertFault({ JWT_SECRET: undefined, JWT_PUBLIC_KEY: pem }, /^JWT_PUBLIC_KEY/)
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' })
    assertFault({ JWT_SECRET: undefined, JWT_PUBLIC_KEY: weak.toString() }, /^JWT_PUBLIC_KEY/)
  })

  test('a minimum that nobody set never passes the maximum', () => {
    const config = production({ DB_POOL_MAX: '4', REDIS_POOL_MAX: '2' })
    assert.ok(config.database.driver === 'postgres')
    assert.deepEqual(
      [config.database.postgres.pool, config.redis?.pool],
      [
        { min: 4, max: 4 },
        { min: 2, max: 2 },
      ],
    )
  })

  test('small chunks are fine with files', () => {
    const config = production({ STORAGE: 'file', DATA_DIR: './d', CHUNK_SIZE: '4096' })
    assert.equal(config.uploads.partBytes, 32_768)
  })
})

describe('drivers', () => {
  test('S3: credentials in pairs or the default chain; path style with an endpoint', () => {
    const aws = production().storage
    assert.ok(aws.driver === 's3')
    assert.deepEqual([aws.s3.credentials, aws.s3.forcePathStyle, aws.s3.endpoint], [null, false, null])
    const own = production({
      S3_ENDPOINT: 'http://store:9000',
      S3_ACCESS_KEY_ID: 'k',
      S3_SECRET_ACCESS_KEY: 's',
    }).storage
    assert.ok(own.driver === 's3')
    assert.deepEqual(own.s3.credentials, { accessKeyId: 'k', secretAccessKey: 's', sessionToken: null })
    assert.deepEqual([own.s3.endpoint, own.s3.forcePathStyle], ['http://store:9000', true])
  })

  test('passwords that are given apart get into the URLs, encoded', () => {
    const config = production({
      DB_PASSWORD: 'p@ss/word',
      REDIS_PASSWORD: 'r:1',
      REDIS_URL: 'redis+sentinel://s1:26379,s2:26379/uploads/0',
    })
    assert.ok(config.database.driver === 'postgres')
    assert.equal(config.database.postgres.url, 'postgres://app:p%40ss%2Fword@postgres:5432/uploads')
    assert.equal(config.redis?.url, 'redis+sentinel://:r%3A1@s1:26379,s2:26379/uploads/0')
  })

  test('every form of REDIS_URL, with TLS and its authorities', () => {
    for (const url of [
      'rediss://redis:6380/2',
      'rediss+sentinel://s1,s2:26380/uploads/1?sentinelPassword=a%26b',
      'rediss+cluster://:pw@n1:7001,n2:7002/',
    ]) {
      const { redis } = production({ REDIS_URL: url, REDIS_TLS_CA: '/etc/ca.pem' })
      assert.deepEqual([redis?.url, redis?.caFile], [url, '/etc/ca.pem'])
    }
    const { redis } = production({ REDIS_URL: 'rediss+cluster://n1:7001,n2:7002', REDIS_PASSWORD: 'apart' })
    assert.deepEqual([redis?.url, redis?.caFile], ['rediss+cluster://:apart@n1:7001,n2:7002', null])
  })

  test('a password in the URL wins, with a warning', () => {
    const config = production({ REDIS_URL: 'rediss://:in-url@redis', REDIS_PASSWORD: 'apart' })
    assert.equal(config.redis?.url, 'rediss://:in-url@redis')
    assert.match(config.warnings.join(), /REDIS_PASSWORD is not used/)
  })

  test('sslmode of the URL is taken out and understood', () => {
    const { database } = production({ DATABASE_URL: 'postgres://app@db/x?sslmode=verify-full&application_name=u' })
    assert.ok(database.driver === 'postgres')
    assert.deepEqual(database.postgres.ssl, { mode: 'verify', caFile: null })
    assert.equal(database.postgres.url, 'postgres://app@db/x?application_name=u')
  })

  test('keys of tokens: each kind', () => {
    const { publicKey } = generateKeyPairSync('ed25519')
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const oneLine = pem.replaceAll('\n', '\\n')
    const keyOf = (env: Env) => {
      const { auth } = production(env)
      return auth.mode === 'jwt' ? auth.key : null
    }
    assert.deepEqual(keyOf({}), { kind: 'secret', secret: SECRET })
    assert.deepEqual(keyOf({ JWT_SECRET: '', JWT_PUBLIC_KEY: oneLine }), { kind: 'publicKey', pem })
    const url = 'https://id.example/keys?tenant=a'
    assert.deepEqual(keyOf({ JWT_SECRET: '', JWT_JWKS_URL: url }), { kind: 'jwks', url })
  })

  test('AUTH_MODE=none written out is taken, with a warning', () => {
    const config = production({ AUTH_MODE: 'none', JWT_SECRET: '' })
    assert.deepEqual(config.auth, { mode: 'none' })
    assert.match(config.warnings.join(), /AUTH_MODE=none/)
  })
})

test('the configuration is frozen all the way down, and not the environment it came from', () => {
  const config = production({ TRUSTED_PROXIES: '10.0.0.0/8' })
  const seen = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    assert.ok(Object.isFrozen(value), JSON.stringify(value))
    Object.values(value).forEach(seen)
  }
  seen(config)
  assert.throws(() => Object.assign(config.server, { port: 1 }), TypeError)
})
