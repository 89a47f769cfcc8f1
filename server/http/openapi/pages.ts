import { createHash } from 'node:crypto'
import type { RequestHandler } from 'express'
import { API_DOCUMENT } from './document.ts'
import { renderReference } from './render.ts'

const STYLE = `
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,sans-serif;display:grid;grid-template-columns:minmax(14rem,20rem) minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;border-right:1px solid var(--line);font-size:.85rem}
nav ul{list-style:none;margin:0;padding:0}
nav li{margin:.3rem 0;overflow-wrap:anywhere}
main{padding:1rem 2rem;max-width:70rem}
article{border-top:1px solid var(--line);padding:.5rem 0 1.5rem}
h3{overflow-wrap:anywhere}
.verb{padding:.1rem .5rem;border-radius:.3rem;background:var(--soft)}
.who{opacity:.8}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td{border-top:1px solid var(--line);padding:.35rem .75rem .35rem 0;vertical-align:top;overflow-wrap:anywhere}
pre{background:var(--soft);padding:.75rem;overflow:auto;border-radius:.3rem}
@media (max-width:50rem){body{display:block}nav{position:static;height:auto;border:0}}
`

/** The document is readable from any page, so that API tools can load it. */
export function apiDocument(): RequestHandler {
  const body = JSON.stringify(API_DOCUMENT)
  return (_req, res) => {
    res.setHeader('Cache-Control', 'no-cache')
    res.setHeader('Access-Control-Allow-Origin', '*')
    res.setHeader('Content-Type', 'application/json; charset=utf-8')
    res.send(body)
  }
}

/** `/docs`: the document for people. */
export function documentPage(): RequestHandler {
  const body = renderReference(API_DOCUMENT, STYLE)
  const style = createHash('sha256').update(STYLE).digest('base64')
  const policy = `default-src 'none'; style-src 'sha256-${style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
  return (_req, res) => {
    res.setHeader('Cache-Control', 'no-cache')
    res.setHeader('Content-Security-Policy', policy)
    res.setHeader('X-Content-Type-Options', 'nosniff')
    res.setHeader('Referrer-Policy', 'no-referrer')
    res.setHeader('Content-Type', 'text/html; charset=utf-8')
    res.send(body)
  }
}
