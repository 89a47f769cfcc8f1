import type { IncomingHttpHeaders } from 'node:http'

/** What the conditions of a request say about a representation with this strong ETag (RFC 9110, 13.2.2). */
export type ConditionAnswer = 'send' | 'not-modified' | 'failed'

const TAG = /(?:W\/)?"[^"]*"/g

/** `strong`: a weak tag never matches (If-Match, If-Range). */
function names(list: string, etag: string, strong: boolean): boolean {
  if (list.trim() === '*') return true
  const tags = list.match(TAG) ?? []
  return tags.some((tag) => (strong ? tag : tag.replace(/^W\//, '')) === etag)
}

/** If-Match, then If-None-Match. There is no Last-Modified, so conditions on time say nothing. */
export function checkConditions(headers: IncomingHttpHeaders, etag: string): ConditionAnswer {
  const match = headers['if-match']
  if (match !== undefined && !names(match, etag, true)) return 'failed'
  const noneMatch = headers['if-none-match']
  if (noneMatch !== undefined && names(noneMatch, etag, false)) return 'not-modified'
  return 'send'
}

/** May `Range` count? Without If-Range always; with it when it is this ETag. A date is never ours. */
export function rangeCounts(headers: IncomingHttpHeaders, etag: string): boolean {
  const ifRange = headers['if-range']
  return ifRange === undefined || ifRange === etag
}

/** Does any condition of the request name this very ETag? */
export function namesEtag(headers: IncomingHttpHeaders, etag: string): boolean {
  return [headers['if-match'], headers['if-none-match'], headers['if-range']].some((list) =>
    (String(list ?? '').match(TAG) ?? []).some((tag) => tag.replace(/^W\//, '') === etag),
  )
}
