import type { IncomingHttpHeaders } from 'node:http'
import type { RequestHandler } from 'express'
import { UploadError } from '../../uploads/errors.ts'
import { contextOf } from '../context.ts'

export type Dialect = 'tus' | 'draft' | 'form' | 'unknown'

const DRAFT_HEADERS = ['upload-complete', 'upload-incomplete', 'upload-draft-interop-version'] as const

/** Which dialect a POST on the collection speaks: the first of these that it shows. */
export function dialectOf(headers: IncomingHttpHeaders): Dialect {
  if (headers['tus-resumable'] !== undefined) return 'tus'
  if (DRAFT_HEADERS.some((name) => headers[name] !== undefined)) return 'draft'
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  return type === 'multipart/form-data' ? 'form' : 'unknown'
}

const REFUSED: Readonly<Record<'draft' | 'unknown', string>> = {
  draft: 'The IETF resumable upload draft is not served here; create uploads with Tus-Resumable: 1.0.0.',
  unknown: 'Tus-Resumable is missing; send Tus-Resumable: 1.0.0, or a file as multipart/form-data.',
}

/** `POST /api/v1/uploads`: a creation, in the dialect that it is written in. */
export function createUpload(tus: RequestHandler, form: RequestHandler): RequestHandler {
  return (req, res, next) => {
    const dialect = dialectOf(req.headers)
    if (dialect === 'tus') return tus(req, res, next)
    if (dialect === 'form') {
      const context = contextOf(req)
      if (context !== null) context.operation = 'uploads.form'
      return form(req, res, next)
    }
    throw new UploadError('version_unsupported', REFUSED[dialect])
  }
}
