/**
 * The service under test on either kind of store. A backend is a database, a bucket and a prefix of its own
 * (embedded: a data directory); services are started on it, one after another or, in production, side by side.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type Env, freshDataDir, freshWorld, type RunningService, startService } from '../../support/service.ts'
import { type TestS3, testServices } from '../../support/services.ts'
import { eventually, idOf, Tus } from './tus.ts'
import { filesView, type Insight, productionInsight } from './views.ts'

export interface Store {
  /** Keys (or files) whose name has the upload's id. */
  objectsOf(path: string): Promise<string[]>
}

export interface Events {
  /** The upload entered `uploaded` exactly once. Where the outbox cannot be read from outside: it is finished. */
  uploadedOnce(path: string): Promise<void>
}

export interface Service {
  readonly origin: string
  readonly tus: Tus
  readonly pid: number
  readonly store: Store
  readonly events: Events
  readonly exited: RunningService['exited']
  signal(name: NodeJS.Signals): void
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>
  /** SIGKILL, and until the process is gone. */
  kill(): Promise<void>
  /** A new process with the same settings on the same port. */
  again(): Promise<Service>
}

export interface Backend {
  readonly name: string
  readonly env: Env
  /** Row, session and store as seen from outside; null on the embedded one. */
  readonly insight: Insight | null
  /** Everything that is kept of one upload, comparable with deepEqual. */
  view(service: Service, path: string): Promise<unknown>
  start(extra?: Env): Promise<Service>
  /** Stops what still runs and removes everything. */
  close(): Promise<void>
}

interface Rig {
  readonly mode: 'production' | 'embedded'
  readonly env: Env
  readonly store: Store
  readonly uploadedOnce: (tus: Tus, path: string) => Promise<void>
  readonly started: Set<RunningService>
}

async function launch(rig: Rig, port?: number): Promise<Service> {
  const { mode, env, started } = rig
  const running = await startService(port === undefined ? { mode, env } : { mode, env, port })
  started.add(running)
  const gone = running.exited.then((exit) => {
    started.delete(running)
    return exit
  })
  const tus = new Tus(running.url)
  return {
    origin: running.url,
    tus,
    pid: running.pid,
    store: rig.store,
    events: { uploadedOnce: (path) => rig.uploadedOnce(tus, path) },
    exited: gone,
    signal: (name) => void running.kill(name),
    stop: () => running.stop(),
    kill: () => running.kill(),
    again: () => launch(rig, running.port),
  }
}

async function killAll(started: Set<RunningService>): Promise<void> {
  await Promise.all([...started].map((running) => running.kill()))
}

async function isFinished(tus: Tus, path: string): Promise<void> {
  await eventually(async () => {
    const { state } = await tus.info(path)
    return state === 'uploaded' || state === 'processing' || state === 'available'
  }, `${path} finished`)
}

/** Redis, Postgres and this S3 store. */
export async function productionBackend(s3: TestS3): Promise<Backend> {
  const world = await freshWorld(s3)
  const insight = productionInsight(world)
  const started = new Set<RunningService>()
  const store: Store = { objectsOf: (path) => insight.keysOf(idOf(path)) }
  const uploadedOnce = async (tus: Tus, path: string): Promise<void> => {
    await isFinished(tus, path)
    assert.deepEqual(await insight.eventsOf(idOf(path), 'upload.uploaded'), ['upload.uploaded'])
  }
  return {
    name: s3.name,
    env: world.env,
    insight,
    view: (_service, path) => insight.viewOf(idOf(path)),
    start: async (extra = {}) =>
      launch({ mode: 'production', env: { ...world.env, ...extra }, store, uploadedOnce, started }),
    close: async () => {
      await killAll(started)
      await insight.close()
      await world.remove()
    },
  }
}

/** Files, memory and PGlite in a directory of its own: one service at a time. */
export async function embeddedBackend(): Promise<Backend> {
  const { dir, remove } = await freshDataDir()
  const started = new Set<RunningService>()
  const env = { NODE_ENV: 'test', DATA_DIR: dir, MEMORY_LIMIT_MB: '1024' }
  // Not the record files: they tell of an upload that is gone, too.
  const files = (path: string) => filesView(join(dir, 'store'), idOf(path))
  const store: Store = { objectsOf: async (path) => (await files(path)).map(({ name }) => name) }
  return {
    name: 'embedded',
    env,
    insight: null,
    view: async ({ tus }, path) => ({ info: await tus.info(path), files: await files(path) }),
    start: async (extra = {}) =>
      launch({ mode: 'embedded', env: { ...env, ...extra }, store, uploadedOnce: isFinished, started }),
    close: async () => {
      await killAll(started)
      await remove()
    },
  }
}

export function storeNamed(name: TestS3['name']): TestS3 {
  const found = testServices().s3.find((s3) => s3.name === name)
  assert.ok(found, `no S3 store named ${name}`)
  return found
}

/** What a suite runs on: production on SeaweedFS, and embedded. */
export const BACKENDS: readonly { readonly name: string; readonly open: () => Promise<Backend> }[] = [
  { name: 'production', open: () => productionBackend(storeNamed('seaweedfs')) },
  { name: 'embedded', open: embeddedBackend },
]
