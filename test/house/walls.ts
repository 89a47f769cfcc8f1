/**
 * Which room may import which. The table is the one of docs/architecture.md; only imports that remain when the types
 * are stripped count, so the types of ports and words may be used everywhere.
 */
import { posix } from 'node:path'
import { valueImports } from './imports.ts'

/** The words of the engine: plain values and pure functions that every room may speak. */
export const WORDS: readonly string[] = ['errors', 'states', 'id', 'keys', 'crc32'].map(
  (name) => `server/uploads/${name}.ts`,
)

/**
 * Room to what it may import beside itself; `*` is everything. A room is a folder with all below it, `folder/*` only the
 * files that lie in it, or one file; the longest name counts.
 */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  'server/*': ['*'],
  'server/config/': [],
  'server/cluster/': ['server/observability/'],
  'server/errors/': WORDS,
  'server/http/': ['server/uploads/', 'server/auth/', 'server/observability/', 'server/errors/'],
  'server/tus/': ['server/uploads/', 'server/errors/'],
  'server/uploads/': [],
  'server/storage/': WORDS,
  'server/coordination/': WORDS,
  'server/auth/': WORDS,
  'server/observability/': [],
  'hooks/': ['db/', ...WORDS],
  'db/': WORDS,
  'web/': [],
  'load-tests/': [],
  'test/support/': [],
  'test/acceptance/': ['test/support/'],
  'test/integration/': ['*'],
  'test/house/': ['*'],
  'bench/': ['*'],
  'scripts/': ['*'],
  'docs/': [],
}

/** A package to the rooms that may load it. What is not listed may be used everywhere. */
const PACKAGES: readonly (readonly [name: RegExp, rooms: readonly string[], why: string])[] = [
  [/^(pg|kysely|@electric-sql\/pglite)$/, ['db/'], 'SQL lives in db/'],
  [
    /^ioredis$/,
    ['server/coordination/redis/', 'hooks/queue/'],
    'Redis lives in server/coordination/redis/ and hooks/queue/',
  ],
  [/^bullmq$/, ['hooks/queue/'], 'BullMQ lives in hooks/queue/'],
  [/^@aws-sdk\//, ['server/storage/s3/'], 'S3 lives in server/storage/s3/'],
  [/^express$/, ['server/http/'], 'Express lives in server/http/'],
  [/^(@tus\/|srvx$)/, ['server/tus/'], 'the tus dialect lives in server/tus/'],
  [/^jose$/, ['server/auth/'], 'tokens are read in server/auth/'],
  [/^(pino|prom-client)$/, ['server/observability/'], 'logs and metrics are made in server/observability/'],
]

/** Rooms to Node's modules that must not be loaded there. */
const NO_BUILTIN: readonly (readonly [room: string, names: RegExp, why: string])[] = [
  ['server/uploads/', /^node:(http|https|http2|net|fs|fs\/promises)$/, 'the engine knows no transport and no store'],
]

/** Where the environment may be read: programs hand it to the configuration. */
const READS_ENVIRONMENT =
  /^(server\/config\/|server\/main\.ts$|server\/worker\.ts$|scripts\/|test\/|bench\/|load-tests\/)/

/** What users run; it must not need anything that is for tests. */
const SHIPPED = /^(server|hooks|db|web)\//

/** Tests and the contract suites that they share: they also use what is for tests. */
export function isTest(file: string): boolean {
  return file.startsWith('test/') || file.endsWith('.test.ts') || /(^|\/)contract\.ts$|\.contract\.ts$/.test(file)
}

function roomOf(file: string): string | undefined {
  const holds = (room: string): boolean => {
    if (room.endsWith('/')) return file.startsWith(room)
    return file === room || (room.endsWith('/*') && posix.dirname(file) === room.slice(0, -2))
  }
  const rooms = Object.keys(ROOMS).filter(holds)
  return rooms.sort((a, b) => b.length - a.length)[0]
}

/** A program of a room is still in the room: it may import its neighbours, and they it. */
function folderOf(room: string): string {
  return room.endsWith('/') ? room : room.slice(0, room.lastIndexOf('/') + 1)
}

function mayImport(file: string, room: string, path: string): boolean {
  const allowed = ROOMS[room] ?? []
  const places = isTest(file) ? [...allowed, 'test/support/'] : allowed
  if (SHIPPED.test(file) && !isTest(file) && path.startsWith('test/')) return false
  if (path.startsWith(folderOf(room)) || places.includes('*')) return true
  return places.some((place) => path === place || (place.endsWith('/') && path.startsWith(place)))
}

function packageFaults(file: string, name: string): string[] {
  if (isTest(file) || /^(scripts|bench|load-tests|web)\//.test(file)) return []
  const places = PACKAGES.find(([pattern]) => pattern.test(name))
  const faults: string[] = []
  if (places !== undefined && !places[1].some((room) => file.startsWith(room))) {
    faults.push(`${file} loads ${name}: ${places[2]}`)
  }
  for (const [room, names, why] of NO_BUILTIN) {
    if (file.startsWith(room) && names.test(name)) faults.push(`${file} loads ${name}: ${why}`)
  }
  return faults
}

/** Everything in a file that goes through a wall, one sentence each; empty when there is nothing. */
export function breaches(file: string, source: string): string[] {
  const room = roomOf(file)
  if (room === undefined) return file.includes('/') ? [`${file} is in no room: add its folder to the table`] : []
  const faults = valueImports(file, source).flatMap((one) => {
    if (one.package !== undefined) return packageFaults(file, one.package)
    if (one.path === undefined || mayImport(file, room, one.path)) return []
    return [`${file} imports ${one.path}: ${room} may import ${(ROOMS[room] ?? []).join(', ') || 'nothing of ours'}`]
  })
  const code = source.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '')
  if (/\bprocess\.env\b/.test(code) && !READS_ENVIRONMENT.test(file) && !isTest(file)) {
    faults.push(`${file} reads process.env: take an option instead, and let server/config read it`)
  }
  if (/(^|[^.\w])sql(<[^>`]*>)?`/m.test(code) && !file.startsWith('db/') && !isTest(file)) {
    faults.push(`${file} holds SQL: it belongs in db/`)
  }
  return faults
}
