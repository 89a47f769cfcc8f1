/**
 * Load by k6 (https://k6.io, a program of its own), over the public API alone:
 *
 *     k6 run -e URL=https://uploads.example.com -e CONCURRENT=1000 -e DURATION=300 load-tests/performance-test.js
 *
 * Real tus: creations, PATCHes with offsets, cuts in mid-body with HEAD and resumption, SHA-256 of what is downloaded.
 * Variables, as those of load-test.js: URL, TOKEN, CONCURRENT (20), DURATION (60, seconds), RAMP (a tenth of it),
 * SIZE and CHUNK (bytes: 2097152, 262144), PER_MINUTE (bytes of all together: 1e10; 0 is as fast as they can), CUTS
 * (0.05), MAX_METADATA_MS (200). Each virtual user holds its own content, so memory grows with CONCURRENT times SIZE.
 */
import { sleep } from 'k6'
import crypto from 'k6/crypto'
import http from 'k6/http'
import { Counter, Rate, Trend } from 'k6/metrics'

/** @import { Response, Params } from 'k6/http' */

const UPLOADS = '/api/v1/uploads'
const ATTEMPTS = 5
const BUSY_ATTEMPTS = 84

const settings = settingsOf(__ENV)
const durations = new Trend('operation_ms', true)
const resuming = new Trend('head_after_a_break_ms', true)
const requestErrors = new Rate('request_errors')
const uploadErrors = new Rate('upload_errors')
const wrongContents = new Counter('wrong_contents')
const verified = new Counter('uploads_verified')
const acknowledged = new Counter('acknowledged_bytes')
const cuts = new Counter('cuts')

export const options = {
  scenarios: {
    uploads: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: `${settings.ramp}s`, target: settings.concurrent },
        { duration: `${settings.duration - settings.ramp}s`, target: settings.concurrent },
      ],
      gracefulStop: '90s',
    },
  },
  thresholds: {
    'operation_ms{operation:POST}': [`p(95)<${settings.maxMetadataMs}`],
    'operation_ms{operation:HEAD}': [`p(95)<${settings.maxMetadataMs}`],
    'operation_ms{operation:info}': [`p(95)<${settings.maxMetadataMs}`],
    request_errors: ['rate<0.001'],
    upload_errors: ['rate<0.001'],
    wrong_contents: ['count<1'],
    uploads_verified: ['count>0'],
  },
}

/** @param {Readonly<Record<string, string | undefined>>} env */
export function settingsOf(env) {
  const given = (/** @type {string} */ name, /** @type {number} */ otherwise) => {
    const value = Number(env[name] ?? otherwise)
    if (!(value >= 0)) throw new Error(`${name}=${env[name]}: expected a number`)
    return value
  }
  const url = (env.URL ?? 'http://127.0.0.1:3005').replace(/\/+$/, '')
  const duration = given('DURATION', 60)
  return {
    url: /^https?:\/\/[^/]+$/.test(url) ? url + UPLOADS : url,
    token: env.TOKEN,
    concurrent: given('CONCURRENT', 20),
    duration,
    ramp: given('RAMP', Math.round(duration / 10)),
    size: given('SIZE', 2 * 1024 * 1024),
    chunk: given('CHUNK', 256 * 1024),
    perMinute: given('PER_MINUTE', 1e10),
    cuts: given('CUTS', 0.05),
    maxMetadataMs: given('MAX_METADATA_MS', 200),
  }
}

/** Seeded bytes (xorshift32): k6 has no fast source of them. @param {number} seed @param {number} length */
export function contentOf(seed, length) {
  const bytes = new Uint8Array(length)
  let state = seed * 2654435761 + 1
  for (let at = 0; at < length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = state
  }
  return bytes.buffer
}

/** @param {string} base @param {string} location absolute, or relative to the collection @returns {string} */
export function resolved(base, location) {
  if (/^https?:\/\//.test(location)) return location
  const origin = /^https?:\/\/[^/]+/.exec(base)?.[0] ?? ''
  return location.startsWith('/') ? origin + location : `${base.slice(0, base.lastIndexOf('/') + 1)}${location}`
}

/** One content a virtual user, made at its first upload. @type {{ bytes: ArrayBuffer, sha256: string } | undefined} */
let content

/** One upload of one virtual user. */
export default function upload() {
  if (content === undefined) {
    const bytes = contentOf(Math.floor(Math.random() * 2 ** 31), settings.size)
    content = { bytes, sha256: crypto.sha256(bytes, 'hex') }
  }
  const fine = uploadAndCompare(content)
  uploadErrors.add(!fine)
  if (fine) verified.add(1)
  else sleep(1)
}

/** @param {{ bytes: ArrayBuffer, sha256: string }} content @returns {boolean} all of it arrived, and nothing else */
function uploadAndCompare({ bytes, sha256 }) {
  const created = retried('POST', 201, () => http.post(settings.url, null, { headers: create(bytes.byteLength) }))
  const location = created?.headers.Location
  if (created === null || location === undefined) return false
  const url = resolved(settings.url, location)
  if (!sendAll(url, bytes)) return false
  const head = retried('HEAD', 200, () => http.head(url, { headers: tus() }))
  if (head === null || !holds(Number(head.headers['Upload-Offset']) === bytes.byteLength)) return false
  const info = retried('info', 200, () => http.get(`${url}/info`, { headers: authorized(), responseType: 'text' }))
  if (info === null || !holds(lengthIn(info) === bytes.byteLength)) return false
  const file = retried('download', 200, () => http.get(url, { headers: authorized(), responseType: 'binary' }))
  if (file === null) return false
  const same = file.body !== null && crypto.sha256(file.body, 'hex') === sha256
  if (!holds(same)) wrongContents.add(1)
  return same && retried('DELETE', 204, () => http.del(url, null, { headers: tus() })) !== null
}

/** @param {string} url @param {ArrayBuffer} bytes @returns {boolean} */
function sendAll(url, bytes) {
  let offset = 0
  let withoutProgress = 0
  let broken = false
  // What a broken request had sent may still arrive after the HEAD: one 409 then is no error.
  let excused = false
  while (offset < bytes.byteLength) {
    if (withoutProgress >= ATTEMPTS) return false
    const to = Math.min(offset + settings.chunk, bytes.byteLength)
    const cut = Math.random() < settings.cuts
    const answer = http.patch(url, bytes.slice(offset, to), patch(offset, cut))
    if (answer.status === 204) {
      requestErrors.add(false)
      if (!holds(Number(answer.headers['Upload-Offset']) === to)) return false
      acknowledged.add(to - offset)
      pause(to - offset)
      offset = to
      withoutProgress = 0
      broken = false
      excused = false
      continue
    }
    if (cut && answer.status === 0) cuts.add(1)
    else if (broken && answer.status === 423) sleep(1)
    else if (broken && answer.status === 409 && !excused) excused = true
    else {
      requestErrors.add(true, { what: `PATCH ${answer.status} ${answer.error}` })
      withoutProgress += 1
    }
    broken = true
    const stored = offsetAfterABreak(url)
    if (stored === null || !holds(stored >= offset && stored <= to)) return false
    acknowledged.add(stored - offset)
    offset = stored
  }
  return true
}

/** k6 cannot end a body itself: a time limit too short for the whole chunk does. @param {number} offset @param {boolean} cut @returns {Params} */
function patch(offset, cut) {
  const headers = { ...tus(), 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': String(offset) }
  return { headers, timeout: cut ? `${1 + Math.floor(Math.random() * 10)}ms` : '60s', tags: { cut: String(cut) } }
}

/** @param {string} url @returns {number | null} */
function offsetAfterABreak(url) {
  const answer = retried('HEAD after a break', 200, () => http.head(url, { headers: tus() }))
  return answer === null ? null : Number(answer.headers['Upload-Offset'])
}

/**
 * @param {string} operation @param {number} expected status @param {() => Response} send
 * @returns {Response | null} null after five failures
 */
function retried(operation, expected, send) {
  let failures = 0
  for (let attempt = 0; attempt < BUSY_ATTEMPTS && failures < ATTEMPTS; attempt++) {
    const answer = send()
    if (answer.status === expected) {
      requestErrors.add(false)
      if (operation === 'HEAD after a break') resuming.add(answer.timings.duration)
      else durations.add(answer.timings.duration, { operation })
      return answer
    }
    // An upload that is busy after a break, or still being processed, is waited for.
    const busy =
      operation === 'HEAD after a break' ? answer.status === 423 : operation === 'download' && answer.status === 409
    requestErrors.add(!busy, busy ? {} : { what: `${operation} ${answer.status} ${answer.error}` })
    if (!busy) failures += 1
    sleep(1)
  }
  return null
}

/** Counts a broken promise of the server as a failed request. @param {boolean} promise @returns {boolean} the same */
function holds(promise) {
  if (!promise) requestErrors.add(true, { what: 'wrong answer' })
  return promise
}

/** @param {Response} info @returns {unknown} */
function lengthIn(info) {
  try {
    return JSON.parse(String(info.body)).length
  } catch {
    return undefined
  }
}

/** So that all together send what was asked for, and no more. @param {number} bytes that were sent */
function pause(bytes) {
  if (settings.perMinute > 0) sleep((bytes * settings.concurrent * 60) / settings.perMinute)
}

function authorized() {
  return settings.token === undefined ? {} : { Authorization: `Bearer ${settings.token}` }
}

function tus() {
  return { ...authorized(), 'Tus-Resumable': '1.0.0' }
}

/** @param {number} length */
function create(length) {
  return { ...tus(), 'Upload-Length': String(length), 'Upload-Metadata': 'filename bG9hZC10ZXN0LmJpbg==' }
}
