import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Gatekeeper } from '../server/uploads/api.ts'
import type { Upload, UploadId } from '../server/uploads/words.ts'
import type { Listener } from './consumer.ts'
import { gatekeeperOf, openGate } from './gatekeeper.ts'
import { HOOK_NAMES, type HookName, type Hooks, isDefined } from './lifecycle.ts'
import { listenersOf } from './listeners.ts'
import type { Log } from './ports.ts'

export interface HookOptions {
  readonly log: Log
  /** Reads a row for post-* hooks: `records.find`. */
  readonly find: (id: UploadId) => Promise<Upload | null>
  /** Longest time of a pre-* hook, milliseconds. Default 5 000. */
  readonly timeoutMs?: number
  /** Longest time of a post-* hook, milliseconds. Default 60 000. */
  readonly postTimeoutMs?: number
  /** Where a relative path begins. Default: the working directory. */
  readonly directory?: string
}

/** The hooks of a module, ready to be wired. */
export interface LoadedHooks {
  readonly names: readonly HookName[]
  /** For the engine. */
  readonly gatekeeper: Gatekeeper
  /** For the consumer. */
  readonly listeners: readonly Listener[]
}

/** What is wired when no module is configured. */
export const noHooks: LoadedHooks = { names: [], gatekeeper: openGate, listeners: [] }

/**
 * Loads HOOKS_MODULE: a path (TypeScript or JavaScript), or the name of an installed package. Throws Error that says
 * what is wrong with the module and what it should be: wrong hooks stop the start.
 */
export async function loadHooks(module: string, options: HookOptions): Promise<LoadedHooks> {
  const hooks = check(module, await importDefault(module, options.directory ?? process.cwd()))
  return {
    names: HOOK_NAMES.filter((name) => hooks[name]),
    gatekeeper: gatekeeperOf(hooks, { log: options.log, timeoutMs: options.timeoutMs ?? 5_000 }),
    listeners: listenersOf(hooks, { log: options.log, find: options.find, timeoutMs: options.postTimeoutMs ?? 60_000 }),
  }
}

async function importDefault(module: string, directory: string): Promise<unknown> {
  const path = resolve(directory, module)
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
  if (!isFile && /^[./]/.test(module)) throw new Error(`hooks: there is no file ${path}`)
  try {
    const exported: Record<string, unknown> = await import(isFile ? pathToFileURL(path).href : module)
    return exported.default
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`hooks: ${module} cannot be loaded: ${reason}`, { cause: error })
  }
}

function check(module: string, exported: unknown): Hooks {
  if (!isDefined(exported)) {
    throw new Error(`hooks: the default export of ${module} must be made by defineHooks({ ... })`)
  }
  for (const [name, hook] of Object.entries(exported)) {
    if (!HOOK_NAMES.some((known) => known === name)) {
      throw new Error(`hooks: ${module} has an unknown hook "${name}"; known are ${HOOK_NAMES.join(', ')}`)
    }
    if (hook !== undefined && typeof hook !== 'function') {
      throw new Error(`hooks: "${name}" of ${module} must be a function, not ${typeof hook}`)
    }
  }
  return exported
}
