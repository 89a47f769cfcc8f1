import type { IncomingMessage, ServerResponse } from 'node:http'
import { DataStore, Server } from '@tus/server'
import { toUploadError } from '../errors/answer.ts'
import { UploadError } from '../uploads/errors.ts'
import { type Admitted, admit, TUS_VERSION } from './gate.ts'
import { terminate } from './handlers/delete.ts'
import { inspect } from './handlers/head.ts'
import { describe, extensionsOf } from './handlers/options.ts'
import { append } from './handlers/patch.ts'
import { create } from './handlers/post.ts'
import { applyMethodOverride } from './method-override.ts'
import type { Call, TusOptions } from './options.ts'
import { type Reply, refusal, toResponse, writeReply } from './reply.ts'
import { nodeOf, replaceHandlers, type ShellRequest, TusHandler } from './seam.ts'

/** Nothing is stored through @tus/server: the engine is. It wants a store nevertheless, and its extensions. */
class NoStore extends DataStore {
  constructor(extensions: readonly string[]) {
    super()
    this.extensions = [...extensions]
  }
}

/** A handler of ours behind the shape that @tus/server calls: failures become answers here, never exceptions. */
class Seat extends TusHandler {
  readonly #run: (call: Call) => Promise<Reply>
  readonly #options: TusOptions
  readonly #admitted: WeakMap<IncomingMessage, Admitted>

  constructor(run: (call: Call) => Promise<Reply>, options: TusOptions, admitted: WeakMap<IncomingMessage, Admitted>) {
    super()
    this.#run = run
    this.#options = options
    this.#admitted = admitted
  }

  override async send(request: ShellRequest): Promise<Response> {
    const { req, res } = nodeOf(request)
    try {
      const admitted = this.#admitted.get(req)
      if (admitted === undefined) throw new UploadError('internal', 'The request did not come through the gate')
      return toResponse(await this.#run(this.#call(request, req, res, admitted)), req)
    } catch (error) {
      this.#options.onFailure?.(req, toUploadError(error))
      return toResponse(refusal(error, req.method ?? ''), req)
    }
  }

  #call(request: ShellRequest, req: IncomingMessage, res: ServerResponse, admitted: Admitted): Call {
    const options = this.#options
    // OPTIONS is answered without authentication: browsers send none with a preflight.
    const nobody = { subject: 'anonymous', tenant: 'default', roles: [] }
    const principal = req.method === 'OPTIONS' ? nobody : options.principalOf(req)
    const announce = (event: string, ...values: readonly unknown[]): void => {
      if (this.listenerCount(event) > 0) this.emit(event, request, ...values)
    }
    return { ...admitted, req, res, options, principal, announce }
  }
}

async function notHere(): Promise<Reply> {
  throw new UploadError('not_found', 'Downloads are not part of the tus dialect.')
}

/**
 * The tus 1.0 dialect: @tus/server's shell (dispatch, contexts, events) around a front gate and handlers of ours that
 * call the engine (docs/decisions/001-tus-server-seam.md). CORS and authentication are the HTTP layer's.
 */
export class TusServer extends Server {
  readonly #options: TusOptions
  readonly #admitted = new WeakMap<IncomingMessage, Admitted>()

  constructor(options: TusOptions) {
    super({
      path: options.path,
      datastore: new NoStore(extensionsOf(options)),
      // CORS headers are set by the HTTP layer, for errors too; upstream's are never used.
      allowedOrigins: () => false,
    })
    this.#options = options
    const seat = (run: (call: Call) => Promise<Reply>): TusHandler => new Seat(run, options, this.#admitted)
    this.handlers = replaceHandlers(this.handlers, {
      DELETE: seat(terminate),
      GET: seat(notHere),
      HEAD: seat(inspect),
      OPTIONS: seat(describe),
      PATCH: seat(append),
      POST: seat(create),
    })
  }

  /** Makes the effective method `req.method`, for routes that look at it before the dialect does. */
  applyMethodOverride(req: IncomingMessage): void {
    applyMethodOverride(req)
  }

  /** The front gate, then upstream's dispatch. Every answer, refusals too, carries Tus-Resumable. Never rejects. */
  override async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    res.setHeader('Tus-Resumable', TUS_VERSION)
    try {
      this.#admitted.set(req, admit(req, this.#options.path))
      hideHeaders(req)
      await super.handle(req, res)
    } catch (error) {
      this.#options.onFailure?.(req, toUploadError(error))
      writeReply(res, refusal(error, req.method ?? ''), req)
    }
  }
}

/**
 * Upstream checks headers again, from the raw lines, and refuses what it must not (a metadata key `toString`, a media
 * type with parameters, `X-Forwarded-Proto: https,http`). All is checked by now, so it sees the version alone; everybody
 * else reads `req.headers`, which Node builds from the raw lines once: here, at the latest.
 */
function hideHeaders(req: IncomingMessage): void {
  void req.headers
  req.rawHeaders = ['Tus-Resumable', TUS_VERSION]
}
