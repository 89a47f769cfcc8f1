import type { Engine, EngineEvents, Gatekeeper } from './api.ts'
import { append } from './appending.ts'
import { concatenate } from './concatenating.ts'
import { allowedRow, type Context } from './context.ts'
import { create } from './creating.ts'
import { Background, type EngineSettings, type Report } from './deps.ts'
import { Finishes } from './finishes.ts'
import { HoldKeeper } from './hold-keeper.ts'
import { inspect } from './inspecting.ts'
import { KnownRows } from './known-rows.ts'
import { Memory } from './memory.ts'
import { PagePool } from './page-pool.ts'
import { listedOwner } from './policy.ts'
import type { SecretsOf, Stores } from './ports/byte-store.ts'
import type { Coordination } from './ports/coordination.ts'
import type { ListQuery, Records } from './ports/records.ts'
import { download } from './reading.ts'
import { sweep } from './sweeping.ts'
import { TailCache } from './tail-cache.ts'
import { terminate } from './terminating.ts'
import type { Principal } from './words.ts'
import { WriteGate } from './write-gate.ts'

export type { EngineSettings } from './deps.ts'

export interface EngineOptions {
  readonly settings: EngineSettings
  /** UPLOAD_MEMORY_MB in bytes. */
  readonly memoryBytes: number
  readonly memoryWarningShare: number
  /** MAX_CONCURRENT_UPLOADS */
  readonly maxWrites: number
  readonly stores: Stores
  /** Default: nothing is encrypted. */
  readonly secretsOf?: SecretsOf
  readonly coordination: Coordination
  readonly records: Records
  readonly gatekeeper: Gatekeeper
  readonly events: EngineEvents
  /** Default: nobody hears of it. */
  readonly report?: Report
}

/** What the gauges read. */
export interface EngineGauges {
  readonly holds: number
  readonly appends: number
  readonly memoryBytes: number
  readonly memoryBudgetBytes: number
  readonly socketsWaiting: number
  readonly writesInFlight: number
  readonly writesWaiting: number
  readonly poolBlocks: number
}

/** How often cached tails are looked through. */
const TIDY_MS = 10_000

/** The upload engine over its ports. One a process. */
export async function createEngine(options: EngineOptions): Promise<Engine & { gauges(): EngineGauges }> {
  const { settings, stores, coordination, records, gatekeeper, events } = options
  let stopping = false
  const memory = new Memory({
    limitBytes: options.memoryBytes,
    warningShare: options.memoryWarningShare,
    dropClean: (bytes) => tails.drop(bytes),
  })
  const pool = new PagePool(settings.chunkBytes, settings.poolBlocks, memory)
  const tails = new TailCache(pool, memory)
  const tidying = setInterval(() => tails.expire(), TIDY_MS)
  tidying.unref()
  const background = new Background(options.report ?? (() => {}))
  const holds = new HoldKeeper({ coordination, records, leaseMs: settings.leaseMs, held: events.held })
  const context: Context = {
    settings,
    stores,
    secretsOf: options.secretsOf ?? (() => ({})),
    coordination,
    records,
    gatekeeper,
    events,
    holds,
    memory,
    tails,
    background,
    gate: new WriteGate(options.maxWrites),
    finishes: new Finishes(background, settings.finishWaitMs),
    pool,
    known: new KnownRows(settings.leaseMs / 2),
    appenders: new Set(),
    stopping: () => stopping,
  }
  await holds.start()
  /** The stop waits for it, and leases are renewed until then. */
  const awaited = <T>(call: Promise<T>): Promise<T> => {
    background.keep(call)
    return call
  }
  return {
    maxBytes: settings.maxBytes,
    create: (principal, request) => awaited(create(context, principal, request)),
    concatenate: (principal, request) => awaited(concatenate(context, principal, request)),
    append: (principal, id, request) => awaited(append(context, principal, id, request)),
    inspect: (principal, id) => awaited(inspect(context, principal, id)),
    terminate: (principal, id) => awaited(terminate(context, principal, id)),
    record: (principal, id) => allowedRow(context, principal, id, 'record'),
    list: async (principal, query) => records.list(scoped(principal, query)),
    download: (principal, id) => download(context, principal, id),
    sweep: () => awaited(sweep(context)),
    gauges: () => ({
      holds: holds.size,
      appends: context.appenders.size,
      memoryBytes: memory.usedBytes,
      memoryBudgetBytes: memory.limitBytes,
      socketsWaiting: memory.waiting,
      writesInFlight: context.gate.running,
      writesWaiting: context.gate.waiting,
      poolBlocks: context.pool.idle,
    }),
    close: async () => {
      stopping = true
      for (const appender of context.appenders) appender.stop()
      await background.settled()
      holds.stop()
      clearInterval(tidying)
    },
  }
}

/** The list that the caller may see of what was asked for. Throws forbidden. */
function scoped(principal: Principal, { owner, ...query }: Omit<ListQuery, 'tenant'>): ListQuery {
  const listed = listedOwner(principal, owner)
  return { ...query, tenant: principal.tenant, ...(listed === undefined ? {} : { owner: listed }) }
}
