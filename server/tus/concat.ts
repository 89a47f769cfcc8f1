import type { IncomingMessage } from 'node:http'
import { PARTIAL } from '../uploads/concat.ts'
import { UploadError } from '../uploads/errors.ts'
import { parseUploadId, type UploadId } from '../uploads/id.ts'
import { quoted } from './gate.ts'
import type { TusOptions } from './options.ts'

/** What `Upload-Concat` of a creation says; `raw` as sent. */
export type Concat =
  | { readonly kind: 'partial' }
  | { readonly kind: 'final'; readonly raw: string; readonly partials: readonly UploadId[] }

const FINAL = 'final;'

/**
 * Reads `Upload-Concat` (tus 1.0, Concatenation). An address is one of ours only, absolute or relative to the
 * collection: its host is the one that was asked or that `Location` names, its path ends in an id. Nothing is fetched.
 * Throws concat_invalid, not_found for an address that is not ours.
 */
export function readConcat(req: IncomingMessage, options: Pick<TusOptions, 'path' | 'locate'>, raw: string): Concat {
  if (raw === PARTIAL) return { kind: 'partial' }
  const addresses = raw.startsWith(FINAL) ? raw.slice(FINAL.length).split(' ').filter(Boolean) : []
  if (addresses.length > 0) {
    return { kind: 'final', raw, partials: addresses.map((address) => idAt(req, options, address)) }
  }
  throw new UploadError(
    'concat_invalid',
    `Upload-Concat is ${quoted(raw)}; send "partial", or "final;" and the addresses of the partial uploads.`,
  )
}

function idAt(req: IncomingMessage, { path, locate }: Pick<TusOptions, 'path' | 'locate'>, address: string): UploadId {
  const asked = `http://${req.headers.host || 'localhost'}${path}`
  const url = URL.parse(address, asked)
  const id = parseUploadId(url?.pathname.split('/').at(-1) ?? '')
  if (url && id && /^https?:$/.test(url.protocol)) {
    const ours = [URL.parse(`${path}/${id}`, asked), URL.parse(locate(req, id), asked)]
    // Not the scheme: behind a proxy that ends TLS we may not know it.
    if (ours.some((known) => known?.host === url.host && known.pathname === url.pathname)) return id
  }
  throw new UploadError('not_found', `Upload-Concat names ${quoted(address)}, which is no address of an upload here.`)
}
