import type { IncomingMessage } from 'node:http'
import { UploadError } from '../uploads/errors.ts'

/** The request headers that the tus dialect reads. */
const NAMES = [
  'tus-resumable',
  'upload-length',
  'upload-defer-length',
  'upload-offset',
  'upload-metadata',
  'upload-concat',
  'upload-checksum',
  'content-type',
  'content-encoding',
  'x-http-method-override',
] as const

export type TusHeaderName = (typeof NAMES)[number]
/** Name to value as sent (a latin1 string of its bytes); what is absent was not sent, '' was sent empty. */
export type TusHeaders = ReadonlyMap<TusHeaderName, string>

const INTERESTING: ReadonlyMap<string, TusHeaderName> = new Map(NAMES.map((name) => [name, name]))

/**
 * Reads them from the raw lines: Node joins or drops repeated lines, and two lengths or offsets are a fault that no
 * choice between them mends. Throws request_malformed for a repeated line.
 */
export function readTusHeaders(req: IncomingMessage): TusHeaders {
  const found = new Map<TusHeaderName, string>()
  const raw = req.rawHeaders
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = INTERESTING.get((raw[at] ?? '').toLowerCase())
    if (name === undefined) continue
    if (found.has(name)) {
      throw new UploadError('request_malformed', `The header ${name} was sent more than once; send it once.`)
    }
    found.set(name, raw[at + 1] ?? '')
  }
  return found
}

/** The media type without its parameters, in lower case; null when none was sent. */
export function mediaTypeOf(headers: TusHeaders): string | null {
  const value = headers.get('content-type')
  if (value === undefined) return null
  return (value.split(';', 1)[0] ?? '').trim().toLowerCase()
}
