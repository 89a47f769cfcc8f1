import type { RequestHandler, Router } from 'express'
import type { Action } from '../uploads/policy.ts'
import { contextOf } from './context.ts'
import { administrators } from './middleware/administrators.ts'
import { authenticated } from './middleware/authenticate.ts'
import { cors } from './middleware/cors.ts'
import { apiDocument, documentPage } from './openapi/pages.ts'
import { ADMIN_PATH, API_PATH, MANY_PATH, UPLOADS_PATH } from './paths.ts'
import type { Administration, AppOptions, TusDialect } from './ports.ts'
import { collectGarbage, databaseStatus, restartDatabasePool } from './routes/administration.ts'
import { createFromForm } from './routes/create-from-form.ts'
import { createMany } from './routes/create-many.ts'
import { createUpload } from './routes/create-upload.ts'
import { download, downloadHead } from './routes/download.ts'
import { health, live, ready } from './routes/health.ts'
import { listUploads } from './routes/list-uploads.ts'
import { metricsPage } from './routes/metrics.ts'
import { inspectOr, onlyTus, tusMount } from './routes/tus-mount.ts'
import { uploadInfo } from './routes/upload-info.ts'

export type Method = 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'DELETE' | 'OPTIONS'

/** One method at one address. */
export interface Route {
  readonly method: Method
  /** As OpenAPI writes it: `{id}`. */
  readonly path: string
  /** Its name in log and metrics; a handler of several operations sets its own. */
  readonly operation: string
  /** What the caller's roles must allow (server/uploads/policy.ts), one of these; empty: open to everybody. */
  readonly asks: readonly (Action | 'administer')[]
  /** null: the tus mount answers it, which also refuses every other method below the collection. */
  readonly handler: RequestHandler | null
}

const ONE = `${UPLOADS_PATH}/{id}`

function route(
  method: Method,
  path: string,
  operation: string,
  asks: Route['asks'],
  handler: RequestHandler | null,
): Route {
  return { method, path, operation, asks, handler }
}

function administrationRoutes(administration: Administration): readonly Route[] {
  return [
    route('POST', `${ADMIN_PATH}/gc`, 'admin.gc', ['administer'], collectGarbage(administration)),
    route('GET', `${ADMIN_PATH}/db-status`, 'admin.db-status', ['administer'], databaseStatus(administration)),
    route(
      'POST',
      `${ADMIN_PATH}/db-pool/restart`,
      'admin.db-pool',
      ['administer'],
      restartDatabasePool(administration),
    ),
  ]
}

/** Every address of the service, in the order in which they are tried. */
export function routesOf(options: AppOptions): readonly Route[] {
  const { engine, tus, locate, administration, settings, pages } = options
  const { idleTimeoutMs } = settings
  const speakTus = tusMount(tus)
  const fromForm = createFromForm({ engine, locate, idleTimeoutMs })
  const file = download(engine, settings)
  return [
    route('GET', '/livez', 'livez', [], live()),
    route('GET', '/readyz', 'readyz', [], ready(options.health)),
    route('GET', '/health', 'health', [], health(options.health)),
    route('GET', '/metrics', 'metrics', [], metricsPage(options.metrics)),
    route('GET', '/openapi.json', 'openapi', [], apiDocument()),
    route('GET', '/docs', 'docs', [], documentPage()),

    ...administrationRoutes(administration),

    route('POST', MANY_PATH, 'uploads.many', ['create'], createMany({ engine, locate, idleTimeoutMs })),
    route('POST', UPLOADS_PATH, 'tus.create', ['create'], createUpload(speakTus, fromForm)),
    route('GET', UPLOADS_PATH, 'uploads.list', ['list'], listUploads(engine)),
    route('GET', `${ONE}/info`, 'uploads.info', ['record'], uploadInfo(engine)),
    route('HEAD', ONE, 'uploads.download', ['inspect', 'download'], inspectOr(tus, downloadHead(engine))),
    route('GET', ONE, 'uploads.download', ['download'], file),
    route('PATCH', ONE, 'tus.append', ['append'], null),
    route('DELETE', ONE, 'tus.terminate', ['terminate'], null),
    route('OPTIONS', UPLOADS_PATH, 'tus.options', [], null),
    route('OPTIONS', ONE, 'tus.options', [], null),

    ...(pages === undefined
      ? []
      : [route('GET', '/', 'pages', [], pages), route('GET', '/page/{name}', 'pages', [], pages)]),
  ]
}

/** Mounts them, with what comes before: CORS, method override, authentication. */
export function mountRoutes(app: Router, options: AppOptions): void {
  const { tus, settings } = options
  // No body parser may run before the tus mount: bytes of an upload are read by the engine alone.
  app.use(API_PATH, cors(settings.cors))
  app.use(UPLOADS_PATH, methodOverride(tus))
  app.use(API_PATH, authenticated(options.authenticate))
  app.use(ADMIN_PATH, authenticated(options.authenticate), administrators())
  app.use(UPLOADS_PATH, onlyTus(tus))
  app.head(UPLOADS_PATH, tusMount(tus)) // 405: Express would take it for a GET
  mountAll(app, routesOf(options))
  app.use(UPLOADS_PATH, tusMount(tus))
}

/** Administration alone and unasked, for a listener that only this machine's own user reaches. */
export function mountAdministration(app: Router, administration: Administration): void {
  mountAll(app, administrationRoutes(administration))
}

function mountAll(app: Router, routes: readonly Route[]): void {
  for (const { method, path, operation: name, handler } of routes) {
    if (handler === null) continue
    const at = path.replaceAll(/\{(\w+)\}/g, ':$1')
    const named = operation(name, handler)
    if (method === 'GET') app.get(at, named)
    else if (method === 'HEAD') app.head(at, named)
    else if (method === 'POST') app.post(at, named)
    else throw new Error(`${method} ${path} is left to the tus mount`)
  }
}

/** Names what a request is, for log and metrics. */
function operation(name: string, handler: RequestHandler): RequestHandler {
  return (req, res, next) => {
    const context = contextOf(req)
    if (context !== null) context.operation = name
    return handler(req, res, next)
  }
}

/** tus-js-client can send PATCH and DELETE as POST: the routes below see what was meant. */
function methodOverride(tus: TusDialect): RequestHandler {
  return (req, res, next) => {
    res.setHeader('Tus-Resumable', '1.0.0')
    tus.applyMethodOverride(req)
    next()
  }
}
