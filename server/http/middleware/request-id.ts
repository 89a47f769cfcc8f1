import { randomUUID } from 'node:crypto'
import type { RequestHandler } from 'express'
import { openContext } from '../context.ts'

const SANE = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/

/** Opens the request's context. A sane `X-Request-ID` is taken over, any other is replaced; the answer carries it. */
export function requestId(): RequestHandler {
  return (req, res, next) => {
    const sent = req.headers['x-request-id']
    const id = typeof sent === 'string' && SANE.test(sent) ? sent : randomUUID()
    openContext(req, id)
    res.setHeader('X-Request-ID', id)
    next()
  }
}
