import { randomBytes } from 'node:crypto'
import { UploadError } from '../../uploads/errors.ts'
import type { Coordination, Kept, Message, Peek, Session, Taken } from '../../uploads/ports/coordination.ts'
import type { Part, UploadId } from '../../uploads/words.ts'

interface Entry {
  /** null when released. */
  token: string | null
  holder: string
  leaseEnd: number
  clean: boolean
  /** null from a take for a rebuild until the first save. */
  session: Session | null
  parts: Map<number, Part>
  changedAt: number
}

export interface MemoryStateOptions {
  /** Milliseconds that never go back. Default: performance.now. */
  readonly now?: () => number
  /** How long a session outlives its last change. Default 8 days: longer than an upload may rest. */
  readonly sessionTtlMs?: number
}

/** What the instances of one process share: the counterpart of a Redis. */
export class MemoryState {
  readonly now: () => number
  readonly handlers = new Map<string, (message: Message) => void>()
  readonly #ttl: number
  readonly #entries = new Map<UploadId, Entry>()
  #sweptAt: number

  constructor(options: MemoryStateOptions = {}) {
    this.now = options.now ?? (() => performance.now())
    this.#ttl = options.sessionTtlMs ?? 8 * 86_400_000
    this.#sweptAt = this.now()
  }

  /** As after FLUSHALL. */
  forget(): void {
    this.#entries.clear()
  }

  /** How many uploads have a session. */
  get size(): number {
    return this.#entries.size
  }

  find(upload: UploadId): Entry | undefined {
    const entry = this.#entries.get(upload)
    if (entry && this.#outlived(entry)) this.#entries.delete(upload)
    else return entry
    return undefined
  }

  put(upload: UploadId, entry: Entry): void {
    this.#sweep()
    this.#entries.set(upload, entry)
  }

  remove(upload: UploadId): void {
    this.#entries.delete(upload)
  }

  #outlived(entry: Entry): boolean {
    return this.now() - entry.changedAt >= this.#ttl
  }

  /** Sessions that nobody asks for again must not stay for ever: all are looked through once in a tenth of their time. */
  #sweep(): void {
    if (this.now() - this.#sweptAt < this.#ttl / 10) return
    this.#sweptAt = this.now()
    for (const [upload, entry] of this.#entries) if (this.#outlived(entry)) this.#entries.delete(upload)
  }
}

export interface MemoryCoordinationOptions {
  /** Shared by the instances that are to see each other. Default: a state of its own. */
  readonly state?: MemoryState
  /** Default: random. */
  readonly instance?: string
  /** A message handler threw. */
  readonly onError?: (error: unknown) => void
}

/** Holds and sessions in this process: the same rules as the Redis driver's scripts, each call one atomic step. */
export function createMemoryCoordination(options: MemoryCoordinationOptions = {}): Coordination {
  return new MemoryDriver(options)
}

class MemoryDriver implements Coordination {
  readonly instance: string
  readonly #state: MemoryState
  readonly #onError: (error: unknown) => void
  #closed = false

  constructor(options: MemoryCoordinationOptions) {
    this.instance = options.instance ?? randomBytes(8).toString('hex')
    this.#state = options.state ?? new MemoryState()
    this.#onError = options.onError ?? (() => {})
  }

  async take(upload: UploadId, token: string, leaseMs: number): Promise<Taken> {
    this.#open()
    const now = this.#state.now()
    const entry = this.#state.find(upload)
    if (entry && entry.token !== null && entry.token !== token && entry.leaseEnd > now) {
      return { kind: 'held', holder: entry.holder, leaseLeftMs: Math.ceil(entry.leaseEnd - now) }
    }
    const hold = { token, holder: this.instance, leaseEnd: now + leaseMs, clean: false, changedAt: now }
    if (!entry?.session) {
      this.#state.put(upload, { ...hold, session: null, parts: new Map() })
      return { kind: 'rebuild' }
    }
    // A token that is in place already is a take whose answer was lost: never 'clean' a second time.
    const kind = entry.token === null && entry.clean ? 'clean' : 'unclean'
    Object.assign(entry, hold)
    return { kind, session: copy(entry.session) }
  }

  async renew(holds: readonly { upload: UploadId; token: string }[], leaseMs: number): Promise<Kept[]> {
    return holds.map(({ upload, token }) =>
      this.#held(upload, token, (entry) => {
        entry.leaseEnd = this.#state.now() + leaseMs
      }),
    )
  }

  async save(
    upload: UploadId,
    token: string,
    session: Session,
    parts: readonly Part[] = [],
    release = false,
  ): Promise<Kept | 'released'> {
    const kept = this.#held(upload, token, (entry) => {
      if (entry.session?.multipartId !== session.multipartId) entry.parts.clear()
      for (const part of parts) entry.parts.set(part.number, { ...part })
      Object.assign(entry, { session: copy(session), clean: release, changedAt: this.#state.now() })
      if (release) Object.assign(entry, { token: null, holder: '', leaseEnd: 0 })
    })
    return kept === 'kept' && release ? 'released' : kept
  }

  async parts(upload: UploadId, token: string): Promise<{ kept: Kept; parts: Part[] }> {
    let parts: Part[] = []
    const kept = this.#held(upload, token, (entry) => {
      parts = [...entry.parts.values()].sort((a, b) => a.number - b.number).map((part) => ({ ...part }))
    })
    return { kept, parts }
  }

  async release(upload: UploadId, token: string, clean: boolean): Promise<Kept> {
    return this.#held(upload, token, (entry) => {
      Object.assign(entry, { token: null, holder: '', leaseEnd: 0, clean, changedAt: this.#state.now() })
    })
  }

  async drop(upload: UploadId, token: string): Promise<Kept> {
    return this.#held(upload, token, () => this.#state.remove(upload))
  }

  async peek(upload: UploadId): Promise<Peek> {
    this.#open()
    const entry = this.#state.find(upload)
    if (!entry) return { kind: 'missing' }
    const session = entry.session && copy(entry.session)
    if (entry.token !== null && entry.leaseEnd > this.#state.now()) {
      return { kind: 'held', holder: entry.holder, session }
    }
    if (entry.token === null && entry.clean && session) return { kind: 'free', session }
    return { kind: 'dead' }
  }

  async tell(instance: string, message: Message): Promise<void> {
    this.#open()
    const { handlers } = this.#state
    // Looked up on arrival: whoever stopped listening meanwhile hears nothing.
    setImmediate(() => handlers.get(instance)?.({ ...message }))
  }

  async listen(handler: (message: Message) => void): Promise<void> {
    this.#open()
    if (this.#state.handlers.has(this.instance)) {
      throw new UploadError('internal', 'This process listens already: one handler a process')
    }
    this.#state.handlers.set(this.instance, (message) => {
      try {
        handler(message)
      } catch (error) {
        this.#onError(error)
      }
    })
  }

  async ping(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    this.#open()
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#state.handlers.delete(this.instance)
    this.#closed = true
  }

  #held(upload: UploadId, token: string, change: (entry: Entry) => void): Kept {
    this.#open()
    const entry = this.#state.find(upload)
    if (!entry) return 'gone'
    if (entry.token !== token) return 'other'
    change(entry)
    return 'kept'
  }

  #open(): void {
    if (this.#closed) throw new UploadError('coordination_unavailable', 'This coordination was closed')
  }
}

/** Nobody's later change to what was handed in or out may reach what is kept. */
function copy(session: Session): Session {
  return { ...session, tails: session.tails.map((tail) => ({ ...tail })) }
}
