import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface EarlyAnswerLimits {
  /** A rest of at most this many bytes is read away, and the connection lives on. */
  readonly keepBytes: number
  /** Of a longer or unknown rest at most this much is read, so that no reset overtakes the answer. */
  readonly drainBytes: number
  readonly drainMs: number
  /** The same for a client that was promised `100 Continue` and got its final status instead. */
  readonly refusedDrainMs: number
}

export const EARLY_ANSWER_LIMITS: EarlyAnswerLimits = {
  keepBytes: 64 * 1024,
  drainBytes: 16 * 1024 * 1024,
  drainMs: 2000,
  refusedDrainMs: 200,
}

/**
 * An answer before the body was read. Left alone, Node closes the socket with bytes unread, the kernel sends a reset,
 * and the client loses the answer that it was about to read. So: the whole answer goes out at once, with
 * `Connection: close` unless the rest is short; then the rest is read and dropped, within limits; then the answer ends.
 *
 * Wraps `writeHead`, `end` and `writeContinue` of this one response; call it before anything else sees it.
 */
export function answerEarly(req: IncomingMessage, res: ServerResponse, limits: EarlyAnswerLimits): void {
  const { writeHead, end, writeContinue } = res
  let promised = req.headers.expect !== undefined && req.httpVersion !== '1.0'
  let ending = false
  res.writeContinue = (callback?: () => void) => {
    promised = false
    Reflect.apply(writeContinue, res, [callback])
  }
  res.writeHead = (...args: readonly unknown[]) => {
    if (!req.complete && (promised || !isShort(req, limits))) res.shouldKeepAlive = false
    return Reflect.apply(writeHead, res, args)
  }
  res.end = (...args: readonly unknown[]) => {
    if (ending || req.complete || req.destroyed || res.destroyed) return Reflect.apply(end, res, args)
    ending = true
    const callback = args.find((value) => typeof value === 'function')
    sendAll(res, args[0])
    drain(req, limits, promised ? limits.refusedDrainMs : limits.drainMs, (clean) => {
      if (!clean) res.once('finish', () => req.socket.destroy())
      Reflect.apply(end, res, callback === undefined ? [] : [callback])
    })
    return res
  }
}

/** Does a body come with the request? Without one there is nothing to answer early. */
export function announcesBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0
}

function isShort(req: IncomingMessage, limits: EarlyAnswerLimits): boolean {
  return req.headers['transfer-encoding'] === undefined && Number(req.headers['content-length']) <= limits.keepBytes
}

/** The complete answer, but for its end. */
function sendAll(res: ServerResponse, chunk: unknown): void {
  const body = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : ''
  const bodiless = res.statusCode === 204 || res.statusCode === 304
  if (!res.headersSent && !bodiless && !res.hasHeader('Content-Length')) {
    res.setHeader('Content-Length', Buffer.byteLength(body))
  }
  if (body.length > 0) res.write(body)
  else res.flushHeaders()
}

function drain(
  req: IncomingMessage,
  limits: EarlyAnswerLimits,
  withinMs: number,
  done: (clean: boolean) => void,
): void {
  let bytes = 0
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > limits.drainBytes) finish(false)
  }
  const onEnd = (): void => finish(true)
  const onClose = (): void => finish(req.complete)
  const timer = setTimeout(() => finish(false), withinMs)
  const finish = (clean: boolean): void => {
    clearTimeout(timer)
    req.off('data', onData).off('end', onEnd).off('close', onClose).pause()
    done(clean)
  }
  req.on('data', onData).on('end', onEnd).on('close', onClose).resume()
}

/** Ends a connection whose answer was written past Node's own response, and reads for a moment what still comes. */
export function endGently(socket: Socket, text: string, limits: EarlyAnswerLimits): void {
  let bytes = 0
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > limits.drainBytes) socket.destroy()
  })
  const timer = setTimeout(() => socket.destroy(), limits.drainMs)
  socket.once('close', () => clearTimeout(timer))
  socket.end(text)
}
