import { createMemoryCoordination, MemoryState } from '../../../../server/coordination/memory/index.ts'
import { createEngine, type EngineSettings } from '../../../../server/uploads/engine.ts'
import { oneStore } from '../../../../server/uploads/one-store.ts'
import type { ByteStore } from '../../../../server/uploads/ports/byte-store.ts'
import type { Coordination, Peek } from '../../../../server/uploads/ports/coordination.ts'
import type { Records } from '../../../../server/uploads/ports/records.ts'
import type { UploadId, UploadState } from '../../../../server/uploads/words.ts'
import { OPEN_GATE, quietEvents, SETTINGS, type TestEngine } from '../engine.ts'
import { type Clock, VirtualClock } from './clock.ts'
import { MemoryRecords } from './memory-records.ts'
import { MemoryByteStore } from './memory-store.ts'
import { type UploadModel, Violation } from './model.ts'
import { coordinationOf, recordsOf, storeOf } from './ports.ts'
import { type Delays, SimProcess } from './process.ts'
import { Random } from './random.ts'

/** What a world may be like: part of the input of a run. */
export interface WorldShape {
  readonly seed: number
  readonly instances: number
  /** The length of the upload that is there from the start; null: deferred. */
  readonly length: number | null
  readonly equalParts: boolean
  readonly uniqueEtags: boolean
  readonly segmentParts: number
  readonly memoryBytes: number
  /** Delays of the network, ms each way. */
  readonly wayMs: number
}

/** What the processes of a world share, and how to look at it from outside. */
export interface Ground {
  /** In real time, on real services. */
  readonly real: boolean
  readonly clock: Clock
  readonly store: ByteStore
  readonly records: Records
  readonly settings: EngineSettings
  readonly delays: Delays
  coordination(): Promise<Coordination>
  peek(id: UploadId): Promise<Peek>
  /** Redis forgets everything. */
  forget(): Promise<void>
  /** All that the store has of an upload. */
  keysOf(id: UploadId): Promise<string[]>
  entered(id: UploadId, state: UploadState): Promise<number>
  /** Keys that were written twice with other bytes. */
  overwritten(): readonly string[]
  remove(): Promise<void>
}

export interface Instance {
  readonly process: SimProcess
  readonly engine: TestEngine
}

/** A running world: instances of the engine over one ground, and what is known of it from outside. */
export class Sim {
  readonly ground: Ground
  readonly shape: WorldShape
  readonly random: Random
  readonly uploads: UploadModel[] = []
  readonly trace: string[] = []
  /** How often what happened: a test that passes because nothing happens is none. */
  readonly counts = new Map<string, number>()
  readonly #slots: Instance[] = []
  readonly #processes: SimProcess[] = []
  readonly #closing: Promise<void>[] = []
  #started = 0
  #running = new Map<string, number>()
  /** The first thing that went wrong; thrown at the next step. */
  failure: unknown = null
  /** Clients that are slow send the rest at once. */
  ending = false
  /** How often something was broken on purpose. */
  disturbances = 0
  /** Has anything been broken that may leave orphans in the store? */
  orphans = false

  constructor(ground: Ground, shape: WorldShape) {
    this.ground = ground
    this.shape = shape
    this.random = new Random(shape.seed)
  }

  static async open(shape: WorldShape, ground: Ground = memoryGround(shape)): Promise<Sim> {
    const sim = new Sim(ground, shape)
    for (let n = 0; n < shape.instances; n++) sim.#slots.push(await sim.#start())
    return sim
  }

  instance(n: number): Instance {
    const instance = this.#slots[n % this.#slots.length]
    if (!instance) throw new Error('a world has instances')
    return instance
  }

  /** An upload whose id is known, or null. */
  upload(n: number): UploadModel | null {
    const known = this.uploads.filter(({ id }) => id !== null)
    return known[n % Math.max(1, known.length)] ?? null
  }

  get instances(): readonly Instance[] {
    return this.#slots
  }

  /** Another process takes the place of this one, which is dead or closing. */
  async replace(n: number): Promise<void> {
    this.#slots[n % this.#slots.length] = await this.#start()
  }

  /** Graceful: the process ends what it does; another one is there at once. */
  async close(n: number): Promise<void> {
    const { process, engine } = this.instance(n)
    const closing = this.ground.clock.as(process, () => engine.close())
    this.track(`close of ${process.name}`, Promise.race([closing, new Promise<void>((done) => process.onDeath(done))]))
    await this.replace(n)
  }

  /** One round of housekeeping; what fails in it is tried again in the next. */
  async sweep(n: number): Promise<void> {
    const { process, engine } = this.instance(n)
    await new Promise<void>((resolve) => {
      process.onDeath(resolve)
      this.ground.clock
        .as(process, () => engine.sweep())
        .then(
          () => resolve(),
          () => resolve(),
        )
    })
  }

  /** Something was broken on purpose. */
  disturb(orphans = true): void {
    this.disturbances++
    this.orphans ||= orphans
  }

  /** Runs beside everything else; what it throws fails the run. */
  track(what: string, work: Promise<void>): void {
    this.#running.set(what, (this.#running.get(what) ?? 0) + 1)
    const kept = work
      .catch((error) => {
        this.failure ??= error
      })
      .finally(() => {
        const left = (this.#running.get(what) ?? 0) - 1
        if (left > 0) this.#running.set(what, left)
        else this.#running.delete(what)
      })
    this.#closing.push(kept)
  }

  get running(): readonly string[] {
    return [...this.#running.keys()]
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  note(text: string): void {
    this.trace.push(`${String(this.ground.clock.now()).padStart(7)}  ${text}`)
  }

  /** Lets time pass and throws what went wrong meanwhile. */
  async pass(ms: number, done: () => boolean = () => false): Promise<void> {
    await this.ground.clock.pass(ms, () => this.failure !== null || done())
    if (this.failure) throw this.failure
  }

  /** Waits, but not for ever. */
  async wait<T>(what: string, ms: number, work: Promise<T>): Promise<T> {
    let settled = false
    const ended = work.finally(() => {
      settled = true
    })
    ended.catch(() => {})
    await this.pass(ms, () => settled)
    if (!settled) throw new Violation(`${what} takes longer than ${ms} ms`)
    return ended
  }

  async remove(): Promise<void> {
    for (const process of this.#processes) process.kill()
    if (this.ground.real) for (const process of this.#processes) process.bury()
    this.ground.clock.end()
    await this.ground.remove()
  }

  async #start(): Promise<Instance> {
    const { clock, store, records, settings, delays } = this.ground
    const process = new SimProcess(`p${++this.#started}`, clock, this.random, delays)
    this.#processes.push(process)
    const coordination = await this.ground.coordination()
    const engine = await clock.as(process, () =>
      createEngine({
        settings,
        memoryBytes: this.shape.memoryBytes,
        memoryWarningShare: 0.8,
        maxWrites: 3,
        stores: oneStore(storeOf(process, store)),
        coordination: coordinationOf(process, coordination),
        records: recordsOf(process, records),
        gatekeeper: OPEN_GATE,
        report: (message, error) => this.note(`${process.name}: ${message}: ${String(error)}`),
        events: {
          ...quietEvents(),
          held: (kind) => this.count(kind),
          flushed: (reason) => this.count(`flush ${reason}`),
        },
      }),
    )
    return { process, engine }
  }
}

/** Everything in this process, in virtual time: a minute passes in milliseconds. */
export function memoryGround(shape: WorldShape): Ground {
  const clock = new VirtualClock()
  const store = new MemoryByteStore(shape)
  const records = new MemoryRecords()
  const state = new MemoryState({ now: () => clock.now() })
  const observer = createMemoryCoordination({ state })
  let names = 0
  return {
    real: false,
    clock,
    store,
    records,
    settings: {
      ...SETTINGS,
      maxBytes: 4096,
      partBytes: 64,
      chunkBytes: 8,
      poolBlocks: 6,
      finishWaitMs: 2000,
      idleMs: 5000,
      flushAfterMs: 3000,
      expiresAfterMs: null,
      segmentParts: shape.segmentParts,
    },
    delays: {
      way: { store: shape.wayMs * 4, records: shape.wayMs, coordination: shape.wayMs },
      late: { store: 30_000, records: 2000, coordination: 300 },
    },
    coordination: async () => createMemoryCoordination({ state, instance: `i${++names}` }),
    peek: (id) => observer.peek(id),
    forget: async () => state.forget(),
    keysOf: async (id) => store.keysWith(id),
    entered: async (id, entered) => records.entered(id, entered),
    overwritten: () => store.overwritten,
    remove: async () => {},
  }
}
