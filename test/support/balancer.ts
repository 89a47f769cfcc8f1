import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { Transform } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { answerOf, breakOff, listenRelay, openUpstream, passAnswer } from './relay.ts'

/** One request that went through the balancer. */
export interface Exchange {
  readonly method: string
  /** Path without the query. */
  readonly path: string
  /** Index of the instance that got it; -1 while none has. */
  target: number
  /** Instances that refused the connection before. */
  refusedBy: number[]
  /** Bytes of the request's body passed on so far. */
  bytes: number
  status: number | undefined
  /** The connection was broken by `cut`. */
  wasCut: boolean
  /** Breaks the client's connection with an RST and closes the one to the instance, which keeps what it was sent. */
  cut(): void
}

/** Which request a trigger is for and where in its body it goes off. */
export interface Trigger {
  /** Body bytes passed on before it goes off; a request with a shorter body does not count. */
  readonly afterBytes: number
  /** Default: PATCH. */
  readonly method?: string
  /** How many such requests pass by untouched first; default 0. */
  readonly skip?: number
}

/** A balancer in front of several instances. */
export interface Balancer {
  readonly url: string
  readonly exchanges: readonly Exchange[]
  /** Runs `action` when the trigger's byte has been passed on; resolves with the exchange after it ran. */
  when(trigger: Trigger, action: (exchange: Exchange) => void): Promise<Exchange>
  /** Breaks the connections of the request that meets the trigger. */
  cut(trigger: Trigger): Promise<Exchange>
  close(): Promise<void>
}

interface Armed {
  readonly trigger: Trigger
  skip: number
  readonly fire: (exchange: Exchange) => void
}

/** Resolves when what was written has left this process, or after two seconds with an instance that does not read. */
async function flushed(upstream: ClientRequest): Promise<void> {
  const deadline = performance.now() + 2_000
  while ((upstream.socket?.writableLength ?? 0) > 0 && performance.now() < deadline) await setImmediate()
}

/** Passes a body on and calls `at` exactly when `limit` bytes have gone to the instance, before any byte after them. */
function counting(exchange: Exchange, upstream: ClientRequest, limit: () => number | undefined, at: () => void) {
  return new Transform({
    async transform(chunk: Buffer, _encoding, done) {
      const stop = limit()
      const now = stop === undefined ? chunk : chunk.subarray(0, stop - exchange.bytes)
      this.push(now)
      exchange.bytes += now.length
      if (exchange.bytes !== stop) return done()
      await setImmediate()
      await flushed(upstream)
      at()
      if (exchange.wasCut) return done()
      const rest = chunk.subarray(now.length)
      exchange.bytes += rest.length
      done(null, rest)
    },
  })
}

/**
 * Starts a balancer that shares no connection between requests and never sends two requests of one upload to the same
 * instance while another one accepts connections: it is as unkind as a balancer without sticky sessions can be.
 */
export async function startBalancer(targets: readonly string[]): Promise<Balancer> {
  const urls = targets.map((target) => new URL(target))
  const last = new Map<string, number>()
  const exchanges: Exchange[] = []
  const armed: Armed[] = []
  let turn = 0

  function order(path: string): number[] {
    const previous = last.get(path)
    const first = previous === undefined ? turn++ : previous + 1
    return urls.map((_, index) => (first + index) % urls.length)
  }

  async function connect(req: IncomingMessage, exchange: Exchange): Promise<ClientRequest | undefined> {
    for (const target of order(exchange.path)) {
      const url = urls[target]
      const upstream = url && (await openUpstream(req, url).catch(() => undefined))
      if (upstream !== undefined) {
        exchange.target = target
        last.set(exchange.path, target)
        return upstream
      }
      exchange.refusedBy.push(target)
    }
    return undefined
  }

  /** The armed trigger that this request will meet, if its body turns out long enough. */
  function claim(exchange: Exchange, length: number): Armed | undefined {
    const suits = ({ trigger }: Armed): boolean =>
      (trigger.method ?? 'PATCH') === exchange.method && length >= trigger.afterBytes
    const found = armed.find(suits)
    if (found === undefined) return undefined
    if (found.skip > 0) {
      found.skip -= 1
      return undefined
    }
    armed.splice(armed.indexOf(found), 1)
    return found
  }

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const exchange: Exchange = {
      method: req.method ?? '',
      path: (req.url ?? '').split('?')[0] ?? '',
      target: -1,
      refusedBy: [],
      bytes: 0,
      status: undefined,
      wasCut: false,
      cut: () => {},
    }
    exchanges.push(exchange)
    const upstream = await connect(req, exchange)
    if (upstream === undefined) {
      exchange.status = 503
      res.writeHead(503, { 'Content-Length': 0 }).end()
      return
    }
    exchange.cut = () => {
      exchange.wasCut = true
      upstream.socket?.destroy()
      breakOff(req.socket)
    }
    // The answer's own event, not the socket's: a kept-alive socket would gather a listener with each request.
    res.once('close', () => breakOff(res.writableFinished ? null : upstream.socket))
    const length = Number(req.headers['content-length'] ?? (req.headers['transfer-encoding'] ? Infinity : 0))
    let trigger = claim(exchange, length)
    const fire = (): void => {
      const met = trigger
      trigger = undefined
      met?.fire(exchange)
    }
    const answered = answerOf(upstream, res)
    req.pipe(counting(exchange, upstream, () => trigger?.trigger.afterBytes, fire)).pipe(upstream)
    const answer = await answered
    exchange.status = answer.statusCode
    const { location } = answer.headers
    if (location !== undefined) last.set(new URL(location, 'http://relative').pathname, exchange.target)
    await passAnswer(answer, req, res)
  }

  const relay = await listenRelay((req, res) => {
    req.on('error', () => {})
    handle(req, res).catch(() => breakOff(req.socket))
  })
  const when: Balancer['when'] = (trigger, action) =>
    new Promise((resolve, reject) => {
      const fire = (exchange: Exchange): void => {
        try {
          action(exchange)
          resolve(exchange)
        } catch (error) {
          reject(error)
        }
      }
      armed.push({ trigger, skip: trigger.skip ?? 0, fire })
    })
  return {
    url: relay.url,
    exchanges,
    when,
    cut: (trigger) => when(trigger, (exchange) => exchange.cut()),
    close: relay.close,
  }
}
