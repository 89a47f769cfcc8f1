import type { Express, RequestHandler } from 'express'
import { contextOf } from './context.ts'
import { authenticated } from './middleware/authenticate.ts'
import { cors } from './middleware/cors.ts'
import { API_PATH, UPLOADS_PATH } from './paths.ts'
import type { AppOptions, TusDialect } from './ports.ts'
import { createUpload } from './routes/create-upload.ts'
import { download, downloadHead } from './routes/download.ts'
import { health, live, ready } from './routes/health.ts'
import { listUploads } from './routes/list-uploads.ts'
import { metricsPage } from './routes/metrics.ts'
import { inspectOr, tusMount } from './routes/tus-mount.ts'
import { uploadInfo } from './routes/upload-info.ts'

const ONE = `${UPLOADS_PATH}/:id`

/** Every address of the service, in the order in which they are tried. */
export function mountRoutes(app: Express, options: AppOptions): void {
  const { engine, tus, settings } = options

  app.get('/livez', operation('livez', live()))
  app.get('/readyz', operation('readyz', ready(options.health)))
  app.get('/health', operation('health', health(options.health)))
  app.get('/metrics', operation('metrics', metricsPage(options.metrics)))

  // No body parser may run before the tus mount: bytes of an upload are read by the engine alone.
  app.use(API_PATH, cors(settings.cors))
  app.use(UPLOADS_PATH, methodOverride(tus))
  app.use(API_PATH, authenticated(options.authenticate))

  app.post(UPLOADS_PATH, operation('tus.create', createUpload(tus)))
  app.head(UPLOADS_PATH, tusMount(tus)) // 405: Express would take it for a GET
  app.get(UPLOADS_PATH, operation('uploads.list', listUploads(engine)))
  app.get(`${ONE}/info`, operation('uploads.info', uploadInfo(engine)))
  app.head(ONE, inspectOr(tus, operation('uploads.download', downloadHead(engine))))
  app.get(ONE, operation('uploads.download', download(engine, settings.idleTimeoutMs)))
  app.use(UPLOADS_PATH, tusMount(tus))

  if (options.pages !== undefined) app.use('/', operation('pages', options.pages))
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
