import express, { type Express } from 'express'
import { accessLog } from './middleware/access-log.ts'
import { failures, notFound } from './middleware/failures.ts'
import { requestId } from './middleware/request-id.ts'
import type { AppOptions } from './ports.ts'
import { trustProxies } from './proxies.ts'
import { mountRoutes } from './routes.ts'

/**
 * The application: request id, log and metrics around the routes (routes.ts), and one place where failures become
 * answers. Throws on a trusted proxy that is no address.
 */
export function createApp(options: AppOptions): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.enable('case sensitive routing')
  app.set('query parser', 'simple')
  app.use(requestId())
  app.use(accessLog(options.log, options.metrics, trustProxies(options.settings.trustedProxies)))
  mountRoutes(app, options)
  app.use(notFound())
  app.use(failures())
  return app
}
