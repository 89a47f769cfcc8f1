import cluster from 'node:cluster'
import type { Server } from 'node:http'
import { adminSocketPath, listenOnSocket, ofWorker } from './admin-socket.ts'
import { createAdministration } from './administration.ts'
import { createAuthenticator } from './auth/authenticator.ts'
import type { Link } from './cluster/link.ts'
import type { Config } from './config/config.ts'
import type { Before, Foundation } from './foundation.ts'
import { createAdminApp, createApp } from './http/app.ts'
import { noteFailure, principalOf } from './http/context.ts'
import { createLocator } from './http/location.ts'
import { createPages } from './http/pages.ts'
import { UPLOADS_PATH } from './http/paths.ts'
import { createHttpServer } from './http/server.ts'
import { createHealth, type Health } from './observability/health.ts'
import type { Log } from './observability/log.ts'
import { EXPOSITION_TYPE, type Exposition } from './observability/metrics.ts'
import { observedHttpLog } from './observability/observed-http.ts'
import { cannotListen } from './start-fault.ts'
import { driversOf } from './start-up.ts'
import { TusServer } from './tus/server.ts'

/** What clients and probes reach. */
export interface Front {
  readonly health: Health
  readonly address: string
}

/** A command on the local socket has so long to end when the service stops. */
const ADMIN_CLOSE_MS = 1000

/** Listens: the API, the pages, the probes, and administration on its local socket. Throws StartFault. */
export async function openFront(
  config: Config,
  log: Log,
  link: Link | null,
  { metrics, database, store, linkSource, coordination, engine }: Foundation,
  before: Before,
): Promise<Front> {
  const drivers = driversOf(config)
  const health = createHealth({
    probes: {
      database: { driver: drivers.database, ping: (signal) => database.records.ping(signal) },
      redis: { driver: drivers.coordination, ping: (signal) => coordination.ping(signal) },
      storage: { driver: drivers.storage, ping: (signal) => store.ping(signal) },
    },
    onChange: (name, state, cause) => log.dependency(name, state, cause ?? undefined),
  })
  const authenticator = createAuthenticator(config.auth)
  const locate = createLocator(config.server)
  const tus = new TusServer({
    engine,
    path: UPLOADS_PATH,
    expires: config.uploads.expiresAfterMs > 0,
    principalOf,
    locate,
    onFailure: noteFailure,
  })
  const httpParts = {
    administration: createAdministration(database),
    log: observedHttpLog(log.http, metrics),
    metrics: link ? { ...metrics.http, expose: () => wholeInstance(link) } : metrics.http,
    settings: {
      cors: config.server.cors,
      trustedProxies: config.server.trustedProxies,
      idleTimeoutMs: config.uploads.idleTimeoutMs,
      linkMs: config.server.downloads === 'redirect' ? config.server.linkMs : null,
    },
  }
  const app = createApp({
    ...httpParts,
    engine,
    tus,
    locate,
    authenticate: (req) => authenticator.authenticate(req.headers.authorization),
    health,
    pages: createPages({ ...config.uploads, ...config.server, authMode: config.auth.mode, linkSource }),
  })
  const http = createHttpServer(app, { maxHeaderBytes: config.server.maxHeaderBytes })
  const { host: hostName, port: wantedPort } = config.server
  const port = await http.listen(wantedPort, hostName).catch((error: unknown) => {
    throw cannotListen(error, hostName, wantedPort)
  })
  before('http', () => http.close(config.server.shutdownTimeoutMs))
  const admin = createHttpServer(createAdminApp(httpParts), { maxHeaderBytes: config.server.maxHeaderBytes })
  before('administration', () => admin.close(ADMIN_CLOSE_MS))
  await listenForAdmins(
    log,
    admin.server,
    ofWorker(adminSocketPath(config.server.adminSocket, port), cluster.worker?.id),
  )
  // Running bodies flush what they received and end before the server waits for its requests.
  before('engine', async () => {
    health.drain()
    http.drain()
    await engine.close()
  })
  const host = hostName.includes(':') ? `[${hostName}]` : hostName
  return { health, address: `http://${host}:${port}` }
}

/** Uploads do not depend on it: where no socket can be made, there is none. */
async function listenForAdmins(log: Log, server: Server, path: string): Promise<void> {
  const room = log.child('administration')
  try {
    await listenOnSocket(server, path)
    room.info({ path }, 'administration on a local socket')
  } catch (err) {
    room.warn({ err, path }, 'no local socket for administration: set ADMIN_SOCKET')
  }
}

/** What all processes of this instance measured. */
async function wholeInstance(link: Link): Promise<Exposition> {
  return { contentType: EXPOSITION_TYPE, body: await link.scrape() }
}
