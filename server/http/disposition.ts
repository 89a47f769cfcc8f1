const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?:\s*;\s*[\w!#$&^.+-]+=(?:[\w!#$&^.+-]+|"[^"\\\r\n]*"))*$/

/** Types that a browser shows without running anything of them. Never HTML, SVG or XML. */
const INLINE: ReadonlySet<string> = new Set([
  'application/pdf',
  'audio/aac',
  'audio/flac',
  'audio/mp4',
  'audio/mpeg',
  'audio/ogg',
  'audio/wav',
  'audio/webm',
  'audio/x-wav',
  'image/avif',
  'image/bmp',
  'image/gif',
  'image/jpeg',
  'image/png',
  'image/webp',
  'text/plain',
  'video/mp4',
  'video/ogg',
  'video/quicktime',
  'video/webm',
])

/** Types that a browser may take for another one when it is not told not to. */
const SNIFFED: ReadonlySet<string> = new Set(['text/plain'])

/** The stored media type, where it is one; else bytes without a meaning. */
export function safeContentType(stored: string | null): string {
  return stored !== null && MEDIA_TYPE.test(stored) ? stored : 'application/octet-stream'
}

/**
 * `Content-Disposition` (RFC 6266): the file name once in ASCII for old clients, once as it is (RFC 8187). The name is
 * data: what could end the header or the quotes, or name a directory, is replaced. `nosniff`: false where the answer is
 * sent without `X-Content-Type-Options: nosniff`.
 */
export function contentDisposition(contentType: string, filename: string | null, { nosniff = true } = {}): string {
  const bareType = (contentType.split(';', 1)[0] ?? '').trim().toLowerCase()
  const how = INLINE.has(bareType) && (nosniff || !SNIFFED.has(bareType)) ? 'inline' : 'attachment'
  const name = lastStep(filename ?? '')
  if (name === '') return how
  const ascii = name.replace(/[^\x20-\x7e]|["\\%]/g, '_')
  return ascii === name
    ? `${how}; filename="${ascii}"`
    : `${how}; filename="${ascii}"; filename*=UTF-8''${encoded(name)}`
}

function lastStep(filename: string): string {
  const step = filename.split(/[/\\]/).pop() ?? ''
  return step
    .replace(/\p{Cc}/gu, '_')
    .trim()
    .slice(0, 255)
    .toWellFormed()
}

function encoded(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
}
