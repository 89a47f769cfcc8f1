import type { RequestHandler } from 'express'
import { contextOf } from '../context.ts'
import type { Authenticate } from '../ports.ts'

/** Settles who is calling. OPTIONS passes: browsers send no credentials with a preflight. */
export function authenticated(authenticate: Authenticate): RequestHandler {
  return async (req, _res, next) => {
    const context = contextOf(req)
    if (req.method !== 'OPTIONS' && context !== null) context.principal = await authenticate(req)
    next()
  }
}
