import type { IncomingMessage } from 'node:http'
import type { UploadId } from '../uploads/id.ts'
import { UPLOADS_PATH } from './paths.ts'
import { type Proxies, trustProxies } from './proxies.ts'

export interface LocationSettings {
  /** What clients reach us by, without a trailing slash; null: by the request. */
  readonly publicUrl: string | null
  /** Path only; the client resolves it against the address it called. */
  readonly relativeLocation: boolean
  readonly trustedProxies: readonly string[]
}

interface Front {
  readonly proto: string | null
  readonly host: string | null
  readonly prefix: string
}

const HOST = /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/
const PREFIX = /^(?:\/[A-Za-z0-9._~-]+)+$/
const NOTHING: Front = { proto: null, host: null, prefix: '' }

/**
 * The address of an upload for `Location`: PUBLIC_URL, else what a trusted proxy forwarded (Forwarded, RFC 7239, before
 * X-Forwarded-*), else Host. A host that is none never gets into it: then the address is relative.
 */
export function createLocator(settings: LocationSettings): (req: IncomingMessage, id: UploadId) => string {
  const proxies = trustProxies(settings.trustedProxies)
  return (req, id) => {
    const path = `${UPLOADS_PATH}/${id}`
    const front = forwardedBy(proxies, req)
    if (settings.relativeLocation) return `${front.prefix}${path}`
    if (settings.publicUrl !== null) return `${settings.publicUrl}${path}`
    const host = front.host ?? valid(req.headers.host, HOST)
    const proto = front.proto ?? 'http'
    return host === null ? `${front.prefix}${path}` : `${proto}://${host}${front.prefix}${path}`
  }
}

function forwardedBy(proxies: Proxies, req: IncomingMessage): Front {
  if (!proxies.trusts(req.socket.remoteAddress)) return NOTHING
  const standard = parseForwarded(first(req.headers.forwarded))
  const proto = standard.proto ?? first(req.headers['x-forwarded-proto'])?.toLowerCase()
  return {
    host: valid(standard.host ?? first(req.headers['x-forwarded-host']), HOST),
    proto: proto === 'http' || proto === 'https' ? proto : null,
    prefix: valid(first(req.headers['x-forwarded-prefix'])?.replace(/\/$/, ''), PREFIX) ?? '',
  }
}

/** The first element is the outermost proxy's: what the client called. */
function first(value: string | readonly string[] | undefined): string | undefined {
  return (
    String(value ?? '')
      .split(',', 1)[0]
      ?.trim() || undefined
  )
}

function valid(value: string | undefined, form: RegExp): string | null {
  return value !== undefined && form.test(value) && !value.includes('..') ? value : null
}

function parseForwarded(element: string | undefined): { host?: string; proto?: string } {
  const found: { host?: string; proto?: string } = {}
  for (const pair of (element ?? '').split(';')) {
    const [name = '', value = ''] = pair.split('=', 2).map((text) => text.trim())
    const plain = value.replace(/^"(.*)"$/, '$1')
    if (name.toLowerCase() === 'host') found.host = plain
    if (name.toLowerCase() === 'proto') found.proto = plain.toLowerCase()
  }
  return found
}
