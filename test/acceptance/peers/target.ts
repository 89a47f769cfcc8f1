/**
 * What the cases of this folder run against: the service, or with PEERS_TARGET=plain the published packages as their
 * documentation shows them. Both are seen over HTTP, in their bucket, and by what an application hears of a finish.
 */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AbortMultipartUploadCommand, ListMultipartUploadsCommand, type S3Client } from '@aws-sdk/client-s3'
import { type S3Call, type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { type Env, freshDataDir, freshWorld, type RunningService, startService } from '../../support/service.ts'
import { s3Client } from '../../support/services.ts'
import { idOf, Tus } from '../support/tus.ts'
import { productionInsight } from '../support/views.ts'

export const MIB = 1024 * 1024
/** Of a default service, and of the plain store. */
export const PART = 8 * MIB
export const IS_PLAIN = process.env.PEERS_TARGET === 'plain'
const ROOT = join(import.meta.dirname, '..', '..', '..')
const PLAIN = IS_PLAIN ? { main: join(import.meta.dirname, 'plain.ts') } : {}

/** One process. */
export interface Instance {
  readonly tus: Tus
  readonly service: RunningService
}

/** What an upload's end was for the application so far. */
export interface Finishes {
  /** Events that were committed with it. The plain packages have none: there it is the calls, as below. */
  readonly events: number
  /** Calls of the application's hook. */
  readonly heard: number
  /** Events whose whole work is done. */
  readonly jobs: number
}

/** Of an upload whose end the application has heard of as it should. */
export const ONCE: Finishes = { events: 1, heard: 1, jobs: 1 }

/** Processes that share everything they keep. */
export interface S3Target {
  /** What every instance has between itself and the store. */
  readonly proxy: S3Proxy
  readonly s3: S3Client
  readonly bucket: string
  start(extra?: Env): Promise<Instance>
  /** Everything in the bucket: `object KEY BYTES` and `multipart KEY ID`. */
  listing(): Promise<string[]>
  /** Aborts the upload's multipart uploads behind its back; how many there were. */
  abortMultiparts(path: string): Promise<number>
  finishes(path: string): Promise<Finishes>
  /** Kills what still runs and removes everything. */
  remove(): Promise<void>
}

async function instance(started: Set<RunningService>, mode: 'production' | 'embedded', env: Env): Promise<Instance> {
  const service = await startService({ mode, env, ...PLAIN })
  started.add(service)
  void service.exited.then(() => started.delete(service))
  return { tus: new Tus(service.url), service }
}

async function killAll(started: ReadonlySet<RunningService>): Promise<void> {
  // A stopped process dies of SIGKILL too.
  await Promise.all([...started].map((service) => service.kill()))
}

/** The application: a hook that writes down each finished upload. Returns the module. */
async function finishHook(dir: string, finished: string): Promise<string> {
  const [module, lifecycle] = [join(dir, 'hooks.mjs'), join(ROOT, 'hooks', 'lifecycle.ts')]
  const hook = `({ event }) => appendFileSync(${JSON.stringify(finished)}, event.uploadId + '\\n')`
  const imports = `import { appendFileSync } from 'node:fs'\nimport { defineHooks } from ${JSON.stringify(lifecycle)}\n`
  await writeFile(module, `${imports}export default defineHooks({ 'post-finish': ${hook} })\n`)
  return module
}

/** On S3; a lease of a second, so that whoever comes after a killed instance does not wait long. */
export async function s3Target(common: Env = {}): Promise<S3Target> {
  const world = await freshWorld()
  const [proxy, scratch] = await Promise.all([startS3Proxy(world.s3.endpoint), mkdtemp(join(tmpdir(), 'peers-'))])
  const finished = join(scratch, 'finished')
  const hooks = await finishHook(scratch, finished)
  const insight = productionInsight(world)
  const s3 = s3Client(world.s3)
  const started = new Set<RunningService>()
  const own = { S3_ENDPOINT: proxy.url, HOLD_LEASE: '1s', HOOKS_MODULE: hooks, FINISHED_FILE: finished }
  const env = { ...world.env, ...own, ...common }
  return {
    proxy,
    s3,
    bucket: world.bucket,
    start: (extra = {}) => instance(started, 'production', { ...env, ...extra }),
    listing: () => insight.listing(),
    async abortMultiparts(path) {
      const open = await s3.send(new ListMultipartUploadsCommand({ Bucket: world.bucket }))
      const ours = (open.Uploads ?? []).filter(({ Key }) => Key?.includes(idOf(path)))
      for (const { Key, UploadId } of ours) {
        await s3.send(new AbortMultipartUploadCommand({ Bucket: world.bucket, Key, UploadId }))
      }
      return ours.length
    },
    async finishes(path) {
      const id = idOf(path)
      const lines = (await readFile(finished, 'utf8').catch(() => '')).split('\n')
      const heard = lines.filter((line) => line === id).length
      if (IS_PLAIN) return { events: heard, heard, jobs: heard }
      const [events, jobs] = await Promise.all([insight.eventsOf(id, 'upload.uploaded'), insight.jobsDone(id)])
      return { events: events.length, heard, jobs }
    },
    async remove() {
      proxy.before = undefined
      proxy.after = undefined
      await killAll(started)
      await proxy.close()
      s3.destroy()
      await Promise.all([insight.close(), world.remove(), rm(scratch, { recursive: true, force: true })])
    },
  }
}

/** On files, in a directory of its own: one process at a time. */
export interface FileTarget {
  readonly dir: string
  start(extra?: Env): Promise<Instance>
  remove(): Promise<void>
}

export async function fileTarget(common: Env = {}): Promise<FileTarget> {
  const { dir, remove } = await freshDataDir()
  const started = new Set<RunningService>()
  const env = { NODE_ENV: 'test', DATA_DIR: dir, ...common }
  return {
    dir,
    start: (extra = {}) => instance(started, 'embedded', { ...env, ...extra }),
    async remove() {
      await killAll(started)
      await remove()
    },
  }
}

/** A call of this kind for that upload. */
export function ofUpload(path: string, ...operations: readonly S3Call['operation'][]): (call: S3Call) => boolean {
  const id = idOf(path)
  return (call) => operations.includes(call.operation) && call.key.includes(id)
}

/** `multipart …` lines of a listing. */
export function multiparts(listing: readonly string[]): string[] {
  return listing.filter((line) => line.startsWith('multipart '))
}

/**
 * Kills the instance by -9 at the first call that is meant: `before` the store hears of it, or when the store has
 * `applied` it and nobody has its answer. `killed` resolves when the process is gone.
 */
export function killAt(
  { proxy }: Pick<S3Target, 'proxy'>,
  when: 'before' | 'applied',
  isMeant: (call: S3Call) => boolean,
  victim: Instance,
): { readonly killed: Promise<void> } {
  const { promise: killed, resolve } = Promise.withResolvers<void>()
  const hook = async (call: S3Call) => {
    if (!isMeant(call)) return undefined
    proxy.before = undefined
    proxy.after = undefined
    await victim.service.kill()
    resolve()
    return { kind: 'drop' } as const
  }
  if (when === 'before') proxy.before = hook
  else proxy.after = hook
  return { killed }
}

/** The promise, or a failure that says what did not happen in time. */
export async function within<T>(ms: number, work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: `not within ${ms} ms: ${what}` })), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** What HEAD says now: an offset, or the status that it answered instead. */
export async function headOf(tus: Tus, path: string): Promise<number | { readonly status: number }> {
  const { status, headers } = await tus.head(path)
  return status === 200 ? Number(headers['upload-offset']) : { status }
}
