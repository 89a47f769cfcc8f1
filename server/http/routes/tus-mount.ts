import type { RequestHandler } from 'express'
import { contextOf } from '../context.ts'
import type { TusDialect } from '../ports.ts'

const OPERATIONS: Readonly<Record<string, string>> = {
  POST: 'tus.create',
  HEAD: 'tus.inspect',
  PATCH: 'tus.append',
  DELETE: 'tus.terminate',
  OPTIONS: 'tus.options',
}

/** Everything under the uploads that no other route took speaks tus, or is refused by its gate. */
export function tusMount(tus: TusDialect): RequestHandler {
  return async (req, res) => {
    const context = contextOf(req)
    if (context !== null) context.operation = OPERATIONS[req.method] ?? 'tus.other'
    // Express shortens the address below a mount; the gate reads the whole of it.
    req.url = req.originalUrl
    await tus.handle(req, res)
  }
}

/** `HEAD /api/v1/uploads/{id}`: tus for a client that says so, the file's headers for any other. */
export function inspectOr(tus: TusDialect, other: RequestHandler): RequestHandler {
  const speakTus = tusMount(tus)
  return (req, res, next) => {
    return req.headers['tus-resumable'] === undefined ? other(req, res, next) : speakTus(req, res, next)
  }
}

/** What nobody else answers goes to tus at once, past every other route: PATCH and DELETE, and HEAD of an upload in tus. */
export function onlyTus(tus: TusDialect): RequestHandler {
  const speakTus = tusMount(tus)
  return (req, res, next) => {
    const { method } = req
    const isTus =
      method === 'PATCH' ||
      method === 'DELETE' ||
      (method === 'HEAD' && isOne(req.path) && req.headers['tus-resumable'] !== undefined)
    return isTus ? speakTus(req, res, next) : next()
  }
}

/** Below the mount the collection itself is `/`, and an upload `/{id}`. */
function isOne(path: string): boolean {
  return path.length > 1 && !path.includes('/', 1)
}
