/** What can be said on the command line, each once: name, default, how it is read, what it means. */

const UPLOADS = '/api/v1/uploads'
const UNITS = { '': 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 }

/**
 * @typedef {object} Options
 * @property {string} url the collection that creations go to
 * @property {number} concurrent clients, each with one upload at a time
 * @property {number} durationMs from the first request to the last upload that is begun, ramp included
 * @property {number} rampMs clients start one after the other for so long; what happens then is warm-up
 * @property {number} drainMs uploads that were begun in time may end for so long
 * @property {number[]} sizes bytes of an upload; they take turns
 * @property {number} chunk bytes of a PATCH
 * @property {number} perMinute bytes that all clients together send in a minute; 0 is as fast as they can
 * @property {number} cuts share of PATCHes that are cut in mid-body
 * @property {readonly ('download' | 'info')[]} verify where the hash of a finished upload is taken from
 * @property {number} timeoutMs a request is given up when nothing moved for so long
 * @property {number} maxMetadataMs threshold of POST, HEAD and info, at p95
 * @property {number} maxErrors threshold of failed requests and uploads, as a share
 * @property {boolean} keep finished uploads are left where they are
 * @property {string} seed same seed, same bytes
 * @property {string | undefined} token sent as a bearer token
 * @property {string | undefined} json file for the report
 */

/** @typedef {{ name: string, value: string, help: string, read: (value: string) => unknown }} Known */

/** @param {string} text such as 8MiB, 10GB or 1048576 */
function bytes(text) {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? []
  const factor = new Map(Object.entries(UNITS)).get((unit ?? '').toLowerCase())
  if (digits === undefined || factor === undefined) throw new Error('a number of bytes such as 1048576, 8MiB or 10GB')
  return Math.round(Number(digits) * factor)
}

/** @param {(value: number) => boolean} holds @param {string} what */
const number = (holds, what) => (/** @type {string} */ text) => {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || !holds(value)) throw new Error(what)
  return value
}
const seconds = number((value) => value >= 0, 'a number of seconds')
const milliseconds = (/** @type {string} */ text) => seconds(text) * 1000

/** @param {string} text */
function atLeastOneByte(text) {
  const value = bytes(text)
  if (value < 1) throw new Error('at least one byte')
  return value
}

/** @param {string} text an address; without a path it gets the service's */
function collection(text) {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw new Error('an address such as http://127.0.0.1:3005')
  if (url.pathname === '/') url.pathname = UPLOADS
  return url.href.replace(/\/$/, '')
}

/** @param {string} text */
function verification(text) {
  if (text === 'both') return ['download', 'info']
  if (text !== 'download' && text !== 'info') throw new Error('download, info or both')
  return [text]
}

/** @param {string} text */
function yesNo(text) {
  if (text !== 'true' && text !== 'false') throw new Error('true or false')
  return text === 'true'
}

/** @param {string} text */
const word = (text) => (text === '' ? undefined : text)

/** @type {Readonly<Record<keyof Options, Known>>} */
const KNOWN = {
  url: { name: 'url', value: 'http://127.0.0.1:3005', help: 'the service', read: collection },
  concurrent: {
    name: 'concurrent',
    value: '20',
    help: 'clients, each with one upload at a time',
    read: number((value) => Number.isInteger(value) && value > 0, 'a whole number above 0'),
  },
  durationMs: {
    name: 'duration',
    value: '60',
    help: 'seconds in which uploads are begun',
    read: number((value) => value > 0 && value <= 86_400, 'seconds, above 0 and at most 86400'),
  },
  rampMs: { name: 'ramp', value: '', help: 'seconds in which clients start (a tenth of the duration)', read: word },
  drainMs: {
    name: 'drain',
    value: '90',
    help: 'seconds that uploads get to end afterwards',
    read: milliseconds,
  },
  sizes: {
    name: 'size',
    value: '8MiB',
    help: 'bytes of an upload; several, with commas, take turns',
    read: (text) => text.split(',').map((one) => atLeastOneByte(one.trim())),
  },
  chunk: { name: 'chunk', value: '1MiB', help: 'bytes of a PATCH', read: atLeastOneByte },
  perMinute: {
    name: 'per-minute',
    value: '10GB',
    help: 'bytes that all clients together send in a minute; 0: as fast as they can',
    read: bytes,
  },
  cuts: {
    name: 'cuts',
    value: '0.05',
    help: 'share of PATCHes that are cut in mid-body',
    read: number((value) => value >= 0 && value <= 0.9, 'a share from 0 to 0.9'),
  },
  verify: {
    name: 'verify',
    value: 'download',
    help: 'where the hash of a finished upload comes from: download, info or both',
    read: verification,
  },
  timeoutMs: {
    name: 'timeout',
    value: '30',
    help: 'seconds without a byte after which a request has failed',
    read: milliseconds,
  },
  maxMetadataMs: {
    name: 'max-metadata-ms',
    value: '200',
    help: 'threshold: p95 of POST, HEAD and info, each',
    read: number((value) => value > 0, 'milliseconds above 0'),
  },
  maxErrors: {
    name: 'max-errors',
    value: '0.001',
    help: 'threshold: share of failed requests, and of failed uploads',
    read: number((value) => value > 0 && value <= 1, 'a share above 0 and at most 1'),
  },
  keep: { name: 'keep', value: 'false', help: 'leave finished uploads where they are', read: yesNo },
  seed: { name: 'seed', value: 'load-test', help: 'same seed, same bytes', read: (text) => text },
  token: { name: 'token', value: '', help: 'bearer token; also by the variable UPLOAD_TOKEN', read: word },
  json: { name: 'json', value: '', help: 'a file for the report as JSON', read: word },
}

/** The text of `--help`. */
export function help() {
  const lines = Object.values(KNOWN).map(({ name, value, help: says }) => {
    return `  ${`--${name}=${value}`.padEnd(34)}${says}`
  })
  return ['node load-tests/load-test.js [--name=value ...], by default', ...lines].join('\n')
}

/**
 * @param {readonly string[]} args as in `process.argv.slice(2)`
 * @param {Readonly<Record<string, string | undefined>>} env
 * @returns {{ options: Options, faults: readonly [] } | { options: undefined, faults: readonly string[] }} every fault, in a sentence each
 */
export function readOptions(args, env = {}) {
  /** @type {Map<string, string>} */
  const given = new Map()
  /** @type {string[]} */
  const faults = []
  const names = new Set(Object.values(KNOWN).map(({ name }) => name))
  if (env.UPLOAD_TOKEN) given.set('token', env.UPLOAD_TOKEN)
  for (const arg of args) {
    const [, name = '', , value] = /^--([a-z-]+)(=(.*))?$/s.exec(arg) ?? []
    if (!names.has(name)) faults.push(`${arg}: not known; --help lists what is`)
    else given.set(name, value ?? 'true')
  }
  /** @type {Record<string, unknown>} */
  const read = {}
  for (const [key, known] of Object.entries(KNOWN)) {
    const text = given.get(known.name) ?? known.value
    try {
      read[key] = known.read(text)
    } catch (error) {
      faults.push(`--${known.name}=${text}: expected ${error instanceof Error ? error.message : error}`)
    }
  }
  const durationMs = Number(read.durationMs) * 1000
  const rampMs = read.rampMs === undefined ? durationMs / 10 : Number(read.rampMs) * 1000
  if (faults.length === 0 && !(rampMs >= 0 && rampMs < durationMs)) {
    faults.push(`--ramp=${read.rampMs}: expected seconds, fewer than the duration`)
  }
  if (faults.length > 0) return { options: undefined, faults }
  return { options: /** @type {Options} */ ({ ...read, durationMs, rampMs }), faults: [] }
}
