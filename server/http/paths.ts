export const API_PATH = '/api/v1'
/** The collection of uploads: what `server/tus` is mounted at. */
export const UPLOADS_PATH = `${API_PATH}/uploads`

/** Many creations in one call. */
export const MANY_PATH = `${UPLOADS_PATH}/multiple`
export const ADMIN_PATH = '/admin'

/** The path of a request target as it was sent, not decoded. */
export function pathOf(url: string | undefined): string {
  return (url ?? '/').split(/[?#]/, 1)[0] ?? '/'
}

/** Is `path` this address or below it? */
export function isUnder(path: string, base: string): boolean {
  return path === base || path.startsWith(`${base}/`)
}
