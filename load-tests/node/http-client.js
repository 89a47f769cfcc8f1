import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

const TEXT_KEPT = 64 * 1024

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {import('node:http').IncomingHttpHeaders} headers
 * @property {string} text the body, up to 64 KiB of it; empty when `onData` took it
 * @property {number} ms from the call to the end of the answer, connecting included
 */
/**
 * @typedef {object} Request
 * @property {string} method
 * @property {string} url
 * @property {Readonly<Record<string, string | number>>} [headers]
 * @property {(write: (block: Buffer) => Promise<void>) => Promise<'sent' | 'cut'>} [body] writes the body; 'cut' ends the connection where it stands
 * @property {(data: Buffer) => void} [onData] takes the body of a 2xx answer
 */

/** The connection was ended by ourselves, on purpose, in mid-body. */
export class Cut extends Error {}

/** No answer: `what` is a word for the statistics. */
export class NoAnswer extends Error {
  /** @param {string} what @param {unknown} [cause] */
  constructor(what, cause) {
    super(what, { cause })
    this.what = what
  }
}

/** Raw HTTP over connections that are kept; no client library, so that what is measured is the server. */
export class HttpClient {
  /** Connections that were opened: few, when they are kept. */
  opened = 0
  #stopped = false
  /** @type {Set<import('node:http').ClientRequest>} */
  #inFlight = new Set()

  /** @param {{ connections: number, timeoutMs: number, token: string | undefined }} options */
  constructor({ connections, timeoutMs, token }) {
    /** @type {import('node:http').AgentOptions} */
    const agent = { keepAlive: true, maxFreeSockets: connections, scheduling: 'fifo' }
    this.http = new HttpAgent(agent)
    this.https = new HttpsAgent(agent)
    this.timeoutMs = timeoutMs
    /** @type {Record<string, string>} */
    this.headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  }

  /** Ends every connection; requests in flight, and all that come later, fail as 'stopped'. */
  stop() {
    this.#stopped = true
    for (const req of this.#inFlight) req.destroy(new NoAnswer('stopped'))
    this.http.destroy()
    this.https.destroy()
  }

  /**
   * @param {Request} request
   * @param {() => void} [onStale] is told when a kept connection turned out to have been closed in the meantime; a
   *   request without a body is then sent once more, as every HTTP client does (RFC 9112, 9.3.1)
   * @returns {Promise<Answer>} whatever its status
   * @throws {Cut | NoAnswer}
   */
  async send(request, onStale) {
    const startedAt = performance.now()
    const since = () => performance.now() - startedAt
    const first = this.#start(request)
    try {
      return { ...(await first.answered), ms: since() }
    } catch (error) {
      const stale = error instanceof NoAnswer && error.what === 'ECONNRESET' && first.req.reusedSocket
      if (!stale || request.body !== undefined || onStale === undefined) throw error
      onStale()
      return { ...(await this.#start(request).answered), ms: since() }
    }
  }

  /** @param {Request} request */
  #start({ method, url, headers, body, onData }) {
    if (this.#stopped) throw new NoAnswer('stopped')
    const secure = url.startsWith('https:')
    const req = (secure ? httpsRequest : httpRequest)(url, {
      method,
      agent: secure ? this.https : this.http,
      headers: { ...this.headers, ...headers },
      timeout: this.timeoutMs,
    })
    this.#inFlight.add(req)
    req.on('socket', () => {
      if (!req.reusedSocket) this.opened += 1
    })
    req.on('timeout', () => req.destroy(new NoAnswer('timeout')))
    req.on('close', () => this.#inFlight.delete(req))
    const answered = answerOf(req, onData)
    if (body === undefined) req.end()
    else writeBody(req, body)
    return { req, answered }
  }
}

/**
 * @param {import('node:http').ClientRequest} req @param {Request['onData']} onData
 * @returns {Promise<Omit<Answer, 'ms'>>}
 */
function answerOf(req, onData) {
  return new Promise((resolve, reject) => {
    const fail = (/** @type {Error} */ error) => reject(asNoAnswer(error))
    req.on('error', fail)
    req.on('close', () => fail(new NoAnswer('connection closed')))
    req.on('response', (res) => {
      const status = res.statusCode ?? 0
      // Node takes a HEAD answer without Content-Length for one that ends with its connection, and would close it.
      if (req.method === 'HEAD' && res.headers.connection !== 'close') req.shouldKeepAlive = true
      const takes = status < 300 ? onData : undefined
      let text = ''
      res.on('data', (data) => {
        if (takes !== undefined) takes(data)
        else if (text.length < TEXT_KEPT) text += data.toString('latin1')
      })
      res.on('error', fail)
      res.on('end', () => {
        resolve({ status, headers: res.headers, text })
        // An answer in mid-body: the server has made up its mind, and the rest would only be thrown away.
        if (!req.writableEnded) req.destroy()
      })
    })
  })
}

/** @param {import('node:http').ClientRequest} req @param {NonNullable<Request['body']>} body */
async function writeBody(req, body) {
  try {
    const end = await body((block) => written(req, block))
    if (end === 'sent') req.end()
    else req.destroy(new Cut('cut in mid-body'))
  } catch (error) {
    req.destroy(error instanceof Error ? error : new Error(String(error)))
  }
}

/**
 * Resolves when the kernel took the block, so that memory stays bounded and a cut comes after bytes that left.
 * @param {import('node:http').ClientRequest} req @param {Buffer} block @returns {Promise<void>}
 * @throws {NoAnswer} when the connection is gone
 */
async function written(req, block) {
  if (req.destroyed) throw new NoAnswer('connection closed')
  await new Promise((resolve) => void req.write(block, resolve))
}

/** @param {Error} error */
function asNoAnswer(error) {
  if (error instanceof Cut || error instanceof NoAnswer) return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
  return new NoAnswer(code, error)
}
