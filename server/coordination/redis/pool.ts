import { setImmediate as nextTurn } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import { UploadError } from '../../uploads/errors.ts'
import type { RedisClient } from './client.ts'
import { dropSilentNodes } from './silent.ts'

export interface RedisPoolOptions {
  readonly open: () => RedisClient
  /** Opened at the start and kept. */
  readonly min: number
  /** As many are open when every one of them has a call under way. */
  readonly max: number
  /** A connection above `min` is closed when it has not been used for so long. */
  readonly idleMs: number
  /** A call that has no answer by then fails, waiting for a connection included. */
  readonly deadlineMs: number
  /** For messages: where Redis is. */
  readonly where: string
  /** Called when the first connection is ready, and when none is any more (with the reason, as far as it is known). */
  readonly onState?: ((state: 'up' | 'down', cause: Error | null) => void) | undefined
}

interface Member {
  readonly client: RedisClient
  calls: number
  usedAt: number
}

/**
 * The command connections of a process. A call goes to the least busy one that is ready. While Redis is away calls wait
 * for a connection until their deadline and are then refused; nothing is queued beyond that.
 */
export class RedisPool {
  readonly #options: RedisPoolOptions
  readonly #members = new Set<Member>()
  readonly #waiting = new Set<() => void>()
  readonly #upkeep: NodeJS.Timeout
  #state: 'up' | 'down' | 'new' = 'new'
  #lastError: Error | null = null
  #closed = false

  constructor(options: RedisPoolOptions) {
    this.#options = options
    for (let n = 0; n < options.min; n++) this.#open()
    this.#upkeep = setInterval(() => this.#keepUp(), Math.max(20, Math.min(options.idleMs / 2, 1000)))
    this.#upkeep.unref()
  }

  /**
   * Makes one call. Its outcome is unknown when this fails: the call may have reached Redis.
   * @throws UploadError coordination_unavailable
   */
  async run<T>(work: (client: RedisClient) => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#options.deadlineMs
    const member = await this.#take(deadline)
    try {
      return await inTime(work(member.client), deadline - performance.now(), () => this.#replace(member))
    } catch (error) {
      // A connection can refuse at once; whoever repeats at once as well must not keep the loop from hearing better news.
      await nextTurn()
      throw this.#unavailable(error)
    } finally {
      member.calls--
      member.usedAt = performance.now()
    }
  }

  /** Resolves when `min` connections are ready or, at the latest, after the deadline of a call. */
  async settled(): Promise<void> {
    const deadline = performance.now() + this.#options.deadlineMs
    while (this.#ready().length < this.#options.min && performance.now() < deadline && !this.#closed) {
      await this.#change(deadline)
    }
  }

  /** Connections that are ready, and how many of them have a call under way. */
  connections(): { open: number; busy: number } {
    const ready = this.#ready()
    return { open: ready.length, busy: ready.filter((member) => member.calls > 0).length }
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#upkeep)
    for (const { client } of this.#members) client.disconnect()
    this.#members.clear()
    this.#wake()
  }

  #ready(): Member[] {
    return [...this.#members].filter((member) => member.client.status === 'ready')
  }

  async #take(deadline: number): Promise<Member> {
    for (;;) {
      if (this.#closed) {
        await nextTurn()
        throw this.#unavailable(new Error('The connections were closed'))
      }
      let least: Member | undefined
      for (const member of this.#members) {
        if (member.client.status === 'ready' && (!least || member.calls < least.calls)) least = member
      }
      if (least) {
        if (least.calls > 0) this.#grow()
        least.calls++ // at once: the next call of this turn looks as well
        return least
      }
      if (performance.now() >= deadline)
        throw this.#unavailable(this.#lastError ?? new Error('The connection was lost'))
      await this.#change(deadline)
    }
  }

  /** One at a time: a burst of calls is no reason to open all there may be. */
  #grow(): void {
    if (this.#members.size < this.#options.max && this.#ready().length === this.#members.size) this.#open()
  }

  #open(): void {
    const member: Member = { client: this.#options.open(), calls: 0, usedAt: performance.now() }
    this.#members.add(member)
    const { client } = member
    client.on('error', (error: Error) => {
      this.#lastError = error
    })
    client.on('ready', () => this.#wake())
    client.on('close', () => this.#noteState())
    client.on('end', () => this.#forget(member))
  }

  /** A connection that does not answer may be dead without knowing it (a partition, a paused server). */
  #replace(member: Member): void {
    if (!this.#members.has(member) || this.#closed) return
    this.#lastError = new Error(`No answer within ${this.#options.deadlineMs} ms`)
    // One silent node is no reason to break off what runs on the others.
    if (member.client instanceof Cluster) return void dropSilentNodes(member.client, this.#options.deadlineMs / 2)
    this.#forget(member)
    member.client.disconnect()
    if (this.#members.size < this.#options.min) this.#open()
  }

  #forget(member: Member): void {
    if (!this.#members.delete(member)) return
    this.#noteState()
  }

  #keepUp(): void {
    const unusedSince = performance.now() - this.#options.idleMs
    for (const member of this.#members) {
      if (this.#members.size <= this.#options.min) break
      if (member.calls > 0 || member.usedAt > unusedSince) continue
      this.#members.delete(member)
      member.client.disconnect()
    }
    while (this.#members.size < this.#options.min) this.#open()
  }

  #change(deadline: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, Math.max(1, deadline - performance.now()))
      this.#waiting.add(done)
    })
  }

  #wake(): void {
    this.#noteState()
    for (const done of [...this.#waiting]) done()
  }

  #noteState(): void {
    if (this.#closed) return
    const state = this.#ready().length > 0 ? 'up' : 'down'
    if (state === this.#state) return
    this.#state = state
    if (state === 'up') this.#lastError = null
    this.#options.onState?.(state, state === 'up' ? null : (this.#lastError ?? new Error('The connection was lost')))
  }

  #unavailable(cause: unknown): UploadError {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new UploadError(
      'coordination_unavailable',
      `${this.#options.where} did not serve a command: ${reason}. It is tried again in the background; repeat the request.`,
      { cause },
    )
  }
}

/** Rejects after `ms` (and calls `late`). Whatever `work` becomes afterwards is nobody's business any more. */
function inTime<T>(work: Promise<T>, ms: number, late: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const expire = () => {
      late()
      reject(new Error(`No answer within the deadline`))
    }
    // After a stall of this process the answer may be here, unread: one turn of the loop reads it first.
    const timer = setTimeout(() => setImmediate(() => pending && expire()), Math.max(1, ms))
    let pending = true
    const settle = () => {
      pending = false
      clearTimeout(timer)
    }
    work.then(
      (value) => {
        settle()
        resolve(value)
      },
      (error: unknown) => {
        settle()
        reject(error)
      },
    )
  })
}
