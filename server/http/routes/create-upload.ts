import type { IncomingHttpHeaders } from 'node:http'
import type { RequestHandler } from 'express'
import { UploadError } from '../../uploads/errors.ts'
import type { TusDialect } from '../ports.ts'
import { tusMount } from './tus-mount.ts'

export type Dialect = 'tus' | 'draft' | 'form' | 'unknown'

const DRAFT_HEADERS = ['upload-complete', 'upload-incomplete', 'upload-draft-interop-version'] as const

/** Which dialect a POST on the collection speaks: the first of these that it shows. */
export function dialectOf(headers: IncomingHttpHeaders): Dialect {
  if (headers['tus-resumable'] !== undefined) return 'tus'
  if (DRAFT_HEADERS.some((name) => headers[name] !== undefined)) return 'draft'
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  return type === 'multipart/form-data' ? 'form' : 'unknown'
}

const REFUSED: Readonly<Record<Exclude<Dialect, 'tus'>, string>> = {
  draft: 'The IETF resumable upload draft is not served here; create uploads with Tus-Resumable: 1.0.0.',
  form: 'Form uploads are not served here; create uploads with Tus-Resumable: 1.0.0.',
  unknown: 'Tus-Resumable is missing; send Tus-Resumable: 1.0.0.',
}

/** `POST /api/v1/uploads`: a creation, in the dialect that it is written in. */
export function createUpload(tus: TusDialect): RequestHandler {
  const speakTus = tusMount(tus)
  return (req, res, next) => {
    const dialect = dialectOf(req.headers)
    if (dialect === 'tus') return speakTus(req, res, next)
    throw new UploadError('version_unsupported', REFUSED[dialect])
  }
}
