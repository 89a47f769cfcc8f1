import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import express, { type Request, type Response, type Router } from 'express'
import { UPLOADS_PATH } from './paths.ts'

/** What the upload page has to know of the service. */
export interface PageOptions {
  /** Body of one PATCH, bytes. */
  readonly chunkBytes: number
  /** Longest file, bytes. */
  readonly maxBytes: number
  readonly authMode: 'none' | 'jwt'
  /** PUBLIC_URL: uploads are sent there, so the page may talk to it. */
  readonly publicUrl?: string | null
  /** What links to files in the store begin with (DOWNLOADS=redirect): the page follows them. */
  readonly linkSource?: string | null
}

interface Page {
  readonly type: string
  readonly body: Buffer
  readonly etag: string
  zipped: Promise<Buffer> | null
}

const compress = promisify(gzip)
const WEB = new URL('../../web/', import.meta.url)
const HTML = 'text/html; charset=utf-8'
const SCRIPT = 'text/javascript; charset=utf-8'
const STYLE = 'text/css; charset=utf-8'

/** Every file of `web/` that is served, and nothing else is. */
const FILES: readonly (readonly [name: string, type: string])[] = [
  ['page.css', STYLE],
  ['icon.svg', 'image/svg+xml'],
  ['page.js', SCRIPT],
  ['api.js', SCRIPT],
  ['config.js', SCRIPT],
  ['files.js', SCRIPT],
  ['finished.js', SCRIPT],
  ['format.js', SCRIPT],
  ['remembered.js', SCRIPT],
  ['rows.js', SCRIPT],
  ['token.js', SCRIPT],
  ['uploader.js', SCRIPT],
]

/** The bundles that the package brings, so that nothing has to be built. */
const BUNDLES: readonly (readonly [path: string, url: string, type: string])[] = [
  ['/page/uppy.js', import.meta.resolve('uppy/dist/uppy.min.mjs'), SCRIPT],
  ['/page/uppy.css', import.meta.resolve('uppy/dist/uppy.min.css'), STYLE],
]

/** How the page's modules name the bundle. It stands in the page itself: browsers take no import map from elsewhere. */
const IMPORT_MAP = JSON.stringify({ imports: { uppy: '/page/uppy.js' } })

/**
 * The upload page at `/` and its files below `/page/`, held in memory (about 0.8 MB). Everything is revalidated by ETag,
 * so that during a rolling update no page runs with the scripts of another version for longer than a reload.
 * Throws when a file is missing.
 */
export function createPages(options: PageOptions): Router {
  const pages = new Map<string, Page>([['/', page(HTML, Buffer.from(document(options)))]])
  for (const [name, type] of FILES) pages.set(`/page/${name}`, page(type, read(new URL(name, WEB))))
  for (const [path, url, type] of BUNDLES) pages.set(path, page(type, read(new URL(url))))
  const headers = securityHeaders(options)

  const router = express.Router({ caseSensitive: true, strict: true })
  router.use((req, res, next) => {
    const found = req.method === 'GET' || req.method === 'HEAD' ? pages.get(req.path) : undefined
    if (found === undefined) return next()
    return send(found, headers, req, res)
  })
  return router
}

function read(url: URL): Buffer {
  return readFileSync(fileURLToPath(url))
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('base64')
}

function page(type: string, body: Buffer): Page {
  // Weak: the same for the compressed and the plain form.
  return { type, body, etag: `W/"${sha256(body).slice(0, 27)}"`, zipped: null }
}

function document({ chunkBytes, maxBytes, authMode }: PageOptions): string {
  const config = JSON.stringify({ endpoint: UPLOADS_PATH, chunkBytes, maxBytes, authMode })
  return read(new URL('index.html', WEB))
    .toString('utf8')
    .replace('"{{importmap}}"', () => IMPORT_MAP)
    .replace('"{{config}}"', () => config.replaceAll('<', '\\u003c'))
}

function securityHeaders({ publicUrl, linkSource }: PageOptions): Readonly<Record<string, string>> {
  const policy = {
    'default-src': "'self'",
    'script-src': `'self' 'sha256-${sha256(IMPORT_MAP)}'`,
    'img-src': "'self' blob: data:",
    'connect-src': [
      "'self'",
      ...(publicUrl ? [new URL(publicUrl).origin] : []),
      ...(linkSource ? [linkSource] : []),
    ].join(' '),
    'object-src': "'none'",
    'base-uri': "'none'",
    'form-action': "'none'",
    'frame-ancestors': "'none'",
  }
  return {
    'Content-Security-Policy': Object.entries(policy)
      .map(([name, value]) => `${name} ${value}`)
      .join('; '),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cache-Control': 'no-cache',
    Vary: 'Accept-Encoding',
  }
}

async function send(found: Page, headers: Readonly<Record<string, string>>, req: Request, res: Response) {
  res.set(headers).set({ 'Content-Type': found.type, ETag: found.etag })
  let body = found.body
  if (req.acceptsEncodings('gzip', 'identity') === 'gzip') {
    found.zipped ??= compress(found.body, { level: 9 })
    body = await found.zipped
    res.set('Content-Encoding', 'gzip')
  }
  // Answers HEAD without a body, and 304 to a matching If-None-Match.
  res.send(body)
}
