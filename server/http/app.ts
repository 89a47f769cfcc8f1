import express, { type Express } from 'express'
import { accessLog } from './middleware/access-log.ts'
import { failures, notFound } from './middleware/failures.ts'
import { requestId } from './middleware/request-id.ts'
import type { AppOptions } from './ports.ts'
import { trustProxies } from './proxies.ts'
import { mountAdministration, mountRoutes } from './routes.ts'

/**
 * The application: request id, log and metrics around the routes (routes.ts), and one place where failures become
 * answers. Throws on a trusted proxy that is no address.
 */
export function createApp(options: AppOptions): Express {
  return around(options, (app) => mountRoutes(app, options))
}

/** Administration alone, without a token: for a listener that only the service's own user reaches. */
export function createAdminApp(options: Pick<AppOptions, 'administration' | 'log' | 'metrics' | 'settings'>): Express {
  return around(options, (app) => mountAdministration(app, options.administration))
}

function around(options: Pick<AppOptions, 'log' | 'metrics' | 'settings'>, mount: (app: Express) => void): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.enable('case sensitive routing')
  app.set('query parser', 'simple')
  app.use(requestId())
  app.use(accessLog(options.log, options.metrics, trustProxies(options.settings.trustedProxies)))
  mount(app)
  app.use(notFound())
  app.use(failures())
  return app
}
