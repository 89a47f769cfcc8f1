import type { RequestHandler } from 'express'
import { requireRole } from '../../uploads/policy.ts'
import { principalOf } from '../context.ts'

/** Lets operators through. Throws forbidden. */
export function administrators(): RequestHandler {
  return (req, _res, next) => {
    requireRole(principalOf(req), 'administer')
    next()
  }
}
