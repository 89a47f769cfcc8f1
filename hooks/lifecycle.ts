/**
 * Lifecycle hooks: functions of one's own that run when something happens to an upload. docs/hooks.md tells how to
 * write a module of them.
 */
import type { UploadDraft } from '../server/uploads/api.ts'
import { UploadError } from '../server/uploads/errors.ts'
import type { Principal, Upload } from '../server/uploads/words.ts'
import type { EventType, UploadEvent } from './events.ts'
import type { Log } from './ports.ts'

interface Blocking {
  /** Aborted when the time limit is over; what the hook answers after that is not heard. */
  readonly signal: AbortSignal
  readonly log: Log
}

export interface PreCreateContext extends Blocking {
  readonly principal: Principal
  /** What the client asks for; there is no row yet. */
  readonly upload: UploadDraft
}

export interface PreFinishContext extends Blocking {
  readonly upload: Upload
}

export interface PreTerminateContext extends Blocking {
  readonly principal: Principal
  readonly upload: Upload
}

export interface PostContext<T extends EventType> {
  /** The same `event.id` at every repeat. */
  readonly event: UploadEvent<T>
  /** 1 at the first try. */
  readonly attempt: number
  /** Aborted when the worker closes or the time limit is over. */
  readonly signal: AbortSignal
  readonly log: Log
  /** The row as it is now, perhaps further than the event; null: it is no more. */
  readUpload(): Promise<Upload | null>
}

type Hook<Context> = (context: Context) => void | Promise<void>

/** The hooks a module may have. `pre-*` block the request and may {@link refuse}; `post-*` run later, in a worker. */
export interface Hooks {
  /** Before an upload exists. A refusal answers the creation. */
  readonly 'pre-create'?: Hook<PreCreateContext>
  /** The upload exists (event `upload.created`). */
  readonly 'post-create'?: Hook<PostContext<'upload.created'>>
  /** Its first bytes are being received (event `upload.receiving`); not for a whole file in one request. */
  readonly 'post-receive'?: Hook<PostContext<'upload.receiving'>>
  /** All bytes are durable, the object is not made yet. A refusal ends the upload as terminated. */
  readonly 'pre-finish'?: Hook<PreFinishContext>
  /** The object is whole (event `upload.uploaded`). */
  readonly 'post-finish'?: Hook<PostContext<'upload.uploaded'>>
  /** Before somebody ends an upload. A refusal leaves it as it is. */
  readonly 'pre-terminate'?: Hook<PreTerminateContext>
  /** It was ended (event `upload.terminated`). */
  readonly 'post-terminate'?: Hook<PostContext<'upload.terminated'>>
}

export type HookName = keyof Hooks

/** Every hook, in the order of an upload's life. */
export const HOOK_NAMES = [
  'pre-create',
  'post-create',
  'post-receive',
  'pre-finish',
  'post-finish',
  'pre-terminate',
  'post-terminate',
] as const satisfies readonly HookName[]

const defined = new WeakSet<object>()

/** What a hook module exports as its default. */
export function defineHooks(hooks: Hooks): Hooks {
  const copy = Object.freeze({ ...hooks })
  defined.add(copy)
  return copy
}

/** Was this made by {@link defineHooks}? */
export function isDefined(value: unknown): value is Hooks {
  return typeof value === 'object' && value !== null && defined.has(value)
}

/**
 * Ends the request that a pre-* hook was asked about with `status` (400 to 499) and `message`, which the client sees.
 * Always throws: UploadError `refused_by_hook`, or RangeError for a status that is no refusal.
 */
export function refuse(status: number, message: string): never {
  if (!Number.isInteger(status) || status < 400 || status > 499) {
    throw new RangeError(`refuse: the status must be from 400 to 499, not ${status}`)
  }
  throw new UploadError('refused_by_hook', message, { facts: { status } })
}
