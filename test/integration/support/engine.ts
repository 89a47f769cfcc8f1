import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { Redis } from 'ioredis'
import { type Database, openDatabase } from '../../../db/database.ts'
import { createMemoryCoordination, MemoryState } from '../../../server/coordination/memory/index.ts'
import { createRedisCoordination } from '../../../server/coordination/redis/index.ts'
import { FileByteStore } from '../../../server/storage/file/index.ts'
import { S3ByteStore } from '../../../server/storage/s3/index.ts'
import type { EngineEvents, Gatekeeper } from '../../../server/uploads/api.ts'
import { createEngine, type EngineOptions, type EngineSettings } from '../../../server/uploads/engine.ts'
import { oneStore } from '../../../server/uploads/one-store.ts'
import type { ByteStore } from '../../../server/uploads/ports/byte-store.ts'
import type { Coordination } from '../../../server/uploads/ports/coordination.ts'
import type { Inventory } from '../../../server/uploads/ports/housekeeping.ts'
import type { Principal } from '../../../server/uploads/words.ts'
import { freshBucket, freshDatabase, freshPrefix, type TestS3, testServices } from '../../support/services.ts'

/** An engine to play with, and what it stands on. */
export type TestEngine = Awaited<ReturnType<typeof createEngine>>

export const ALICE: Principal = { subject: 'alice', tenant: 'default', roles: ['uploader', 'reader'] }
export const MIB = 1024 * 1024

export const SETTINGS: EngineSettings = {
  maxBytes: 1024 * MIB,
  maxMetadataBytes: 16_384,
  chunkBytes: 64 * 1024,
  partBytes: 512 * 1024,
  poolBlocks: 10,
  leaseMs: 3000,
  holdWaitMs: 8000,
  finishWaitMs: 15_000,
  idleMs: 60_000,
  inspectStallMs: 1000,
  inspectPatienceMs: 5000,
  flushAfterMs: 30_000,
  expiresAfterMs: 3_600_000,
  rebuildWaitMs: 0,
  segmentParts: 640,
  keys: { prefix: 'uploads', tailPrefix: 'uploads-tails' },
}

export const OPEN_GATE: Gatekeeper = { async preCreate() {}, async preFinish() {}, async preTerminate() {} }

/** Counts what the engine tells; nothing is asserted by it. */
export function quietEvents(): EngineEvents {
  const nothing = () => {}
  return {
    created: nothing,
    finished: nothing,
    terminated: nothing,
    expired: nothing,
    received: nothing,
    held: nothing,
    flushed: nothing,
    outbox: nothing,
  }
}

/** Embedded parts in a temporary folder: two engines over one world are two instances of the service. */
export interface World {
  readonly database: Database
  readonly store: ByteStore & Inventory
  readonly state: MemoryState
  engine(change?: Partial<EngineOptions> & { readonly settings?: EngineSettings }): Promise<TestEngine>
  coordination(): Coordination
  remove(): Promise<void>
}

export async function embeddedWorld(): Promise<World> {
  const root = await mkdtemp(join(tmpdir(), 'engine-'))
  const database = await openDatabase({ driver: 'pglite', dir: null })
  await database.migrate('auto')
  const store = await FileByteStore.open({ root })
  const state = new MemoryState()
  const engines: TestEngine[] = []
  const coordination = () => createMemoryCoordination({ state })
  return {
    database,
    store,
    state,
    coordination,
    async engine(change = {}) {
      const engine = await createEngine({
        settings: SETTINGS,
        memoryBytes: 64 * MIB,
        memoryWarningShare: 0.8,
        maxWrites: 25,
        stores: oneStore(store),
        coordination: coordination(),
        records: database.records,
        gatekeeper: OPEN_GATE,
        events: quietEvents(),
        ...change,
      })
      engines.push(engine)
      return engine
    },
    async remove() {
      await Promise.all(engines.map((engine) => engine.close()))
      await database.close()
      await store.close()
      await rm(root, { recursive: true, force: true })
    },
  }
}

/** Real parts: Postgres, Redis and an S3 store. `forget` empties what Redis has of this world. */
export async function realWorld(s3: TestS3): Promise<Omit<World, 'state'> & { forget(): Promise<void> }> {
  const [fresh, bucket] = await Promise.all([freshDatabase(), freshBucket(s3)])
  const { redisUrl } = testServices()
  const prefix = freshPrefix('engine')
  const database = await openDatabase({ driver: 'postgres', url: fresh.url, poolMin: 1, poolMax: 5 })
  await database.migrate('auto')
  const { accessKeyId, secretAccessKey } = s3
  const store = new S3ByteStore({
    endpoint: s3.endpoint,
    region: s3.region,
    bucket: bucket.name,
    credentials: { accessKeyId, secretAccessKey },
  })
  const opened: Coordination[] = []
  const coordination = async () => {
    const one = await createRedisCoordination({ url: redisUrl, prefix, poolMin: 1, poolMax: 3 })
    opened.push(one)
    return one
  }
  const redis = new Redis(redisUrl)
  const engines: TestEngine[] = []
  return {
    database,
    store,
    coordination: () => {
      throw new Error('take an engine instead')
    },
    async forget() {
      const keys = await redis.keys(`${prefix}:*`)
      if (keys.length > 0) await redis.del(...keys)
    },
    async engine(change = {}) {
      const engine = await createEngine({
        settings: { ...SETTINGS, partBytes: 5 * MIB, rebuildWaitMs: 100 },
        memoryBytes: 256 * MIB,
        memoryWarningShare: 0.8,
        maxWrites: 25,
        stores: oneStore(store),
        coordination: await coordination(),
        records: database.records,
        gatekeeper: OPEN_GATE,
        events: quietEvents(),
        ...change,
      })
      engines.push(engine)
      return engine
    },
    async remove() {
      await Promise.all(engines.map((engine) => engine.close()))
      await Promise.all(opened.map((one) => one.close()))
      redis.disconnect()
      await database.close()
      await store.close()
      await Promise.all([fresh.drop(), bucket.cleanup()])
    },
  }
}

/** A body that sends `bytes` in pieces of `chunk`, then ends. */
export function bodyOf(bytes: Buffer, chunk = 64 * 1024): Readable {
  let position = 0
  return new Readable({
    read() {
      const piece = bytes.subarray(position, position + chunk)
      position += piece.length
      this.push(piece.length > 0 ? Buffer.from(piece) : null)
    },
  })
}

/** A body that is fed by hand. `cut` breaks it as a lost connection does. */
export function openBody(): { body: Readable; send(bytes: Buffer): void; end(): void; cut(): void } {
  const body = new Readable({ read() {} })
  return {
    body,
    send: (bytes) => void body.push(bytes),
    end: () => void body.push(null),
    cut: () => void body.destroy(new Error('connection lost')),
  }
}

export function bytesOf(length: number): Buffer {
  return randomBytes(length)
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
