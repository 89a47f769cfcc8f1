import type { EngineEvents, Gatekeeper } from './api.ts'
import type { HoldKeeper } from './hold-keeper.ts'
import type { KeyTemplate } from './keys.ts'
import type { Memory } from './memory.ts'
import type { SecretsOf, Stores } from './ports/byte-store.ts'
import type { Coordination } from './ports/coordination.ts'
import type { Records } from './ports/records.ts'
import type { TailCache } from './tail-cache.ts'
import type { WriteGate } from './write-gate.ts'

/** The numbers that shape the engine. Times in ms, sizes in bytes. */
export interface EngineSettings {
  readonly maxBytes: number
  readonly maxMetadataBytes: number
  /** Size of a gathering block; a part is eight of them. */
  readonly chunkBytes: number
  /** Part size P of new uploads. */
  readonly partBytes: number
  /** Blocks kept for reuse. */
  readonly poolBlocks: number
  /** Lease of a hold. */
  readonly leaseMs: number
  /** Longest wait for somebody else's hold. */
  readonly holdWaitMs: number
  /** Longest wait of a request for a finish. */
  readonly finishWaitMs: number
  /** No byte for this long: a body is stalled and its request is cut. */
  readonly idleMs: number
  /** A HEAD cuts a body from which no byte came for this long. */
  readonly inspectStallMs: number
  /** A HEAD waits this long for row, store or session that are away, before 423. */
  readonly inspectPatienceMs: number
  /** A piece this old is flushed. */
  readonly flushAfterMs: number
  /** An unfinished upload expires this long after its last stored byte; null: never. */
  readonly expiresAfterMs: number | null
  /** A rebuild waits this long between raising the generation and looking at the store; 0 where no failover can happen. */
  readonly rebuildWaitMs: number
  /** Parts of a multipart upload before it becomes a segment. */
  readonly segmentParts: number
  readonly keys: KeyTemplate
}

/** What the engine's parts share: the ports, the numbers, and the process-wide budget. */
export interface Deps {
  readonly settings: EngineSettings
  readonly stores: Stores
  /** What the row of a new upload keeps for its encryption. */
  readonly secretsOf: SecretsOf
  readonly coordination: Coordination
  readonly records: Records
  readonly gatekeeper: Gatekeeper
  readonly events: EngineEvents
  readonly holds: HoldKeeper
  readonly gate: WriteGate
  readonly memory: Memory
  readonly tails: TailCache
  /** Work that outlives its request (a long finish, deleting tails); awaited at the stop. */
  readonly background: Background
}

/** Told of a failure that no request waits for. */
export type Report = (work: string, error: unknown) => void

/** Promises that somebody must wait for before the process ends. */
export class Background {
  readonly #running = new Set<Promise<unknown>>()
  readonly #report: Report

  constructor(report: Report) {
    this.#report = report
  }

  /** Keeps `work`, whose failure somebody else hears of. */
  keep(work: Promise<unknown>): void {
    const kept = work.catch(() => {}).finally(() => this.#running.delete(kept))
    this.#running.add(kept)
  }

  /** Keeps `work`, and reports its failure under a name. */
  run(name: string, work: Promise<unknown>): void {
    this.keep(work.catch((error) => this.#report(name, error)))
  }

  report(name: string, error: unknown): void {
    this.#report(name, error)
  }

  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}
