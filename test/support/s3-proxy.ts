import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { answerOf, breakOff, listenRelay, openUpstream, passAnswer } from './relay.ts'
import { classify, type S3Operation } from './s3-operations.ts'

/** One call to the store, as the proxy saw it. */
export interface S3Call {
  readonly operation: S3Operation
  readonly bucket: string
  readonly key: string
  readonly partNumber: number | undefined
  readonly multipartId: string | undefined
  /** The prefix of a listing. */
  readonly prefix: string
  /** The keys of a DeleteObjects, known before `before` runs. */
  keys: readonly string[]
  /** Milliseconds of `performance.now()`. */
  readonly startedAt: number
  endedAt: number | undefined
  /** Bytes of the request's body that were received (with S3's own chunk framing, where the client uses it). */
  bytes: number
  /** What the store answered; undefined when it was not asked or did not answer. */
  storeStatus: number | undefined
  /** What the client got; undefined when its connection was broken. */
  status: number | undefined
}

/** What a hook may do to a call instead of letting it pass. */
export type Fault =
  /** Breaks the connection: `before` without asking the store, `after` with the store's answer thrown away. */
  | { readonly kind: 'drop' }
  /** Answers an S3 error; from `after`, although the store has applied the call. */
  | { readonly kind: 'error'; readonly status: number; readonly code: string }

/** Looks at a call and may delay it (by its promise) or answer a fault. */
export type Hook = (call: S3Call) => Fault | undefined | Promise<Fault | undefined>

/** A proxy before an S3 store that records every call and can break them. */
export interface S3Proxy {
  /** Use it as the endpoint, with path-style addressing. */
  readonly url: string
  readonly calls: readonly S3Call[]
  /** Runs when the head of a call is there and before the store hears of it. */
  before: Hook | undefined
  /** Runs when the store has answered and before the client hears of it. */
  after: Hook | undefined
  /** Runs when the store's answer went back to the client, whole. */
  answered: ((call: S3Call) => void) | undefined
  /** The most PutObject and UploadPart calls that were in flight at once. */
  readonly peakBodies: number
  /** Calls of one kind, in the order of their start. */
  of(...operations: S3Operation[]): S3Call[]
  /** Forgets the calls and the peak, not what is in flight. */
  reset(): void
  close(): Promise<void>
}

/** The keys in the body of a DeleteObjects. */
function keysIn(body: string): string[] {
  return [...body.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = '']) => key)
}

const WITH_BODY: ReadonlySet<S3Operation> = new Set(['PutObject', 'UploadPart'])

function answerFault(fault: Fault, call: S3Call, req: IncomingMessage, res: ServerResponse): void {
  if (fault.kind === 'drop') {
    breakOff(req.socket)
    return
  }
  call.status = fault.status
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${fault.code}</Code><Message>injected</Message></Error>`
  const headers = { 'Content-Type': 'application/xml', 'Content-Length': Buffer.byteLength(body) }
  res.writeHead(fault.status, headers).end(req.method === 'HEAD' ? undefined : body)
}

/**
 * Starts a proxy before `endpoint`. The Host header stays as the client signed it, so signatures stay valid; each call
 * has a connection of its own to the store.
 */
export async function startS3Proxy(endpoint: string): Promise<S3Proxy> {
  const target = new URL(endpoint)
  let calls: S3Call[] = []
  let inFlight = 0
  let peak = 0

  async function handle(req: IncomingMessage, res: ServerResponse, call: S3Call): Promise<void> {
    req.on('data', (chunk: Buffer) => {
      call.bytes += chunk.length
    })
    // Only the body says which keys go; it is short, so it is read before anybody is asked.
    const body = call.operation === 'DeleteObjects' ? Buffer.concat(await Array.fromAsync(req)) : null
    if (body) call.keys = keysIn(body.toString())
    else req.pause()
    const early = await proxy.before?.(call)
    if (early) {
      // a client that still writes its body would otherwise see the close before the answer
      if (early.kind === 'error') req.resume()
      return answerFault(early, call, req, res)
    }
    const upstream = await openUpstream(req, target)
    // It left while a hook waited: the rest of its body never comes, and the store would wait for it.
    if (req.socket.destroyed) return void upstream.destroy()
    const gone = () => breakOff(res.writableFinished ? null : upstream.socket)
    req.socket.once('close', gone)
    // A kept-alive connection outlives its calls.
    res.once('finish', () => req.socket.off('close', gone))
    const answered = answerOf(upstream, res)
    if (body) upstream.end(body)
    else req.pipe(upstream)
    const answer = await answered
    call.storeStatus = answer.statusCode
    const late = await proxy.after?.(call)
    if (late) {
      answer.resume()
      return answerFault(late, call, req, res)
    }
    call.status = answer.statusCode
    await passAnswer(answer, req, res)
    if (res.writableFinished) proxy.answered?.(call)
  }

  const relay = await listenRelay((req, res) => {
    const call = begin(req)
    const body = WITH_BODY.has(call.operation)
    if (body) {
      inFlight += 1
      peak = Math.max(peak, inFlight)
    }
    req.on('error', () => {})
    handle(req, res, call)
      .catch(() => breakOff(req.socket))
      .finally(() => {
        call.endedAt = performance.now()
        if (body) inFlight -= 1
      })
  })

  function begin(req: IncomingMessage): S3Call {
    const call: S3Call = {
      ...classify(req.method ?? '', req.url ?? '/', req.headers['x-amz-copy-source'] !== undefined),
      keys: [],
      startedAt: performance.now(),
      endedAt: undefined,
      bytes: 0,
      storeStatus: undefined,
      status: undefined,
    }
    calls.push(call)
    return call
  }

  const proxy: S3Proxy = {
    url: relay.url,
    get calls() {
      return calls
    },
    get peakBodies() {
      return peak
    },
    before: undefined,
    after: undefined,
    answered: undefined,
    of: (...operations) => calls.filter((call) => operations.includes(call.operation)),
    reset: () => {
      calls = []
      peak = inFlight
    },
    close: relay.close,
  }
  return proxy
}

/** A hook that holds every call of these kinds for a while; it makes overlap visible. */
export function delay(ms: number, ...operations: S3Operation[]): Hook {
  return async (call) => {
    if (operations.includes(call.operation)) await sleep(ms)
    return undefined
  }
}

/** A hook that answers `fault` to the next `times` calls of one kind and lets everything else pass. */
export function failNext(operation: S3Operation, fault: Fault, times = 1): Hook {
  let left = times
  return (call) => {
    if (call.operation !== operation || left === 0) return undefined
    left -= 1
    return fault
  }
}
