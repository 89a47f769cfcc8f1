import { EVENTS } from '@tus/server'
import type { Call } from '../options.ts'
import { bare, type Reply } from '../reply.ts'
import { idOf } from '../standing.ts'

/** DELETE: ends an upload in any state (tus 1.0, Termination). tus-js-client takes nothing but 204 for success. */
export async function terminate(call: Call): Promise<Reply> {
  const id = idOf(call)
  await call.options.engine.terminate(call.principal, id)
  call.announce(EVENTS.POST_TERMINATE, id)
  return bare(204)
}
