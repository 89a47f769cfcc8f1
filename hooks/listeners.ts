import type { Upload, UploadId } from '../server/uploads/words.ts'
import type { Listener } from './consumer.ts'
import type { EventType, UploadEvent } from './events.ts'
import type { Hooks, PostContext } from './lifecycle.ts'
import type { Log } from './ports.ts'
import { bounded } from './time.ts'

export interface ListenersOptions {
  readonly log: Log
  readonly find: (id: UploadId) => Promise<Upload | null>
  /** Longest time of a hook, milliseconds; one that takes longer counts as failed and is called again. */
  readonly timeoutMs: number
}

/** The post-* hooks as listeners of their events. One that throws is called again with the same event. */
export function listenersOf(hooks: Hooks, options: ListenersOptions): readonly Listener[] {
  return [
    listener('post-create', 'upload.created', hooks['post-create'], options),
    listener('post-receive', 'upload.receiving', hooks['post-receive'], options),
    listener('post-finish', 'upload.uploaded', hooks['post-finish'], options),
    listener('post-terminate', 'upload.terminated', hooks['post-terminate'], options),
  ].filter((found) => found !== null)
}

function listener<T extends EventType>(
  name: string,
  type: T,
  hook: ((context: PostContext<T>) => void | Promise<void>) | undefined,
  { log, find, timeoutMs }: ListenersOptions,
): Listener | null {
  if (!hook) return null
  return {
    name: `hook:${name}`,
    type,
    async handle(event, { attempt, signal }) {
      if (!isOf(event, type)) return
      const call = (timeUp: AbortSignal) =>
        hook({
          event,
          attempt,
          log,
          signal: AbortSignal.any([signal, timeUp]),
          readUpload: () => find(event.uploadId),
        })
      await bounded(call, timeoutMs, `the ${name} hook took longer than ${timeoutMs} ms`)
    },
  }
}

function isOf<T extends EventType>(event: UploadEvent, type: T): event is UploadEvent & UploadEvent<T> {
  return event.type === type
}
