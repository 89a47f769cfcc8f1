import type { IncomingMessage } from 'node:http'
import type { UploadError } from '../uploads/errors.ts'
import { UploadError as Failure } from '../uploads/errors.ts'
import type { Principal } from '../uploads/words.ts'

/** What is known of a request besides what it says itself. */
export interface RequestContext {
  readonly requestId: string
  /** The address as it came: Express shortens `url` below a mount. */
  readonly url: string
  operation: string
  principal: Principal | null
  /** The failure that was answered. */
  failure: UploadError | null
}

const contexts = new WeakMap<IncomingMessage, RequestContext>()

/** Opens the context of a request; the first middleware does. */
export function openContext(req: IncomingMessage, requestId: string): RequestContext {
  const context = { requestId, url: req.url ?? '/', operation: 'unmatched', principal: null, failure: null }
  contexts.set(req, context)
  return context
}

/** null for a request that never got to the first middleware. */
export function contextOf(req: IncomingMessage): RequestContext | null {
  return contexts.get(req) ?? null
}

/** The caller. Throws unauthenticated for a request that did not pass the authentication. */
export function principalOf(req: IncomingMessage): Principal {
  const principal = contexts.get(req)?.principal ?? null
  if (principal === null) throw new Failure('unauthenticated', 'Nobody was authenticated for this request.')
  return principal
}

/** Remembers what went wrong, for the logs; the first failure counts. */
export function noteFailure(req: IncomingMessage, error: UploadError): void {
  const context = contexts.get(req)
  if (context) context.failure ??= error
}
