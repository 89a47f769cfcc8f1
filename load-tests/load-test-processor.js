/**
 * What a virtual user of load-test.yml does: artillery brings the users, counts and judges; the uploads are those of the
 * Node load test (node/upload.js), since artillery's own HTTP engine neither cuts a body nor hashes a download.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { makeContents } from './node/content.js'
import { HttpClient } from './node/http-client.js'
import { readOptions } from './node/options.js'
import { Pace } from './node/pace.js'
import { Upload, UploadFailed } from './node/upload.js'

/** @import { Recorder } from './node/figures.js' */
/** @typedef {{ emit: (kind: 'counter' | 'histogram', name: string, value: number) => void }} Metrics */
/** @typedef {{ vars: Readonly<Record<string, unknown>> }} User */

const AFTER_FAILURE_MS = 1000
const startedAt = Date.now()
/** Users of one worker share connections and content. @type {ReturnType<typeof prepare> | undefined} */
let prepared

/**
 * Uploads, one after the other, until `duration` seconds after the start.
 * @param {User} user @param {Metrics} metrics
 */
export async function uploadUntilOver(user, metrics) {
  prepared ??= prepare(user)
  const { options, client, contents } = await prepared
  const { signal } = new AbortController()
  const figures = recorderTo(metrics)
  const pace = new Pace(options.perMinute / 60 / options.concurrent, signal)
  while (Date.now() < startedAt + options.durationMs) {
    const sources = contents[Math.floor(Math.random() * contents.length)] ?? []
    const source = sources[Math.floor(Math.random() * sources.length)]
    if (source === undefined) throw new Error('no content was made')
    try {
      await new Upload({ client, figures, pace, signal, random: Math.random, options }, source).run()
      figures.count('uploadsVerified')
    } catch (error) {
      if (!(error instanceof UploadFailed)) throw error
      figures.count('uploadsFailed')
      await sleep(AFTER_FAILURE_MS)
    }
  }
}

/** @param {User} user the variables of load-test.yml; they are named as the options of load-test.js */
async function prepare({ vars }) {
  const names = ['concurrent', 'duration', 'size', 'chunk', 'per-minute', 'cuts', 'verify', 'timeout', 'keep', 'seed']
  const args = names.filter((name) => vars[name] !== undefined).map((name) => `--${name}=${vars[name]}`)
  const { options, faults } = readOptions([`--url=${vars.target}`, ...args], process.env)
  if (options === undefined) throw new Error(faults.join('\n'))
  const client = new HttpClient({ connections: options.concurrent, ...options })
  return { options, client, contents: await makeContents(options.seed, options.sizes) }
}

/** @param {Metrics} metrics @returns {Recorder} */
function recorderTo(metrics) {
  // A threshold on a counter that was never moved would be unknown, not kept.
  for (const name of ['errors', 'wrongContents', 'uploadsFailed']) metrics.emit('counter', `tus.${name}`, 0)
  return {
    latency: (operation, ms) => metrics.emit('histogram', `tus.${operation.replaceAll(' ', '_')}`, ms),
    acknowledged: (bytes) => metrics.emit('counter', 'tus.acknowledgedBytes', bytes),
    count: (counter) => metrics.emit('counter', `tus.${counter}`, 1),
    error: (what) => {
      metrics.emit('counter', 'tus.errors', 1)
      metrics.emit('counter', `tus.error.${what.replaceAll(/\W+/g, '_')}`, 1)
    },
  }
}
