import type { Message } from '../../../../server/uploads/ports/coordination.ts'
import type { Product } from './product.ts'

export type Port = 'store' | 'coordination' | 'records'

type Apply = (args: readonly unknown[]) => unknown

/** A call that a trace waits for comes within this, or never. */
const PATIENCE_MS = 20_000

/** One call of an instance that does not get on before the test says so. */
export class Held {
  readonly #reached: Promise<void>
  readonly #port: Port
  readonly #errors: Product['UploadError']
  #reach: () => void = () => {}
  #args: readonly unknown[] = []
  #apply: Apply | null = null
  #landed: Promise<unknown> | null = null
  #passes = false
  #settle: (answer: Promise<unknown>) => void = () => {}

  constructor(port: Port, errors: Product['UploadError']) {
    this.#port = port
    this.#errors = errors
    this.#reached = new Promise((resolve) => {
      this.#reach = resolve
    })
  }

  /** Resolves when the instance asks for it. */
  async here(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the awaited call to the ${this.#port} did not come`)), PATIENCE_MS)
    })
    await Promise.race([this.#reached, late]).finally(() => clearTimeout(timer))
  }

  /** The call came; its caller waits for what is returned. */
  arrive(args: readonly unknown[], apply: Apply): Promise<unknown> {
    if (this.#passes) return Promise.resolve(apply(args))
    this.#args = args
    this.#apply = apply
    const answer = new Promise<unknown>((resolve) => {
      this.#settle = resolve
    })
    this.#reach()
    return answer
  }

  /** The process stood still and goes on: the call is made as it would have been, also when it is yet to come. */
  go(): void {
    this.#passes = true
    if (this.#apply) this.#settle(Promise.resolve(this.#apply(this.#args)))
  }

  /** The request was on its way and gets there now, whatever became of its sender. Its answer waits. */
  async land(): Promise<void> {
    this.#landed ??= Promise.resolve(this.#apply?.(this.#args.map(detached)))
    await this.#landed.catch(() => {})
  }

  /** The answer of what has landed arrives. */
  answer(): void {
    if (this.#landed) this.#settle(this.#landed)
  }

  /** Nobody answers: what was sent may still land. */
  lose(): void {
    for (const each of this.#args) if (isHooks(each)) each.onUnanswered?.()
    const code = `${this.#port}_unavailable` as const
    this.#settle(Promise.reject(new this.#errors(code, 'No answer came (the test kept it).')))
  }
}

interface Hooks {
  readonly onUnanswered?: () => void
}

function isHooks(value: unknown): value is Hooks {
  return typeof value === 'object' && value !== null && 'onUnanswered' in value
}

/** A write's options without the caller's signal: what left the process cannot be called back. */
function detached(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('signal' in value)) return value
  const { signal: _gone, ...rest } = value
  return rest
}

interface Expected {
  readonly port: Port
  readonly method: string
  readonly when: (args: readonly unknown[]) => boolean
  readonly held: Held
}

/**
 * Stands between one instance and its ports. Calls pass untouched until one that a test waits for, and until the whole
 * instance is stopped, as by SIGSTOP: then nothing that it asks leaves it before it goes on.
 */
export class Gates {
  readonly #errors: Product['UploadError']
  readonly #expected: Expected[] = []
  readonly #stopped = new Set<{ go: () => void; fail: (error: Error) => void }>()
  readonly #kept = new Set<() => void>()
  readonly #ears: { readonly type: string; readonly resolve: () => void }[] = []
  #still = false
  #buried = false

  constructor(errors: Product['UploadError']) {
    this.#errors = errors
  }

  /** The next call of this method, of those that `when` takes, stands still. */
  hold(port: Port, method: string, when: (args: readonly unknown[]) => boolean = () => true): Held {
    const held = new Held(port, this.#errors)
    this.#expected.push({ port, method, when, held })
    return held
  }

  stop(): void {
    this.#still = true
  }

  resume(): void {
    this.#still = false
    for (const { go } of this.#stopped) go()
    this.#stopped.clear()
  }

  /** What still waits fails, and so does all that comes: the instance is to be closed. */
  bury(): void {
    this.#buried = true
    for (const { fail } of this.#stopped) fail(this.#unavailable('store'))
    for (const fail of this.#kept) fail()
    this.#stopped.clear()
  }

  wrap<T extends object>(port: Port, target: T): T {
    return new Proxy(target, {
      get: (_, key) => {
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function' || typeof key !== 'string') return value
        const apply: Apply = (args) => Reflect.apply(value, target, args)
        if (key === 'close') return apply
        if (key === 'listen') return (handler: unknown) => apply([this.#overhear(handler)])
        if (key === 'list') return (...args: unknown[]) => this.#listed(port, args, apply)
        return (...args: unknown[]) => this.#pass(port, key, args, apply)
      },
    })
  }

  /** Resolves when the instance has heard a message of this type. */
  heard(type: string): Promise<void> {
    return new Promise((resolve) => this.#ears.push({ type, resolve }))
  }

  #overhear(handler: unknown): (message: Message) => void {
    return (message) => {
      if (typeof handler === 'function') handler(message)
      const ear = this.#ears.findIndex(({ type }) => type === message.type)
      if (ear >= 0) this.#ears.splice(ear, 1)[0]?.resolve()
    }
  }

  async *#listed(port: Port, args: readonly unknown[], apply: Apply): AsyncGenerator<unknown> {
    const found = await this.#pass(port, 'list', args, (given) => collected(apply(given)))
    if (Array.isArray(found)) yield* found
  }

  async #pass(port: Port, method: string, args: readonly unknown[], apply: Apply): Promise<unknown> {
    if (this.#buried) throw this.#unavailable(port)
    const index = this.#expected.findIndex((each) => each.port === port && each.method === method && each.when(args))
    const [expected] = index < 0 ? [] : this.#expected.splice(index, 1)
    if (expected) return this.#buriable(port, expected.held.arrive(args, apply))
    if (this.#still) await new Promise<void>((go, fail) => this.#stopped.add({ go, fail }))
    return apply(args)
  }

  /** A call that is never let go ends with its instance. */
  #buriable(port: Port, answer: Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(this.#unavailable(port))
      this.#kept.add(fail)
      answer.then(resolve, reject).finally(() => this.#kept.delete(fail))
    })
  }

  #unavailable(port: Port): Error {
    return new this.#errors(`${port}_unavailable`, 'The test is over.')
  }
}

async function collected(found: unknown): Promise<unknown[]> {
  const all: unknown[] = []
  if (isAsyncIterable(found)) for await (const each of found) all.push(each)
  return all
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}
