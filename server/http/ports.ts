import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Router } from 'express'
import type { Engine } from '../uploads/api.ts'
import type { UploadError } from '../uploads/errors.ts'
import type { UploadId } from '../uploads/id.ts'
import type { Principal } from '../uploads/words.ts'

/** One answered (or abandoned) request. Operation names, never addresses: labels and log fields stay a closed set. */
export interface AccessEntry {
  readonly requestId: string
  readonly operation: string
  /** The effective method, after any override. */
  readonly method: string
  /** The status that was sent; 0 when the client left before any was. */
  readonly status: number
  readonly durationMs: number
  readonly uploadId: string | null
  readonly tenant: string | null
  readonly owner: string | null
  /** The client's address, through trusted proxies. */
  readonly remote: string
  /** The error code that was answered. */
  readonly code: string | null
  /** The client left before the answer was through. */
  readonly aborted: boolean
}

export interface HttpLog {
  /** Called once a request. */
  request(entry: AccessEntry): void
  /** A failure that is ours (5xx by its code), with its cause; called before {@link request}. */
  failure(error: UploadError, entry: AccessEntry): void
}

export interface HttpMetrics {
  started(): void
  /** `status` as in {@link AccessEntry}. */
  finished(operation: string, method: string, status: number, seconds: number): void
  /** The exposition, and its media type. */
  expose(): Promise<{ readonly contentType: string; readonly body: string }>
}

/** The body of `/health`: `status`, and whatever else the report says. */
export interface HealthReport {
  readonly status: 'ok' | 'degraded' | 'starting' | 'draining'
}

export interface HttpHealth {
  phase(): 'starting' | 'serving' | 'draining'
  /** Asks every dependency, each within a time limit. Never rejects. */
  report(): Promise<HealthReport>
}

/** The tus dialect as the routes see it (server/tus). */
export interface TusDialect {
  /** Makes the effective method `req.method`. Throws method_not_allowed, request_malformed. */
  applyMethodOverride(req: IncomingMessage): void
  /** Answers the request, whatever happens. */
  handle(req: IncomingMessage, res: ServerResponse): Promise<void>
}

/** The address of an upload, for `Location` and lists. */
export type Locate = (req: IncomingMessage, id: UploadId) => string

/** Memory of the process, bytes. */
export interface MemoryReading {
  readonly rssBytes: number
  readonly heapUsedBytes: number
  readonly heapTotalBytes: number
  readonly externalBytes: number
  readonly arrayBuffersBytes: number
}

/** What an operator may do to the process. The values are answered as they are. */
export interface Administration {
  /** A full garbage collection. */
  collectGarbage(): Promise<{
    readonly before: MemoryReading
    readonly after: MemoryReading
    readonly freed: { readonly rssBytes: number; readonly heapUsedBytes: number }
    readonly durationMs: number
  }>
  /** Pool, time of a query, schema. Throws records_unavailable. */
  databaseStatus(): Promise<object>
  /** New connections for the old ones. Throws records_unavailable. */
  restartDatabasePool(): Promise<object>
}

/** Who is calling. Throws unauthenticated, forbidden. */
export type Authenticate = (req: IncomingMessage) => Promise<Principal>

export interface CorsSettings {
  /** '*': any origin, without credentials. An empty list: no CORS header at all (a proxy adds them). */
  readonly origins: '*' | readonly string[]
  readonly credentials: boolean
}

export interface HttpSettings {
  readonly cors: CorsSettings
  /** IP addresses and CIDR blocks whose forwarded headers are believed. */
  readonly trustedProxies: readonly string[]
  /** How long a download may stand still, milliseconds. */
  readonly idleTimeoutMs: number
  /** Downloads are answered with a link to the store that is good for so long; null: they are streamed. */
  readonly linkMs: number | null
}

export interface AppOptions {
  readonly engine: Engine
  readonly tus: TusDialect
  readonly authenticate: Authenticate
  readonly log: HttpLog
  readonly metrics: HttpMetrics
  readonly health: HttpHealth
  readonly locate: Locate
  readonly administration: Administration
  readonly settings: HttpSettings
  /** The upload page and what else is shown to people; mounted at `/`. */
  readonly pages?: Router
}
