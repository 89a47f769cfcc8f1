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
    ...(verification ? { verification } : {}),
    ...(expects ? { beforeBody: () => continueBody(res) } : {}),
  }
}

function continueBody(res: ServerResponse): void {
  if (!res.headersSent && !res.destroyed) res.writeContinue()
}
