import type { UploadId } from '../uploads/id.ts'
import { parseUploadId } from '../uploads/id.ts'

/** What a request is about. `id` is null when the last step of the path is no id of ours. */
export type Target = { readonly kind: 'collection' } | { readonly kind: 'upload'; readonly id: UploadId | null }

/**
 * Reads the request target. The query is no part of it, one trailing slash does not matter, and nothing is decoded:
 * an id is from a closed alphabet, so an escaped one is none. null: not under `base`.
 */
export function parseTarget(url: string, base: string): Target | null {
  const path = url.split(/[?#]/, 1)[0] ?? ''
  if (path === base || path === `${base}/`) return { kind: 'collection' }
  if (!path.startsWith(`${base}/`)) return null
  const rest = path.slice(base.length + 1)
  const id = rest.endsWith('/') ? rest.slice(0, -1) : rest
  return id.includes('/') ? null : { kind: 'upload', id: parseUploadId(id) }
}
