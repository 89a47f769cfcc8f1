import EventEmitter from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'
import type { RouteHandler, Server } from '@tus/server'

/** The request as @tus/server hands it to a handler (srvx). */
export type ShellRequest = Parameters<RouteHandler>[0]
type Handlers = Server['handlers']
export type Verb = keyof Handlers

/** What @tus/server calls: it emits events on handlers too, so each is an emitter. */
export abstract class TusHandler extends EventEmitter {
  abstract send(request: ShellRequest): Promise<Response>
}

const VERBS: readonly Verb[] = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST']

/**
 * Our handlers in the place of upstream's. Their classes are not exported, so this is the one cast of the dialect; it
 * looks first whether upstream still has exactly the handlers that we replace, and still calls `send` on them.
 */
export function replaceHandlers(current: Handlers, ours: Readonly<Record<Verb, TusHandler>>): Handlers {
  const found = Object.keys(current).sort()
  if (found.join() !== VERBS.join() || VERBS.some((verb) => typeof current[verb].send !== 'function')) {
    throw new Error(`@tus/server has other handlers than server/tus was written for: ${found.join(', ')}`)
  }
  return ours as unknown as Handlers
}

/** Node's request and response behind the shell's: no web stream is made. */
export function nodeOf(request: ShellRequest): { req: IncomingMessage; res: ServerResponse } {
  const { req, res } = request.runtime?.node ?? {}
  if (req instanceof IncomingMessage && res instanceof ServerResponse) return { req, res }
  throw new Error('The tus dialect was called outside an HTTP/1 server of Node')
}
