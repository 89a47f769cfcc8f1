import type { Gatekeeper } from '../server/uploads/api.ts'
import { hasCode, UploadError } from '../server/uploads/errors.ts'
import type { HookName, Hooks } from './lifecycle.ts'
import type { Log } from './ports.ts'
import { bounded } from './time.ts'

export interface GatekeeperOptions {
  readonly log: Log
  /** Longest time of a hook, milliseconds. */
  readonly timeoutMs: number
}

/** Lets everything pass. */
export const openGate: Gatekeeper = {
  async preCreate() {},
  async preFinish() {},
  async preTerminate() {},
}

/**
 * The pre-* hooks as the engine calls them. A gate that is broken stays shut: a hook that throws anything but a refusal,
 * or takes too long, is an `internal` error of this request and of nothing else.
 */
export function gatekeeperOf(hooks: Hooks, options: GatekeeperOptions): Gatekeeper {
  const { log } = options
  return {
    async preCreate(principal, upload) {
      const hook = hooks['pre-create']
      if (hook) await guard('pre-create', (signal) => hook({ principal, upload, signal, log }), options)
    },
    async preFinish(upload) {
      const hook = hooks['pre-finish']
      if (hook) await guard('pre-finish', (signal) => hook({ upload, signal, log }), options)
    },
    async preTerminate(principal, upload) {
      const hook = hooks['pre-terminate']
      if (hook) await guard('pre-terminate', (signal) => hook({ principal, upload, signal, log }), options)
    },
  }
}

async function guard(
  name: HookName,
  call: (signal: AbortSignal) => void | Promise<void>,
  { log, timeoutMs }: GatekeeperOptions,
): Promise<void> {
  try {
    await bounded(call, timeoutMs, `the hook took longer than ${timeoutMs} ms`)
  } catch (error) {
    if (hasCode(error, 'refused_by_hook')) throw error
    log.error({ err: error, hook: name }, 'hooks: a blocking hook failed; the request is refused')
    throw new UploadError('internal', `the ${name} hook failed`, { cause: error })
  }
}
