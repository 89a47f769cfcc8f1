/**
 * One upload, from its creation to the check of its content, as a careful tus client does it: after anything that went
 * wrong it asks with HEAD and goes on from there. On the way it holds the server to what it said: an offset that was
 * acknowledged never goes back, and none is beyond what was sent.
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cut, NoAnswer } from './http-client.js'

/** @import { Answer, HttpClient, Request } from './http-client.js' */
/** @import { Operation, Recorder } from './figures.js' */
/** @import { Pace } from './pace.js' */
/** @import { Source } from './content.js' */

const TUS = { 'tus-resumable': '1.0.0' }
const BYTES = { ...TUS, 'content-type': 'application/offset+octet-stream' }
const ATTEMPTS = 5
/** As long as tus-js-client's default retries go on. */
const BUSY_MS = 84_000
const WAIT_MS = 1000
const LONGEST_WAIT_MS = 10_000

/** The upload cannot go on; what is wrong has been counted. */
export class UploadFailed extends Error {}

/**
 * @typedef {object} Tools
 * @property {HttpClient} client
 * @property {Recorder} figures
 * @property {Pace} pace
 * @property {AbortSignal} signal
 * @property {() => number} random from 0 to below 1
 * @property {Pick<import('./options.js').Options, 'url' | 'chunk' | 'cuts' | 'verify' | 'keep'>} options
 */

export class Upload {
  #tools
  #source
  #url = ''
  /** What the server has acknowledged. */
  #offset = 0
  /** Something broke this upload's last PATCH: the server may still be busy with it. */
  #broken = false
  /** A 409 since the last break: a second one is an error. */
  #excused = false
  /** Where the bytes end that were sent in any request. */
  #sent = 0
  /** Errors since the last progress. */
  #failures = 0

  /** @param {Tools} tools @param {Source} source */
  constructor(tools, source) {
    this.#tools = tools
    this.#source = source
  }

  /** @throws {UploadFailed} */
  async run() {
    await this.#create()
    while (this.#offset < this.#source.size) await this.#append()
    await this.#checkOffset()
    await this.#checkInfo()
    if (this.#tools.options.verify.includes('download')) await this.#download()
    if (!this.#tools.options.keep) await this.#remove()
  }

  async #create() {
    const { options, random } = this.#tools
    const filename = Buffer.from(`load-test-${Math.floor(random() * 1e9)}.bin`).toString('base64')
    const headers = { ...TUS, 'upload-length': this.#source.size, 'upload-metadata': `filename ${filename}` }
    const answer = await this.#retried('POST', { method: 'POST', url: options.url, headers }, 201)
    const { location } = answer.headers
    if (location === undefined) throw this.#failed('POST: no Location', 'a creation names the upload')
    this.#url = new URL(location, options.url).href
  }

  async #append() {
    const { options, figures, random } = this.#tools
    const from = this.#offset
    const to = Math.min(from + options.chunk, this.#source.size)
    const cut = to - from > 1 && random() < options.cuts
    const end = cut ? from + 1 + Math.floor(random() * (to - from - 1)) : to
    try {
      const answer = await this.#send('PATCH', this.#patch(from, to, end))
      if (answer.status === 204) {
        const offset = Number(answer.headers['upload-offset'] ?? Number.NaN)
        if (offset !== to) throw this.#failed('PATCH: wrong Upload-Offset', `${offset} after bytes ${from} to ${to}`)
        figures.acknowledged(to - from)
        this.#offset = to
        this.#broken = false
        this.#excused = false
        this.#failures = 0
        return
      }
      // What the broken request had sent may still arrive after the HEAD: 409 then, and the client asks again.
      const late = answer.status === 409 && !this.#excused
      if (late) this.#excused = true
      if ((answer.status === 423 || late) && this.#broken) figures.count('busy')
      else this.#count('PATCH', answer)
      await this.#wait(answer)
    } catch (error) {
      if (error instanceof Cut) figures.count('cuts')
      else if (!(error instanceof NoAnswer)) throw error
    }
    this.#broken = true
    this.#sent = Math.max(this.#sent, end)
    await this.#resume()
  }

  /** @param {number} from @param {number} to @param {number} end where it is cut @returns {Request} */
  #patch(from, to, end) {
    const { pace } = this.#tools
    const headers = { ...BYTES, 'upload-offset': from, 'content-length': to - from }
    return {
      method: 'PATCH',
      url: this.#url,
      headers,
      body: async (write) => {
        for (const block of this.#source.blocks(from, end)) {
          for (let at = 0; at < block.length; at += pace.step) {
            const piece = block.subarray(at, at + pace.step)
            await pace.allow(piece.length)
            await write(piece)
          }
        }
        return end === to ? 'sent' : 'cut'
      },
    }
  }

  async #resume() {
    const sent = this.#sent
    const { figures } = this.#tools
    const answer = await this.#retried('HEAD after a break', { method: 'HEAD', url: this.#url, headers: TUS }, 200)
    const offset = Number(answer.headers['upload-offset'] ?? Number.NaN)
    if (!(offset >= this.#offset && offset <= sent)) {
      const lost = offset < this.#offset ? 'HEAD: acknowledged bytes are gone' : 'HEAD: more bytes than were sent'
      throw this.#failed(lost, `${offset}; acknowledged ${this.#offset}, sent up to ${sent}`)
    }
    figures.acknowledged(offset - this.#offset)
    if (offset > this.#offset) this.#failures = 0
    this.#offset = offset
  }

  async #checkOffset() {
    const answer = await this.#retried('HEAD', { method: 'HEAD', url: this.#url, headers: TUS }, 200)
    const said = `${answer.headers['upload-offset']} of ${answer.headers['upload-length']}`
    const size = this.#source.size
    if (said !== `${size} of ${size}`) throw this.#failed('HEAD: a whole upload is not whole', `${said}, sent ${size}`)
  }

  async #checkInfo() {
    const { options } = this.#tools
    const until = performance.now() + BUSY_MS
    for (;;) {
      const answer = await this.#retried('info', { method: 'GET', url: `${this.#url}/info` }, 200)
      const { length, sha256 } = recordIn(answer.text)
      if (length !== this.#source.size) throw this.#failed('info: wrong length', `${length}, sent ${this.#source.size}`)
      if (!options.verify.includes('info')) return
      if (typeof sha256 === 'string') return this.#compare('info', sha256)
      if (performance.now() > until) throw this.#failed('info: no sha256', `for ${BUSY_MS / 1000} s`)
      await this.#pause(WAIT_MS)
    }
  }

  async #download() {
    /** @type {import('node:crypto').Hash} */
    let hash = createHash('sha256')
    const answer = await this.#retried(
      'download',
      () => {
        hash = createHash('sha256')
        return { method: 'GET', url: this.#url, onData: (data) => void hash.update(data) }
      },
      200,
    )
    this.#compare('download', hash.digest('hex'), answer)
  }

  async #remove() {
    await this.#retried('DELETE', { method: 'DELETE', url: this.#url, headers: TUS }, 204)
  }

  /** @param {string} where @param {string} sha256 @param {Answer} [answer] */
  #compare(where, sha256, answer) {
    if (sha256 === this.#source.sha256) return
    this.#tools.figures.count('wrongContents')
    const bytes = answer === undefined ? '' : `, Content-Length ${answer.headers['content-length']}`
    throw this.#failed(`${where}: wrong content`, `SHA-256 ${sha256}, sent ${this.#source.sha256}${bytes}`)
  }

  /**
   * Until the status is the one that is expected. An upload that is busy after a break is waited for, as the protocol
   * has it; everything else is an error, and five without progress end the upload.
   * @param {Operation} operation @param {Request | (() => Request)} request @param {number} expected status
   */
  async #retried(operation, request, expected) {
    const busyUntil = performance.now() + BUSY_MS
    for (;;) {
      /** @type {Answer | undefined} */
      let answer
      try {
        answer = await this.#send(operation, typeof request === 'function' ? request() : request)
        if (answer.status === expected) {
          // HEAD alone is no progress: a PATCH that always fails must not be tried for ever.
          if (operation !== 'HEAD after a break') this.#failures = 0
          return answer
        }
        if (this.#mayBeBusy(operation, answer)) {
          this.#tools.figures.count('busy')
          if (performance.now() > busyUntil) throw this.#failed(`${operation}: busy`, `for ${BUSY_MS / 1000} s`)
        } else this.#count(operation, answer)
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error
      }
      await this.#wait(answer)
    }
  }

  /** @param {Operation} operation @param {Answer} answer */
  #mayBeBusy(operation, { status, headers }) {
    if (operation === 'HEAD after a break') return status === 423
    return operation === 'download' && status === 409 && headers['retry-after'] !== undefined // still processed
  }

  /** @param {Operation} operation @param {Request} request @returns {Promise<Answer>} */
  async #send(operation, request) {
    const { client, figures } = this.#tools
    figures.count('requests')
    try {
      const answer = await client.send(request, () => {
        figures.count('staleConnections')
      })
      if (answer.status < 300) figures.latency(operation, answer.ms)
      return answer
    } catch (error) {
      if (error instanceof NoAnswer) {
        if (error.what === 'stopped') throw new UploadFailed('stopped')
        this.#broke(`${operation}: ${error.what}`, `${request.method} ${request.url}`)
      }
      throw error
    }
  }

  /** @param {Operation} operation @param {Answer} answer */
  #count(operation, { status, text, headers }) {
    const code = /^[a-z_]{3,40}\b/.exec(text)?.[0] ?? /"code":\s*"([a-z_]{3,40})"/.exec(text)?.[1] ?? ''
    const detail = `${this.#url} ${text.slice(0, 200)} (request ${headers['x-request-id'] ?? 'without an id'})`
    this.#broke(`${operation}: ${status} ${code}`.trimEnd(), detail)
  }

  /** @param {string} what @param {string} detail */
  #broke(what, detail) {
    this.#tools.figures.error(what, detail)
    this.#failures += 1
    if (this.#failures >= ATTEMPTS) throw new UploadFailed(what)
  }

  /** @param {string} what @param {string} detail */
  #failed(what, detail) {
    this.#tools.figures.error(what, `${this.#url} ${detail}`)
    return new UploadFailed(what)
  }

  /** @param {Answer | undefined} answer */
  async #wait(answer) {
    const asked = Number(answer?.headers['retry-after'] ?? Number.NaN) * 1000
    await this.#pause(Number.isFinite(asked) ? Math.min(asked, LONGEST_WAIT_MS) : WAIT_MS)
  }

  /** @param {number} ms */
  async #pause(ms) {
    await sleep(ms, undefined, { signal: this.#tools.signal })
  }
}

/** @param {string} text @returns {{ length?: unknown, sha256?: unknown }} */
function recordIn(text) {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
