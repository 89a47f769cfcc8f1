import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Engine } from '../uploads/api.ts'
import type { UploadError } from '../uploads/errors.ts'
import type { Principal, UploadId } from '../uploads/words.ts'
import type { Admitted } from './gate.ts'

export interface TusOptions {
  readonly engine: Engine
  /** Where the collection is, e.g. `/api/v1/uploads`; no trailing slash. */
  readonly path: string
  /** Do unfinished uploads expire? Then `expiration` is advertised. */
  readonly expires: boolean
  /** Who is calling: settled by the HTTP layer before the request gets here. */
  principalOf(req: IncomingMessage): Principal
  /** The address of an upload, for `Location`. */
  locate(req: IncomingMessage, id: UploadId): string
  /** Told of every failure that is answered, for the logs. */
  onFailure?(req: IncomingMessage, error: UploadError): void
}

/** One request on its way through a handler. */
export interface Call extends Admitted {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly options: TusOptions
  readonly principal: Principal
  /** Emits one of @tus/server's events, when somebody listens. */
  announce(event: string, ...values: readonly unknown[]): void
}
