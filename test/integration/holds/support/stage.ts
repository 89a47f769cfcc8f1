import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import type { Database } from '../../../../db/database.ts'
import type { RedisCoordination } from '../../../../server/coordination/redis/index.ts'
import type { EngineSettings } from '../../../../server/uploads/engine.ts'
import type { ByteStore } from '../../../../server/uploads/ports/byte-store.ts'
import type { Upload, UploadId } from '../../../../server/uploads/words.ts'
import { freshPrefix } from '../../../support/services.ts'
import { ALICE, MIB, OPEN_GATE, quietEvents, readAll, SETTINGS } from '../../support/engine.ts'
import { Gates } from './gates.ts'
import type { Ground } from './ground.ts'
import { Instance } from './instance.ts'
import { Ledger } from './ledger.ts'
import type { Product } from './product.ts'

/** Part size of a trace that never completes more than one part at a time: a store takes the last one in any size. */
export const SMALL = 64 * 1024
/** Part size where several parts become one object. */
export const FULL = 5 * MIB

const FINISH_TRIES = 12

export interface InstanceOptions extends Partial<EngineSettings> {
  /** Default: the ground's. */
  readonly redisUrl?: string
  readonly maxWrites?: number
}

/** The services as one play of one trace has them: instances, uploads, and what their clients were told. */
export class Stage {
  readonly ground: Ground
  readonly ledger = new Ledger()
  readonly #product: Product
  readonly #prefix = freshPrefix('holds')
  readonly #database: Database
  readonly #store: ByteStore
  readonly #coordinations: RedisCoordination[] = []
  readonly #instances: Instance[] = []
  readonly #closers: (() => Promise<void>)[] = []

  private constructor(ground: Ground, product: Product, database: Database, store: ByteStore) {
    this.ground = ground
    this.#product = product
    this.#database = database
    this.#store = store
  }

  static async open(ground: Ground, product: Product): Promise<Stage> {
    const database = await product.openDatabase({ driver: 'postgres', url: ground.databaseUrl, poolMin: 1, poolMax: 5 })
    return new Stage(ground, product, database, new product.S3ByteStore(ground.storeOptions))
  }

  /**
   * An instance of the service. Leases are a minute long, so that none ends while the machine is busy: {@link leaseEnds}
   * says when. Parts are small.
   */
  async instance({
    redisUrl = this.ground.redis.url,
    maxWrites = 25,
    ...change
  }: InstanceOptions = {}): Promise<Instance> {
    const { createEngine, createRedisCoordination, oneStore, UploadError } = this.#product
    const coordination = await createRedisCoordination({
      ...{ url: redisUrl, prefix: this.#prefix, poolMin: 1, poolMax: 3 },
      // Redis is slow on a busy machine, and in no trace because of a rule.
      deadlineMs: 10_000,
    })
    this.#coordinations.push(coordination)
    const gates = new Gates(UploadError)
    const received = new EventEmitter()
    const settings: EngineSettings = {
      ...SETTINGS,
      ...{ partBytes: SMALL, leaseMs: 60_000, holdWaitMs: 1500, inspectPatienceMs: 1000, inspectStallMs: 60_000 },
      ...change,
    }
    const engine = await createEngine({
      settings,
      memoryBytes: 256 * MIB,
      memoryWarningShare: 0.8,
      maxWrites,
      stores: oneStore(gates.wrap('store', this.#store)),
      coordination: gates.wrap('coordination', coordination),
      records: gates.wrap('records', this.#database.records),
      gatekeeper: OPEN_GATE,
      events: { ...quietEvents(), received: (bytes) => void received.emit('bytes', bytes) },
    })
    const instance = new Instance(gates, engine, this.ledger, received)
    this.#instances.push(instance)
    this.#closers.push(() => engine.close())
    return instance
  }

  /** An empty upload; null: of a length that nobody knows yet. */
  async create(by: Instance, length: number | null): Promise<UploadId> {
    const { upload } = await by.engine.create(ALICE, { length, metadataRaw: null, body: null, bodyLength: 0 })
    return upload.id
  }

  async row(id: UploadId): Promise<Upload> {
    const row = await this.#database.records.find(id)
    assert.ok(row)
    return row
  }

  get store(): ByteStore {
    return this.#store
  }

  /** Sends a part to the open multipart upload behind its holder's back: what nobody of ours would do. */
  async foreignPart(id: UploadId, number: number, bytes: Buffer): Promise<void> {
    const { multipartId, multipartKey } = await this.row(id)
    assert.ok(multipartId !== null && multipartKey !== null)
    const piece = { body: { chunks: [bytes], length: bytes.length }, crc32: crc32(bytes) }
    assert.ok(await this.#store.uploadPart(multipartKey, multipartId, number, piece))
  }

  /** The lease of whoever holds the upload runs out now. A lease may end at any moment: no clock is trusted. */
  async leaseEnds(id: UploadId): Promise<void> {
    const key = this.keys(id).session
    assert.equal(await this.ground.redis.admin.exists(key), 1)
    await this.ground.redis.admin.hset(key, 'x', '0')
  }

  /** Resolves when somebody holds the upload. */
  async isHeld(id: UploadId): Promise<void> {
    const { session } = this.keys(id)
    await this.#until('somebody holds the upload', async () =>
      Boolean(await this.ground.redis.admin.hget(session, 't')),
    )
  }

  /** Resolves when the session says so; nobody is asked. */
  async saved(id: UploadId, offset: number): Promise<void> {
    const { session } = this.keys(id)
    const { admin } = this.ground.redis
    await this.#until(`${offset} bytes are saved`, async () => (await admin.hget(session, 'o')) === String(offset))
  }

  /** Resolves when `by` tells this offset; its holder, if it has one, stores what it got. */
  async offsetIs(id: UploadId, by: Instance, offset: number): Promise<void> {
    await this.#until(`the offset is ${offset}`, async () => {
      const heard = await by.head(id)
      this.settle()
      return heard.offset === offset
    })
  }

  async #until(what: string, ask: () => Promise<boolean>): Promise<void> {
    for (const end = Date.now() + 20_000; Date.now() < end; await sleep(20)) if (await ask()) return
    throw new Error(`did not come true: ${what}`)
  }

  /** Redis forgets all that it had of the upload, as after FLUSHALL. */
  async forget(id: UploadId): Promise<void> {
    await this.ground.redis.admin.del(...Object.values(this.keys(id)))
  }

  keys(id: UploadId): { session: string; parts: string; counter: string } {
    const stem = `${this.#prefix}:{${id}}`
    return { session: `${stem}:session`, parts: `${stem}:parts`, counter: `${stem}:counter` }
  }

  /** Every offset that was told so far, and every byte, still stands. */
  settle(): void {
    this.ledger.settle()
  }

  /**
   * A client goes on with `by` until the upload is finished, sending `letter`s; then the object is compared with all that
   * was ever acknowledged. A deferred length becomes `length`.
   */
  async finish(id: UploadId, by: Instance, length: number, letter = 'Z'): Promise<void> {
    let last = 'nothing'
    for (let attempt = 0; attempt < FINISH_TRIES; attempt++) {
      const seen = await by.head(id)
      this.settle()
      last = seen.code
      if (seen.offset !== null) {
        const row = await this.row(id)
        if (seen.offset === row.length) return this.#compare(id, by)
        const declared = row.length === null ? { declaredLength: length } : {}
        const sent = await by.patch(id, seen.offset, fill(letter, length - seen.offset), declared)
        this.settle()
        if (sent.offset === length) return this.#compare(id, by)
        last = sent.code
      }
      if (last === 'upload_gone' || last === 'internal') break
      await sleep(100)
    }
    assert.fail(`the upload cannot be finished: ${last}`)
  }

  async #compare(id: UploadId, by: Instance): Promise<void> {
    const { open } = await by.engine.download(ALICE, id)
    this.ledger.compare(id, await readAll(await open()))
  }

  async close(): Promise<void> {
    for (const { gates } of this.#instances) gates.bury()
    await Promise.all(this.#closers.map((close) => close()))
    await Promise.all(this.#coordinations.map((one) => one.close()))
    await this.#database.close()
    await this.#store.close()
  }
}

export function fill(letter: string, length: number): Buffer {
  return Buffer.alloc(length, letter)
}
