import type { IncomingMessage } from 'node:http'
import { UploadError } from '../uploads/errors.ts'

const KNOWN: ReadonlySet<string> = new Set(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST'])
const overridden = new WeakSet<IncomingMessage>()

/**
 * `X-HTTP-Method-Override` (tus 1.0): from here on `req.method` is the method it names, in any case. On POST only: a
 * link or an image must not be able to write. Calling it again changes nothing. Throws method_not_allowed for a method
 * that is none of ours, request_malformed for a repeated header.
 */
export function applyMethodOverride(req: IncomingMessage): void {
  const value = req.headers['x-http-method-override']
  if (req.method !== 'POST' || value === undefined) return
  const method = String(value).trim().toUpperCase()
  if (method.includes(',')) {
    throw new UploadError('request_malformed', 'X-HTTP-Method-Override was sent more than once; send it once.')
  }
  if (!KNOWN.has(method)) {
    throw new UploadError(
      'method_not_allowed',
      `X-HTTP-Method-Override names ${JSON.stringify(method.slice(0, 40))}.`,
      {
        facts: { allow: [...KNOWN].join(', ') },
      },
    )
  }
  if (method !== 'POST') overridden.add(req)
  req.method = method
}

/** Was another method sent on the wire than `req.method` says now? Then Node does not know that a HEAD has no body. */
export function isOverridden(req: IncomingMessage): boolean {
  return overridden.has(req)
}
