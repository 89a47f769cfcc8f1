/** Test only: the whole HTTP edge (server, application, tus dialect) over a fake engine, and two ways to talk to it. */
import { once } from 'node:events'
import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Router } from 'express'
import { createApp } from '../../../server/http/app.ts'
import { noteFailure, principalOf } from '../../../server/http/context.ts'
import { createLocator, type LocationSettings } from '../../../server/http/location.ts'
import { UPLOADS_PATH } from '../../../server/http/paths.ts'
import type { AccessEntry, AppOptions, Authenticate, CorsSettings, HealthReport } from '../../../server/http/ports.ts'
import { type Route, routesOf } from '../../../server/http/routes.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from '../../../server/http/server.ts'
import { TusServer } from '../../../server/tus/server.ts'
import type { Engine } from '../../../server/uploads/api.ts'
import type { UploadError } from '../../../server/uploads/errors.ts'
import { createFakeEngine, type FakeEngine } from './fake-engine.ts'

export const TUS = { 'Tus-Resumable': '1.0.0' } as const
export const OCTETS = { 'Content-Type': 'application/offset+octet-stream' } as const

export interface EdgeOptions {
  /** In the place of the fake one. */
  readonly engine?: Engine
  readonly cors?: CorsSettings
  readonly location?: Partial<LocationSettings>
  readonly authenticate?: Authenticate
  readonly server?: Partial<HttpServerOptions>
  readonly expires?: boolean
  readonly idleTimeoutMs?: number
  /** Downloads by link, good for so long. */
  readonly linkMs?: number
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly text: string
}

export interface Edge extends AsyncDisposable {
  readonly engine: FakeEngine
  readonly http: HttpServer
  readonly app: ReturnType<typeof createApp>
  readonly appOptions: AppOptions
  readonly port: number
  readonly entries: AccessEntry[]
  readonly failures: UploadError[]
  health: { phase: 'starting' | 'serving' | 'draining'; report: HealthReport }
  send(method: string, path: string, headers?: OutgoingHttpHeaders, body?: string | Buffer): Promise<Answer>
  /** Sends `text` as it is and returns everything up to the end of the connection, or up to `until`. */
  raw(text: string, until?: RegExp): Promise<string>
  open(): Promise<Socket>
}

export const ANYBODY = { subject: 'anonymous', tenant: 'default', roles: ['uploader'] } as const

export async function startEdge(options: EdgeOptions = {}): Promise<Edge> {
  const fake = createFakeEngine()
  const engine = options.engine ?? fake
  const entries: AccessEntry[] = []
  const failures: UploadError[] = []
  const state: Edge['health'] = { phase: 'serving', report: { status: 'ok' } }
  const trustedProxies = options.location?.trustedProxies ?? []
  const locate = createLocator({ publicUrl: null, relativeLocation: false, ...options.location, trustedProxies })
  const expires = options.expires ?? true
  const tus = new TusServer({ engine, path: UPLOADS_PATH, expires, principalOf, locate, onFailure: noteFailure })
  const appOptions: AppOptions = {
    engine,
    tus,
    authenticate: options.authenticate ?? (async () => ANYBODY),
    log: { request: (entry) => entries.push(entry), failure: (error) => failures.push(error) },
    metrics: { started() {}, finished() {}, expose: async () => ({ contentType: 'text/plain', body: 'up 1\n' }) },
    health: { phase: () => state.phase, report: async () => state.report },
    locate,
    administration: {
      collectGarbage: async () => {
        const reading = { rssBytes: 2, heapUsedBytes: 1, heapTotalBytes: 1, externalBytes: 0, arrayBuffersBytes: 0 }
        return { before: reading, after: reading, freed: { rssBytes: 0, heapUsedBytes: 0 }, durationMs: 1 }
      },
      databaseStatus: async () => ({ driver: 'pglite' }),
      restartDatabasePool: async () => ({ restarted: false }),
    },
    settings: {
      cors: options.cors ?? { origins: '*', credentials: false },
      trustedProxies,
      idleTimeoutMs: options.idleTimeoutMs ?? 10_000,
      linkMs: options.linkMs ?? null,
    },
    pages: Router(),
  }
  const app = createApp(appOptions)
  const http = createHttpServer(app, { maxHeaderBytes: 32_768, ...options.server })
  const port = await http.listen(0, '127.0.0.1')
  const agent = new Agent({ keepAlive: true })
  const sockets = new Set<Socket>()
  const open = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1')
    sockets.add(socket.on('error', () => {}))
    await once(socket, 'connect')
    return socket
  }
  return {
    engine: fake,
    http,
    app,
    appOptions,
    port,
    entries,
    failures,
    health: state,
    open,
    send: (method, path, headers, body) => send({ agent, port, method, path, headers }, body),
    raw: async (text, until) => {
      const socket = await open()
      socket.write(text, 'latin1')
      return readAll(socket, until)
    },
    async [Symbol.asyncDispose]() {
      agent.destroy()
      for (const socket of sockets) socket.destroy()
      await http.close(1000)
    },
  }
}

interface Target {
  readonly agent: Agent
  readonly port: number
  readonly method: string
  readonly path: string
  readonly headers: OutgoingHttpHeaders | undefined
}

function send(target: Target, body?: string | Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { agent, port, method, path, headers } = target
    const plain = body !== undefined && headers?.['Transfer-Encoding'] === undefined
    const length = !plain ? {} : { 'Content-Length': Buffer.byteLength(body) }
    const outgoing = request({ agent, host: '127.0.0.1', port, method, path, headers: { ...length, ...headers } })
    outgoing.once('error', reject)
    outgoing.once('response', async (incoming) => {
      const chunks: Buffer[] = []
      try {
        for await (const chunk of incoming) chunks.push(chunk)
        const whole = Buffer.concat(chunks)
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: whole,
          text: whole.toString('latin1'),
        })
      } catch (error) {
        reject(error)
      }
    })
    outgoing.end(body)
  })
}

/** The route file, as this edge uses it. */
export function routesOfEdge(edge: Edge): readonly Route[] {
  return routesOf(edge.appOptions)
}

/** What the connection says until it ends, in whatever way, or until it has said `until`. */
export function readAll(socket: Socket, until?: RegExp): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (until?.test(text)) resolve(text)
    })
    socket.once('end', () => resolve(text))
    socket.once('close', () => resolve(text))
  })
}

/** The path of an upload that was just created. */
export function pathOf(answer: Answer): string {
  return new URL(answer.headers.location ?? '', 'http://relative').pathname
}

/** Waits for what is about to become true; fails after five seconds. */
export async function until(becameTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000
  while (!becameTrue()) {
    if (performance.now() > deadline) throw new Error(`Still not true after 5 s: ${becameTrue}`)
    await sleep(2)
  }
}
