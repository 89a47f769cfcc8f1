import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Incoming } from '../uploads/api.ts'
import { verificationOf } from './checksum.ts'

/** Does a body come with the request? Without Content-Length and Transfer-Encoding there is none (RFC 9112, 6.3). */
export function hasBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0
}

/**
 * Node's own request stream, for the engine. `100 Continue` goes out only when the engine asks for the first byte, so
 * a request that is refused gets its final status instead. `checksum`: Upload-Checksum. Throws checksum_invalid, and
 * checksum_mismatch for a body that is not there.
 */
export function incomingOf(req: IncomingMessage, res: ServerResponse, checksum: string | undefined): Incoming {
  const verification = verificationOf(req, checksum)
  if (!hasBody(req)) {
    verification?.verify()
    return { body: null, bodyLength: 0 }
  }
  const length = req.headers['transfer-encoding'] === undefined ? Number(req.headers['content-length']) : null
  const expects = req.httpVersion !== '1.0' && req.headers.expect !== undefined
  return {
    body: req,
    bodyLength: length,
    connection: connectionOf(req),
    ...(verification ? { verification } : {}),
    ...(expects ? { beforeBody: () => continueBody(res) } : {}),
  }
}

/**
 * Reading of the connection that a body comes by. A paused request still takes in what its buffer holds, and a chunk
 * more; a thousand of those are memory that nobody counts. At rest nothing is read at all.
 */
function connectionOf(req: IncomingMessage): { rest(): void; readOn(): void } {
  const { _read } = req
  let resting = false
  return {
    rest() {
      if (resting || req.complete || req.destroyed) return
      resting = true
      // The stream asks for more as long as its buffer is not full, paused or not.
      req._read = () => {}
      req.socket.pause()
    },
    readOn() {
      if (!resting) return
      resting = false
      req._read = _read
      if (!req.destroyed) req._read(0)
    },
  }
}

function continueBody(res: ServerResponse): void {
  if (!res.headersSent && !res.destroyed) res.writeContinue()
}
