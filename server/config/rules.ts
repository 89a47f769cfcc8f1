/** What must hold between settings. Each rule adds its faults (the start stops) or warnings (it is logged). */
import { createPublicKey } from 'node:crypto'
import { encryptionByTheService } from './encryption-rules.ts'
import { downloadsByLink, encryptionByTheStore } from './s3-rules.ts'
import { hasPassword, withoutSslMode } from './urls.ts'
import type { Values } from './values.ts'

const MIB = 1024 * 1024
const CHUNKS_A_PART = 8
const S3_MIN_PART_BYTES = 5 * MIB
/** An object has 10,000 parts at most; some segments are made by takeovers. */
const MOST_SEGMENTS = 5000
/** RFC 7518, section 3.2: a key as long as the hash at least. */
const MIN_SECRET_BYTES = 32
/** Room for everything else in a request's header section. */
const OTHER_HEADER_BYTES = 4096

export interface Findings {
  readonly faults: string[]
  readonly warnings: string[]
}

export type Rule = (values: Values, findings: Findings) => void

const drivers: Rule = (values, { faults, warnings }) => {
  const choices = {
    STORAGE: 's3 or file',
    COORDINATION: 'redis or memory',
    DATABASE: 'postgres or pglite',
    QUEUE: 'redis or memory',
  } as const
  for (const key of ['STORAGE', 'COORDINATION', 'DATABASE', 'QUEUE'] as const) {
    if (values.get(key) === null && !values.isSet(key)) {
      faults.push(`${key} is not set: give ${choices[key]} (npm start brings defaults for one machine)`)
    }
  }
  const local = [
    ...(values.get('STORAGE') === 'file' ? ['STORAGE=file'] : []),
    ...(values.get('DATABASE') === 'pglite' ? ['DATABASE=pglite'] : []),
  ]
  if (local.length > 0 && values.get('DATA_DIR') === null) {
    faults.push(`DATA_DIR is not set, and ${local.join(' and ')} needs it: give a directory that lasts`)
  }
  if (values.get('QUEUE') === 'memory' && values.get('WORKER_IN_SERVER') === false) {
    faults.push(
      'WORKER_IN_SERVER is "false" with QUEUE=memory, so nothing would ever do the jobs: give true, or QUEUE=redis',
    )
  }
  const production = values.get('NODE_ENV') === 'production'
  const alone = [
    ...(values.get('COORDINATION') === 'memory' ? ['COORDINATION=memory'] : []),
    ...(values.get('DATABASE') === 'pglite' ? ['DATABASE=pglite'] : []),
  ]
  const single = [...alone, ...(values.get('QUEUE') === 'memory' ? ['QUEUE=memory'] : [])]
  if (values.get('WORKERS') > 1 && single.length > 0) {
    faults.push(`WORKERS is ${values.get('WORKERS')}, but ${single.join(' and ')} allows one process: give WORKERS=1`)
  }
  if (production && alone.length > 0) {
    warnings.push(`${alone.join(' and ')} allows one process: a second one would not see its uploads`)
  }
}

const network: Rule = (values, { faults, warnings }) => {
  if (values.get('CORS_CREDENTIALS') && values.get('CORS_ORIGINS') === '*') {
    faults.push(
      'CORS_CREDENTIALS is "true" with CORS_ORIGINS "*", which browsers refuse: name the origins in CORS_ORIGINS',
    )
  }
  const least = values.get('MAX_METADATA_BYTES') + OTHER_HEADER_BYTES
  if (values.get('MAX_HEADER_BYTES') < least) {
    faults.push(
      `MAX_HEADER_BYTES is ${values.get('MAX_HEADER_BYTES')}, too little for MAX_METADATA_BYTES=${values.get('MAX_METADATA_BYTES')}: give ${least} or more`,
    )
  }
  const everybody = values.get('TRUSTED_PROXIES').filter((block) => block.endsWith('/0'))
  if (everybody.length > 0)
    warnings.push(`TRUSTED_PROXIES has ${everybody.join(', ')}: anybody may forge forwarded headers`)
}

const memory: Rule = (values, { faults, warnings }) => {
  const limit = values.get('MEMORY_LIMIT_MB')
  const budget = values.get('UPLOAD_MEMORY_MB') ?? Math.floor(limit / 4)
  const chunk = values.get('CHUNK_SIZE')
  const pool = values.get('BUFFER_POOL_SIZE')
  if (budget > limit) {
    faults.push(`UPLOAD_MEMORY_MB is ${budget}, more than MEMORY_LIMIT_MB=${limit}: give less (unset: a quarter of it)`)
  }
  if (budget * MIB < CHUNKS_A_PART * chunk) {
    const needed = Math.ceil((CHUNKS_A_PART * chunk) / MIB)
    faults.push(
      `${values.isSet('UPLOAD_MEMORY_MB') ? 'UPLOAD_MEMORY_MB is' : 'UPLOAD_MEMORY_MB (a quarter of MEMORY_LIMIT_MB) is'} ${budget}, and one part (8 x CHUNK_SIZE=${chunk}) does not fit: give ${needed} or more, or a smaller CHUNK_SIZE`,
    )
  }
  if (pool * chunk > limit * MIB) {
    faults.push(
      `BUFFER_POOL_SIZE is ${pool}, and so many blocks of CHUNK_SIZE=${chunk} are more than MEMORY_LIMIT_MB=${limit}: give less`,
    )
  } else if (pool * chunk > budget * MIB) {
    warnings.push(
      `BUFFER_POOL_SIZE=${pool} blocks of CHUNK_SIZE=${chunk} are more than the budget for upload bytes (${budget} MiB); the rest is never used`,
    )
  }
}

const storage: Rule = (values, { faults }) => {
  const [objects, tails] = [values.get('S3_KEY_PREFIX'), values.get('S3_TAIL_PREFIX')]
  if (`${objects}/`.startsWith(`${tails}/`) || `${tails}/`.startsWith(`${objects}/`)) {
    faults.push(
      `S3_KEY_PREFIX is "${objects}" and S3_TAIL_PREFIX "${tails}", one inside the other: give two that are apart`,
    )
  }
  if (values.get('STORAGE') !== 's3') return
  if (values.get('S3_BUCKET') === null && !values.isSet('S3_BUCKET'))
    faults.push('S3_BUCKET is not set, and STORAGE=s3 needs it: give the name of a bucket')
  if (values.isSet('S3_ACCESS_KEY_ID') !== values.isSet('S3_SECRET_ACCESS_KEY')) {
    const missing = values.isSet('S3_ACCESS_KEY_ID') ? 'S3_SECRET_ACCESS_KEY' : 'S3_ACCESS_KEY_ID'
    faults.push(
      `${missing} is not set although its other half is: give both, or neither for the AWS SDK's default chain`,
    )
  }
  const part = CHUNKS_A_PART * values.get('CHUNK_SIZE')
  if (part < S3_MIN_PART_BYTES) {
    faults.push(
      `CHUNK_SIZE is ${values.get('CHUNK_SIZE')}, and eight of it are less than the 5 MiB that S3 demands of a part: give ${S3_MIN_PART_BYTES / CHUNKS_A_PART} or more`,
    )
    return
  }
  const longest = values.get('MAX_FILE_SIZE')
  const least = Math.ceil(longest / part / MOST_SEGMENTS)
  if (values.get('SEGMENT_PARTS') < least) {
    faults.push(
      `SEGMENT_PARTS is ${values.get('SEGMENT_PARTS')}, and an upload of MAX_FILE_SIZE=${longest} bytes would be more than ${MOST_SEGMENTS} objects: give ${least} or more`,
    )
  }
}

const database: Rule = (values, { faults, warnings }) => {
  if (values.get('DATABASE') !== 'postgres') return
  const url = values.get('DATABASE_URL')
  if (!values.isSet('DATABASE_URL'))
    faults.push('DATABASE_URL is not set, and DATABASE=postgres needs it: give postgres://user@host:5432/database')
  if (values.isSet('DB_POOL_MIN') && values.get('DB_POOL_MIN') > values.get('DB_POOL_MAX')) {
    faults.push(
      `DB_POOL_MIN is ${values.get('DB_POOL_MIN')}, more than DB_POOL_MAX=${values.get('DB_POOL_MAX')}: give at most that`,
    )
  }
  if (url === null) return
  if (values.isSet('DB_SSL') && withoutSslMode(url).mode !== null) {
    faults.push('DB_SSL is set, and DATABASE_URL has sslmode too: leave one of them out')
  }
  if (values.isSet('DB_PASSWORD') && hasPassword(url))
    warnings.push('DB_PASSWORD is not used, since DATABASE_URL brings a password')
}

const redis: Rule = (values, { faults, warnings }) => {
  const users = (['COORDINATION', 'QUEUE'] as const)
    .filter((key) => values.get(key) === 'redis')
    .map((key) => `${key}=redis`)
  if (users.length === 0) return
  const url = values.get('REDIS_URL')
  if (!values.isSet('REDIS_URL'))
    faults.push(`REDIS_URL is not set, and ${users.join(' and ')} needs it: give redis://host:6379/0`)
  if (values.isSet('REDIS_POOL_MIN') && values.get('REDIS_POOL_MIN') > values.get('REDIS_POOL_MAX')) {
    faults.push(
      `REDIS_POOL_MIN is ${values.get('REDIS_POOL_MIN')}, more than REDIS_POOL_MAX=${values.get('REDIS_POOL_MAX')}: give at most that`,
    )
  }
  if (url !== null && values.isSet('REDIS_PASSWORD') && hasPassword(url)) {
    warnings.push('REDIS_PASSWORD is not used, since REDIS_URL brings a password')
  }
  if (url !== null && values.isSet('REDIS_TLS_CA') && !url.startsWith('rediss')) {
    faults.push(
      'REDIS_TLS_CA is set, but REDIS_URL asks for no TLS: let it begin with rediss, or leave REDIS_TLS_CA out',
    )
  }
}

const JWT_KEYS = ['JWT_SECRET', 'JWT_PUBLIC_KEY', 'JWT_JWKS_URL'] as const

const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost'])
const OPEN_TO_ALL = 'AUTH_MODE=none: everybody is the same caller, may upload and may read every upload'

const auth: Rule = (values, { faults, warnings }) => {
  const mode = values.get('AUTH_MODE')
  const production = values.get('NODE_ENV') === 'production'
  const given = JWT_KEYS.filter((key) => values.isSet(key))
  if (production && !values.isSet('AUTH_MODE')) {
    faults.push(
      'AUTH_MODE is not set with NODE_ENV=production: give jwt, or none if really anybody may upload and read',
    )
  }
  const open = values.isSet('AUTH_MODE') || !LOOPBACK.has(values.get('HOST'))
  if (mode !== 'jwt' && open) warnings.push(OPEN_TO_ALL)
  if (mode !== 'jwt') {
    if (given.length > 0 && values.isSet('AUTH_MODE'))
      warnings.push(`${given.join(', ')} is not used with AUTH_MODE=none`)
    if (given.length > 0 && !values.isSet('AUTH_MODE') && !production) {
      faults.push(`${given.join(', ')} is set without AUTH_MODE, so no token would be looked at: give AUTH_MODE=jwt`)
    }
    return
  }
  if (given.length !== 1) {
    const found = given.length === 0 ? 'none of them is set' : `${given.join(' and ')} are set`
    faults.push(`AUTH_MODE=jwt takes exactly one of ${JWT_KEYS.join(', ')}, and ${found}: set one`)
  }
  jwtKeys(values, { faults, warnings })
}

function jwtKeys(values: Values, { faults, warnings }: Findings): void {
  const secret = values.get('JWT_SECRET')
  if (secret?.includes('-----BEGIN')) {
    faults.push(
      'JWT_SECRET (value hidden) is a PEM key; a public key as a shared secret lets anybody sign: give it as JWT_PUBLIC_KEY',
    )
  } else if (secret !== null && Buffer.byteLength(secret) < MIN_SECRET_BYTES) {
    faults.push(
      `JWT_SECRET (value hidden) has ${Buffer.byteLength(secret)} bytes: give ${MIN_SECRET_BYTES} or more, for example from openssl rand -base64 48`,
    )
  }
  const pem = values.get('JWT_PUBLIC_KEY')
  if (pem !== null && !isPublicKey(pemOf(pem))) {
    faults.push(
      'JWT_PUBLIC_KEY (value hidden) is no public key (RSA of 2048 bits or more, P-256, P-384, P-521, Ed25519): give PEM that begins with -----BEGIN PUBLIC KEY-----, line breaks written as \\n where they must be',
    )
  }
  if (values.get('JWT_JWKS_URL')?.startsWith('http:') && values.get('NODE_ENV') === 'production') {
    warnings.push('JWT_JWKS_URL is http, not https: whoever is on the way can put keys of their own in')
  }
  if (values.get('JWT_AUDIENCE') === null && !values.isSet('JWT_SECRET')) {
    warnings.push('JWT_AUDIENCE is not set: a token that was issued for another service is taken too')
  }
}

/** PEM with real line breaks. */
export function pemOf(text: string): string {
  return text.replaceAll('\\n', '\n')
}

const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1']
/** RFC 7518, section 3.3. */
const MIN_RSA_BITS = 2048

/** SPKI PEM of a kind that tokens are signed with. */
function isPublicKey(pem: string): boolean {
  if (!pem.startsWith('-----BEGIN PUBLIC KEY-----')) return false
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPublicKey(pem)
    if (type === 'rsa') return (details?.modulusLength ?? 0) >= MIN_RSA_BITS
    return type === 'ed25519' || CURVES.includes(details?.namedCurve)
  } catch {
    return false
  }
}

const RULES: readonly Rule[] = [
  drivers,
  network,
  memory,
  storage,
  encryptionByTheStore,
  encryptionByTheService,
  downloadsByLink,
  database,
  redis,
  auth,
]

/** Every rule, on values that each are right by themselves (a refused one counts as its default). */
export function applyRules(values: Values, findings: Findings): void {
  for (const rule of RULES) rule(values, findings)
}
