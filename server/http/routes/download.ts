import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Request, RequestHandler, Response } from 'express'
import { toUploadError } from '../../errors/answer.ts'
import type { Download, Engine } from '../../uploads/api.ts'
import { hasCode, UploadError } from '../../uploads/errors.ts'
import { checkConditions, namesEtag, rangeCounts } from '../conditions.ts'
import { noteFailure, principalOf } from '../context.ts'
import { contentDisposition as dispositionOf, safeContentType } from '../disposition.ts'
import type { HttpSettings } from '../ports.ts'
import { type RangeAnswer, resolveRange } from '../range.ts'
import { requiredId } from './upload-id.ts'

/** Nothing that a stored file contains may run, load or frame anything when a browser shows it. */
const SANDBOX = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"

/** `GET /api/v1/uploads/{id}`: the file of a finished upload, or one range of it; or where the store has it. */
export function download(
  engine: Engine,
  { idleTimeoutMs, linkMs }: Pick<HttpSettings, 'idleTimeoutMs' | 'linkMs'>,
): RequestHandler {
  return async (req, res) => {
    const file = await engine.download(principalOf(req), requiredId(req))
    if (linkMs !== null && (await redirected(req, res, file, linkMs))) return
    if (!settleConditions(req, res, file)) return
    const range = rangeCounts(req.headers, file.etag) ? resolveRange(req.headers.range, file.bytes) : 'whole'
    const length = settleRange(res, file, range)
    res.setHeader('Content-Length', length)
    if (length === 0) {
      res.end()
      return
    }
    const stream = await file.open(range === 'whole' || range === 'unsatisfiable' ? undefined : range)
    await send(stream, req, res, idleTimeoutMs)
  }
}

/**
 * Answers with a link to the store, which does ranges and conditions itself, with an ETag of its own. A client that names
 * ours (from a HEAD, or from before links were switched on) is answered here. False: nothing was answered.
 */
async function redirected(req: Request, res: Response, file: Download, expiresMs: number): Promise<boolean> {
  if (file.bytes === 0 || namesEtag(req.headers, file.etag)) return false
  const contentType = safeContentType(file.upload.contentType)
  // The store does not send nosniff: only what no browser takes for anything else is shown.
  const contentDisposition = dispositionOf(contentType, file.upload.filename, { nosniff: false })
  const link = await file.link({ expiresMs, contentType, contentDisposition })
  if (link === null) return false
  // Whoever has the link has the file: it is for this client and for once.
  res.setHeader('Cache-Control', 'no-store')
  res.setHeader('Referrer-Policy', 'no-referrer')
  res.setHeader('Location', link)
  res.status(307).end()
  return true
}

/**
 * `HEAD /api/v1/uploads/{id}` without Tus-Resumable: what GET would say, for a finished upload; 412 for an unfinished
 * one, whose state only the tus dialect tells.
 */
export function downloadHead(engine: Engine): RequestHandler {
  return async (req, res) => {
    const file = await engine.download(principalOf(req), requiredId(req)).catch(asVersionFault)
    if (!settleConditions(req, res, file)) return
    res.setHeader('Content-Length', file.bytes)
    res.end()
  }
}

function asVersionFault(error: unknown): never {
  if (!hasCode(error, 'upload_not_finished') || error.facts.state === 'processing') throw error
  throw new UploadError('version_unsupported', 'The upload is not finished: ask with Tus-Resumable: 1.0.0.')
}

/** Headers of the representation; false when the conditions already answered. Throws precondition_failed. */
function settleConditions(req: Request, res: Response, file: Download): boolean {
  const type = safeContentType(file.upload.contentType)
  res.setHeader('ETag', file.etag)
  res.setHeader('Cache-Control', 'private, no-cache')
  const answer = checkConditions(req.headers, file.etag)
  if (answer === 'failed') {
    throw new UploadError('precondition_failed', `If-Match does not name the file's ETag ${file.etag}.`)
  }
  if (answer === 'not-modified') {
    res.status(304).end()
    return false
  }
  res.setHeader('Accept-Ranges', 'bytes')
  res.setHeader('Content-Type', type)
  res.setHeader('Content-Disposition', dispositionOf(type, file.upload.filename))
  res.setHeader('Content-Security-Policy', SANDBOX)
  res.setHeader('X-Content-Type-Options', 'nosniff')
  return true
}

/** Sets 206 and Content-Range for a range. Returns the bytes to be sent. Throws range_not_satisfiable. */
function settleRange(res: Response, file: Download, range: RangeAnswer): number {
  if (range === 'whole') return file.bytes
  if (range === 'unsatisfiable') {
    throw new UploadError('range_not_satisfiable', `The file has ${file.bytes} bytes.`, {
      facts: { bytes: file.bytes },
    })
  }
  res.status(206).setHeader('Content-Range', `bytes ${range.first}-${range.last}/${file.bytes}`)
  return range.last - range.first + 1
}

/**
 * A client that leaves, in the middle or right after the last byte, is no failure. A store that breaks off is one: it is
 * noted before the answer is cut, because the log is written when the answer closes.
 */
async function send(stream: Readable, req: Request, res: Response, idleTimeoutMs: number): Promise<void> {
  if (res.destroyed) {
    stream.destroy()
    return
  }
  stream.once('error', (error) => {
    if (!res.destroyed) noteFailure(req, toUploadError(error))
  })
  // Socket timeouts look at progress, so this ends a reader that stands still, not one that is slow.
  res.setTimeout(idleTimeoutMs, () => res.destroy())
  // Both ends are destroyed when either breaks; there is nobody left to answer.
  await pipeline(stream, res).catch(() => {})
}
