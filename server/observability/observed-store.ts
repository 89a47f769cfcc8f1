/** A byte store whose calls are timed. */
import type { ByteStore, Stores } from '../uploads/ports/byte-store.ts'
import type { Metrics } from './metrics.ts'

type Operation = Parameters<Metrics['storage']['called']>[0]

function outcomeOf(error: unknown): 'unavailable' | 'error' {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null
  return code === 'store_unavailable' ? 'unavailable' : 'error'
}

/** `store`, with each call reported to `metrics`. A read is timed up to its first byte, a list up to its end. */
export function observedStore(store: ByteStore, metrics: Metrics['storage']): ByteStore {
  async function timed<T>(operation: Operation, call: () => Promise<T>): Promise<T> {
    const startedAt = performance.now()
    const done = (outcome: 'ok' | 'unavailable' | 'error'): void => {
      metrics.called(operation, outcome, (performance.now() - startedAt) / 1000)
    }
    try {
      const result = await call()
      done('ok')
      return result
    } catch (error) {
      done(outcomeOf(error))
      throw error
    }
  }

  async function* list(prefix: string): ReturnType<ByteStore['list']> {
    const startedAt = performance.now()
    let outcome: 'ok' | 'unavailable' | 'error' = 'ok'
    try {
      yield* store.list(prefix)
    } catch (error) {
      outcome = outcomeOf(error)
      throw error
    } finally {
      metrics.called('list', outcome, (performance.now() - startedAt) / 1000)
    }
  }

  return {
    minPartBytes: store.minPartBytes,
    maxParts: store.maxParts,
    maxObjectBytes: store.maxObjectBytes,
    bucket: store.bucket,
    equalParts: store.equalParts,
    putObject: (...args) => timed('put_object', () => store.putObject(...args)),
    createMultipart: (...args) => timed('create_multipart', () => store.createMultipart(...args)),
    uploadPart: (...args) => timed('upload_part', () => store.uploadPart(...args)),
    copyPart: (...args) => timed('copy_part', () => store.copyPart(...args)),
    listParts: (...args) => timed('list_parts', () => store.listParts(...args)),
    completeMultipart: (...args) => timed('complete_multipart', () => store.completeMultipart(...args)),
    abortMultipart: (...args) => timed('abort_multipart', () => store.abortMultipart(...args)),
    head: (...args) => timed('head', () => store.head(...args)),
    read: (...args) => timed('read', () => store.read(...args)),
    // Nothing is asked of the store for a link, so there is nothing to time.
    ...(store.link ? { link: store.link.bind(store) } : {}),
    list,
    remove: (...args) => timed('remove', () => store.remove(...args)),
    ping: (...args) => store.ping(...args),
    close: () => store.close(),
  }
}

/** `stores`, each of them observed; the same one for the same store. */
export function observedStores(stores: Stores, metrics: Metrics['storage']): Stores {
  const observed = new WeakMap<ByteStore, ByteStore>()
  return {
    of(upload) {
      const store = stores.of(upload)
      const known = observed.get(store)
      if (known) return known
      const made = observedStore(store, metrics)
      observed.set(store, made)
      return made
    },
  }
}
