import type { ByteStore, ObjectOptions } from '../../../../server/uploads/ports/byte-store.ts'
import type { Coordination } from '../../../../server/uploads/ports/coordination.ts'
import type { Records } from '../../../../server/uploads/ports/records.ts'
import type { CallHooks, SimProcess } from './process.ts'

/** The store as a process reaches it over the network. */
export function storeOf(process: SimProcess, store: ByteStore): ByteStore {
  const write = <T>(apply: () => Promise<T>, hooks: CallHooks = {}) => process.call('store', apply, hooks)
  return {
    minPartBytes: store.minPartBytes,
    maxParts: store.maxParts,
    maxObjectBytes: store.maxObjectBytes,
    equalParts: store.equalParts,
    bucket: store.bucket,
    putObject: (key, piece, hooks = {}) => write(() => store.putObject(key, piece, typeOf(hooks)), hooks),
    createMultipart: (key, partBytes, hooks = {}) =>
      write(() => store.createMultipart(key, partBytes, typeOf(hooks)), hooks),
    uploadPart: (key, id, number, piece, hooks) => write(() => store.uploadPart(key, id, number, piece), hooks),
    copyPart: (key, id, number, source, hooks) => write(() => store.copyPart(key, id, number, source), hooks),
    listParts: (key, id) => write(() => store.listParts(key, id)),
    completeMultipart: (key, id, parts, whole, hooks) =>
      write(() => store.completeMultipart(key, id, parts, whole), hooks),
    abortMultipart: (key, id) => write(() => store.abortMultipart(key, id)),
    head: (key) => write(() => store.head(key)),
    read: (key, range, signal) => write(() => store.read(key, range, signal), signal ? { signal } : {}),
    async *list(prefix) {
      yield* await write(async () => {
        const found = []
        for await (const object of store.list(prefix)) found.push(object)
        return found
      })
    },
    remove: (keys) => write(() => store.remove(keys)),
    ping: (signal) => write(() => store.ping(signal)),
    close: async () => {},
  }
}

/** The signal ends the wait for the answer, never what is on its way. */
function typeOf({ contentType }: ObjectOptions): ObjectOptions {
  return contentType === undefined ? {} : { contentType }
}

/** The rows as a process reaches them. */
export function recordsOf(process: SimProcess, records: Records): Records {
  const call = <T>(apply: () => Promise<T>) => process.call('records', apply)
  return {
    insert: (upload, entered) => call(() => records.insert(upload, entered)),
    insertFinal: (upload, partials) => call(() => records.insertFinal(upload, partials)),
    isSource: (key) => call(() => records.isSource(key)),
    duePartials: (now, limit) => call(() => records.duePartials(now, limit)),
    releasePartials: (final, expiresAt) => call(() => records.releasePartials(final, expiresAt)),
    find: (id) => call(() => records.find(id)),
    change: (id, change, options) => call(() => records.change(id, change, options)),
    generations: (ids) => call(() => records.generations(ids)),
    list: (query) => call(() => records.list(query)),
    due: (now, finishingBefore, limit) => call(() => records.due(now, finishingBefore, limit)),
    note: (entry) => call(() => records.note(entry)),
    ping: (signal) => call(() => records.ping(signal)),
  }
}

/** Holds and sessions as a process reaches them; messages come when the process runs. */
export function coordinationOf(process: SimProcess, inner: Coordination): Coordination {
  const call = <T>(apply: () => Promise<T>) => process.call('coordination', apply)
  return {
    instance: inner.instance,
    take: (upload, token, leaseMs) => call(() => inner.take(upload, token, leaseMs)),
    renew: (holds, leaseMs) => call(() => inner.renew(holds, leaseMs)),
    save: (upload, token, session, parts, release) => call(() => inner.save(upload, token, session, parts, release)),
    parts: (upload, token) => call(() => inner.parts(upload, token)),
    release: (upload, token, clean) => call(() => inner.release(upload, token, clean)),
    drop: (upload, token) => call(() => inner.drop(upload, token)),
    peek: (upload) => call(() => inner.peek(upload)),
    tell: (instance, message) => call(() => inner.tell(instance, message)),
    listen: (handler) => inner.listen((message) => process.deliver(() => handler(message))),
    ping: (signal) => call(() => inner.ping(signal)),
    close: async () => {},
  }
}
