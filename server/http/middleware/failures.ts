import type { ErrorRequestHandler, RequestHandler } from 'express'
import { UploadError } from '../../uploads/errors.ts'
import { sendFailure } from '../send-failure.ts'

/** Where every address ends that no route took. */
export function notFound(): RequestHandler {
  return (_req, _res, next) => next(new UploadError('not_found', 'Nothing is at this address.'))
}

/** The one place where what a route throws becomes an answer. Express knows it by its four parameters. */
export function failures(): ErrorRequestHandler {
  return (error, req, res, _next) => sendFailure(req, res, error)
}
