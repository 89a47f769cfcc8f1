import type { IncomingMessage, ServerResponse } from 'node:http'
import { UploadError } from '../uploads/errors.ts'

/** Promises the client that its body is wanted, if it asked (`Expect: 100-continue`); to be called before reading. */
export function wantBody(req: IncomingMessage, res: ServerResponse): void {
  if (req.headers.expect !== undefined && req.httpVersion !== '1.0' && !res.headersSent) res.writeContinue()
}

/** The media type without parameters, in lower case; '' when none was sent. */
export function mediaTypeOf(req: IncomingMessage): string {
  return (req.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

export interface JsonLimits {
  readonly maxBytes: number
  /** A body that stands still for so long is given up. */
  readonly idleMs: number
}

/**
 * The JSON body of a request. Throws content_type_unsupported, body_too_large, body_invalid, body_cut, body_stalled.
 */
export async function readJson(req: IncomingMessage, res: ServerResponse, limits: JsonLimits): Promise<unknown> {
  if (mediaTypeOf(req) !== 'application/json') {
    throw new UploadError('content_type_unsupported', 'The body has to be JSON: send Content-Type: application/json.')
  }
  const coding = req.headers['content-encoding']
  if (coding !== undefined && coding !== 'identity') {
    throw new UploadError('content_type_unsupported', 'The body has a Content-Encoding; send it as it is.')
  }
  if (Number(req.headers['content-length'] ?? 0) > limits.maxBytes) throw tooLarge(limits)
  wantBody(req, res)
  const bytes = await readAll(req, limits)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new UploadError('body_invalid', 'The body is not JSON in UTF-8.', { cause: error })
  }
}

function tooLarge({ maxBytes }: JsonLimits): UploadError {
  return new UploadError('body_too_large', `The body has more than ${maxBytes} bytes.`, { facts: { maxBytes } })
}

/** Leaves the rest of a body that is too long unread: the answer takes care of it (early-answer.ts). */
function readAll(req: IncomingMessage, limits: JsonLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const settle = (run: () => void): void => {
      clearTimeout(timer)
      req.off('data', onData).off('end', onEnd).off('close', onClose).pause()
      run()
    }
    const fail = (error: UploadError): void => settle(() => reject(error))
    const onData = (chunk: Buffer): void => {
      timer.refresh()
      length += chunk.length
      if (length > limits.maxBytes) fail(tooLarge(limits))
      else chunks.push(chunk)
    }
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks)))
    const onClose = (): void => fail(new UploadError('body_cut', 'The connection broke in the middle of the body.'))
    const timer = setTimeout(
      () => fail(new UploadError('body_stalled', 'No byte of the body came within the idle timeout.')),
      limits.idleMs,
    )
    req.on('data', onData).on('end', onEnd).on('close', onClose)
  })
}
