/** The run: clients that start one after the other, upload until the time is over, and finish what they have begun. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeContents } from './content.js'
import { Figures } from './figures.js'
import { HttpClient } from './http-client.js'
import { Pace } from './pace.js'
import { Upload, UploadFailed } from './upload.js'

/** @import { Options } from './options.js' */
/** @import { Source } from './content.js' */

const PROGRESS_MS = 5000
/** A client whose upload failed does not make things worse. */
const AFTER_FAILURE_MS = 1000

/**
 * What came out, for the report.
 * @typedef {object} Outcome
 * @property {Figures} figures
 * @property {boolean} interrupted
 * @property {number} elapsedMs all of it
 * @property {number} steadyMs in which all clients were there: what latencies and throughput are of
 * @property {number} connections that were opened
 * @property {{ p99DelayMs: number, cpuShare: number, maxRssBytes: number }} generator how busy this process was itself
 */

/** The service cannot be tested at all, or not with these options. */
export class Unusable extends Error {}

export class Run {
  #options
  #client
  #figures = new Figures()
  /** No upload is begun any more. */
  #over = new AbortController()
  /** Everything ends where it stands. */
  #stopped = new AbortController()
  #interrupted = false
  #turn = 0

  /** @param {Options} options */
  constructor(options) {
    this.#options = options
    const { concurrent, timeoutMs, token } = options
    this.#client = new HttpClient({ connections: concurrent, timeoutMs, token })
  }

  /** Ends everything where it stands; `start` then resolves soon, with what there is. */
  interrupt() {
    this.#interrupted = true
    this.#stop()
  }

  /**
   * @param {(line: string) => void} say hears how it goes
   * @returns {Promise<Outcome>}
   * @throws {Unusable}
   */
  async start(say) {
    const { sizes, seed } = this.#options
    await this.#probe()
    const contents = await makeContents(seed, sizes)
    const generator = watchGenerator()
    const clock = this.#startClock(say)
    try {
      await this.#clients(contents)
    } finally {
      this.#stop()
      clock.stop()
      generator.stop()
    }
    return {
      figures: this.#figures,
      interrupted: this.#interrupted,
      connections: this.#client.opened,
      ...clock.figures(),
      generator: generator.figures(),
    }
  }

  #stop() {
    this.#over.abort()
    this.#stopped.abort()
    this.#client.stop()
  }

  /** Is it a tus server, and does it take uploads of these sizes? */
  async #probe() {
    const { url, sizes } = this.#options
    const answer = await this.#client.send({ method: 'OPTIONS', url }).catch((error) => {
      throw new Unusable(`${url} does not answer: ${error.message}`)
    })
    if (answer.headers['tus-version'] === undefined) {
      throw new Unusable(`${url} is no tus 1.0 server: OPTIONS answers ${answer.status} without Tus-Version`)
    }
    const most = Number(answer.headers['tus-max-size'] ?? Number.POSITIVE_INFINITY)
    const tooLarge = sizes.find((size) => size > most)
    if (tooLarge !== undefined) throw new Unusable(`--size=${tooLarge}: the server takes at most ${most} bytes`)
  }

  /** @param {(line: string) => void} say */
  #startClock(say) {
    const { durationMs, rampMs, drainMs } = this.#options
    const startedAt = performance.now()
    const since = () => performance.now() - startedAt
    let steadyFrom = Number.POSITIVE_INFINITY
    let steadyTo = Number.POSITIVE_INFINITY
    const timers = [
      setTimeout(() => {
        steadyFrom = since()
        this.#figures.steady = true
      }, rampMs),
      setTimeout(() => {
        steadyTo = since()
        this.#figures.steady = false
        this.#over.abort()
      }, durationMs),
      setTimeout(() => this.#stop(), durationMs + drainMs),
      setInterval(() => say(this.#progress(since())), PROGRESS_MS),
    ]
    let elapsedMs = 0
    return {
      stop: () => {
        elapsedMs = since()
        for (const timer of timers) clearTimeout(timer)
      },
      figures: () => ({
        elapsedMs,
        steadyMs: Math.max(0, Math.min(elapsedMs, steadyTo) - Math.min(elapsedMs, steadyFrom)),
      }),
    }
  }

  /** @param {readonly (readonly Source[])[]} contents */
  async #clients(contents) {
    const { concurrent, rampMs, perMinute } = this.#options
    const all = Array.from({ length: concurrent }, async (_, n) => {
      const pace = new Pace(perMinute / 60 / concurrent, this.#stopped.signal)
      await this.#pause((n * rampMs) / concurrent)
      while (!this.#over.signal.aborted) await this.#oneUpload(this.#nextOf(contents), pace)
    })
    await Promise.all(all)
  }

  /** @param {readonly (readonly Source[])[]} contents @returns {Source} */
  #nextOf(contents) {
    const turn = this.#turn++
    const sources = contents[turn % contents.length] ?? []
    const source = sources[Math.floor(turn / contents.length) % sources.length]
    if (source === undefined) throw new Error('no content was made')
    return source
  }

  /** @param {Source} source @param {Pace} pace */
  async #oneUpload(source, pace) {
    const figures = this.#figures
    figures.count('uploadsBegun')
    const upload = new Upload(
      {
        client: this.#client,
        figures,
        pace,
        signal: this.#stopped.signal,
        random: Math.random,
        options: this.#options,
      },
      source,
    )
    try {
      await upload.run()
      figures.count('uploadsVerified')
    } catch (error) {
      if (this.#stopped.signal.aborted) {
        figures.count('uploadsUnfinished')
        return
      }
      if (!(error instanceof UploadFailed)) throw error
      figures.count('uploadsFailed')
      await this.#pause(AFTER_FAILURE_MS)
    }
  }

  /** @param {number} ms less, when the time is over */
  async #pause(ms) {
    await sleep(ms, undefined, { signal: this.#over.signal }).catch(() => {})
  }

  /** @param {number} ms */
  #progress(ms) {
    const { uploadsBegun, uploadsVerified, uploadsFailed, acknowledgedBytes, errors } = this.#figures.counts
    const running = uploadsBegun - uploadsVerified - uploadsFailed
    const mb = (acknowledgedBytes / 1e6).toFixed(0)
    return `${(ms / 1000).toFixed(0)} s: ${running} uploads under way, ${uploadsVerified} verified, ${mb} MB taken, ${errors} errors`
  }
}

/** How busy this process is itself: a generator that is late measures itself. */
function watchGenerator() {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  const cpu = process.cpuUsage()
  const startedAt = performance.now()
  let maxRssBytes = process.memoryUsage.rss()
  const timer = setInterval(() => {
    maxRssBytes = Math.max(maxRssBytes, process.memoryUsage.rss())
  }, 500)
  delay.enable()
  let cpuShare = 0
  return {
    stop: () => {
      clearInterval(timer)
      delay.disable()
      const { user, system } = process.cpuUsage(cpu)
      cpuShare = (user + system) / 1000 / (performance.now() - startedAt)
    },
    // The sampling interval itself is part of what the histogram holds.
    figures: () => ({ p99DelayMs: Math.max(0, delay.percentile(99) / 1e6 - 10), cpuShare, maxRssBytes }),
  }
}
