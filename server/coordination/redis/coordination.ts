import { randomBytes } from 'node:crypto'
import { UploadError } from '../../uploads/errors.ts'
import type { Coordination, Kept, Message, Peek, Session, Taken } from '../../uploads/ports/coordination.ts'
import type { Part, UploadId } from '../../uploads/words.ts'
import { Channel } from './channel.ts'
import { createRedisClient } from './client.ts'
import {
  decodeKept,
  decodeMessage,
  decodeParts,
  decodePeek,
  decodeSaved,
  decodeTaken,
  encodeMessage,
  encodeParts,
  encodeSession,
} from './codec.ts'
import { assertNoEviction, EvictingRedis } from './policy.ts'
import { RedisPool } from './pool.ts'
import { runScript, runScripts, type Script } from './script.ts'
import { DROP, PARTS, PEEK, RELEASE, RENEW, SAVE, TAKE } from './scripts.ts'
import { describeTarget, parseRedisUrl } from './url.ts'

export interface RedisCoordinationOptions {
  readonly url: string
  /** PEM of the authorities that a `rediss` URL trusts. Default: Node's own. */
  readonly ca?: string | undefined
  /** Every key and channel begins with it: REDIS_PREFIX. */
  readonly prefix: string
  /** Command connections: kept open, and at most. REDIS_POOL_MIN, REDIS_POOL_MAX. */
  readonly poolMin: number
  readonly poolMax: number
  /** Default: random. */
  readonly instance?: string
  /** How long a session outlives its last change. Default 8 days: longer than an upload may rest. */
  readonly sessionTtlMs?: number
  /** A call without an answer by then is `coordination_unavailable`. Default 1000. */
  readonly deadlineMs?: number
  /** A connection above poolMin closes after so long without a call. Default 30,000. */
  readonly idleMs?: number
  /** How often the message channel proves to itself that it is heard. Default 2000. */
  readonly beatMs?: number
  /** Redis became reachable, or unreachable (with the reason). For the log. */
  readonly onState?: (state: 'up' | 'down', cause: Error | null) => void
  /** A message handler threw. It never breaks the channel. */
  readonly onError?: (error: unknown) => void
}

export interface RedisCoordination extends Coordination {
  /**
   * `unknown`: this Redis does not say. Throws EvictingRedis when it may evict holds, and `coordination_unavailable`
   * while it is away (ask again then).
   */
  checkPolicy(): Promise<'ok' | 'unknown'>
  /** Command connections that are ready, and how many have a call under way. */
  connections(): { open: number; busy: number }
}

const DAY_MS = 86_400_000
const RENEW_BATCH = 256

/**
 * Holds and sessions in Redis. Resolves when poolMin connections are ready, or after one deadline without: Redis may be
 * away at the start and at any time later; calls fail with `coordination_unavailable` until it is back.
 */
export async function createRedisCoordination(options: RedisCoordinationOptions): Promise<RedisCoordination> {
  const coordination = new RedisDriver(options)
  await coordination.settled()
  return coordination
}

class RedisDriver implements RedisCoordination {
  readonly instance: string
  readonly #options: RedisCoordinationOptions
  readonly #pool: RedisPool
  readonly #ttl: string
  readonly #deadlineMs: number
  readonly #sharded: boolean
  readonly #subscribe: () => ReturnType<typeof createRedisClient>
  #channel: Channel | null = null
  #saves = 0

  constructor(options: RedisCoordinationOptions) {
    this.#options = options
    this.instance = options.instance ?? randomBytes(8).toString('hex')
    this.#ttl = String(options.sessionTtlMs ?? 8 * DAY_MS)
    this.#deadlineMs = options.deadlineMs ?? 1000
    const target = parseRedisUrl(options.url)
    this.#sharded = target.kind === 'cluster'
    const open = (use: 'commands' | 'subscriber') =>
      createRedisClient(target, { name: `${options.prefix}:${this.instance}:${use}`, use, ca: options.ca })
    this.#subscribe = () => open('subscriber')
    this.#pool = new RedisPool({
      open: () => open('commands'),
      min: options.poolMin,
      max: options.poolMax,
      idleMs: options.idleMs ?? 30_000,
      deadlineMs: this.#deadlineMs,
      where: describeTarget(target),
      onState: options.onState,
    })
  }

  settled(): Promise<void> {
    return this.#pool.settled()
  }

  async take(upload: UploadId, token: string, leaseMs: number): Promise<Taken> {
    return decodeTaken(await this.#run(TAKE, upload, [token, this.instance, String(leaseMs), this.#ttl]))
  }

  async renew(holds: readonly { upload: UploadId; token: string }[], leaseMs: number): Promise<Kept[]> {
    const calls = holds.map(({ upload, token }) => ({ keys: this.#keys(upload), args: [token, String(leaseMs)] }))
    const batches: (typeof calls)[] = []
    for (let n = 0; n < calls.length; n += RENEW_BATCH) batches.push(calls.slice(n, n + RENEW_BATCH))
    const replies = await Promise.all(batches.map((batch) => this.#pool.run((c) => runScripts(c, RENEW, batch))))
    return replies.flat().map(decodeKept)
  }

  async save(
    upload: UploadId,
    token: string,
    session: Session,
    parts: readonly Part[] = [],
    release = false,
  ): Promise<Kept | 'released'> {
    // Numbered here, before anything waits: the order in which the holder spoke.
    const number = String(++this.#saves)
    const args = [token, number, this.#ttl, release ? '1' : '0', ...encodeSession(session), ...encodeParts(parts)]
    return decodeSaved(await this.#run(SAVE, upload, args))
  }

  async parts(upload: UploadId, token: string): Promise<{ kept: Kept; parts: Part[] }> {
    return decodeParts(await this.#run(PARTS, upload, [token]))
  }

  async release(upload: UploadId, token: string, clean: boolean): Promise<Kept> {
    return decodeKept(await this.#run(RELEASE, upload, [token, clean ? '1' : '0', this.#ttl]))
  }

  async drop(upload: UploadId, token: string): Promise<Kept> {
    return decodeKept(await this.#run(DROP, upload, [token]))
  }

  async peek(upload: UploadId): Promise<Peek> {
    return decodePeek(await this.#run(PEEK, upload, []))
  }

  async tell(instance: string, message: Message): Promise<void> {
    await this.#publish(instance, encodeMessage(message))
  }

  /** Resolves when the channel is heard or, Redis being away, after one deadline; it is subscribed when Redis is back. */
  async listen(handler: (message: Message) => void): Promise<void> {
    if (this.#channel) throw new UploadError('internal', 'This process listens already: one handler a process')
    this.#channel = new Channel({
      name: this.#channelOf(this.instance),
      open: this.#subscribe,
      publish: (text) => this.#publish(this.instance, text),
      onMessage: (text) => this.#hear(text, handler),
      beatMs: this.#options.beatMs ?? 2000,
    })
    let timer: NodeJS.Timeout | undefined
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#deadlineMs)
    })
    await Promise.race([this.#channel.listening, enough])
    clearTimeout(timer)
  }

  async ping(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    const asked = this.#pool.run((client) => client.ping())
    if (!signal) return void (await asked)
    await new Promise<void>((resolve, reject) => {
      const cancel = () => reject(signal.reason)
      signal.addEventListener('abort', cancel, { once: true })
      asked.then(() => resolve(), reject).finally(() => signal.removeEventListener('abort', cancel))
    })
  }

  checkPolicy(): Promise<'ok' | 'unknown'> {
    return this.#pool
      .run(async (client) => {
        try {
          return { answer: await assertNoEviction(client) }
        } catch (error) {
          if (error instanceof EvictingRedis) return { error } // not a failure of the connection
          throw error
        }
      })
      .then((found) => {
        if (found.error) throw found.error
        return found.answer
      })
  }

  connections(): { open: number; busy: number } {
    return this.#pool.connections()
  }

  async close(): Promise<void> {
    this.#channel?.close()
    this.#pool.close()
  }

  #run(script: Script, upload: UploadId, args: readonly string[]): Promise<unknown> {
    return this.#pool.run((client) => runScript(client, script, { keys: this.#keys(upload), args }))
  }

  /** The braces make both keys land in one slot of a cluster. */
  #keys(upload: UploadId): [string, string] {
    const stem = `${this.#options.prefix}:{${upload}}`
    return [`${stem}:session`, `${stem}:parts`]
  }

  #channelOf(instance: string): string {
    return `${this.#options.prefix}:instance:${instance}`
  }

  #publish(instance: string, text: string): Promise<unknown> {
    const channel = this.#channelOf(instance)
    return this.#pool.run((c) => (this.#sharded ? c.spublish(channel, text) : c.publish(channel, text)))
  }

  #hear(text: string, handler: (message: Message) => void): void {
    const message = decodeMessage(text)
    if (message === null) return
    try {
      handler(message)
    } catch (error) {
      this.#options.onError?.(error)
    }
  }
}
