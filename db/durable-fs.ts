import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { NodeFS } from '@electric-sql/pglite/nodefs'

type EmscriptenOptions = Awaited<ReturnType<NodeFS['init']>>
type InitArguments = Parameters<NodeFS['init']>

/**
 * PGlite's file system with an fsync that syncs. Emscripten asks `stream_ops.fsync` of the file system (`_fd_sync` in
 * PGlite 0.5.16) and takes its absence for success: a commit would then survive kill -9 but not a power cut.
 */
export class DurableNodeFs extends NodeFS {
  constructor(dir: string) {
    mkdirSync(dir, { recursive: true })
    super(dir)
  }

  isInitialized(): boolean {
    return existsSync(join(this.rootDir, 'PG_VERSION'))
  }

  override async init(...[pglite, options]: InitArguments): Promise<EmscriptenOptions> {
    const { emscriptenOpts } = await super.init(pglite, options)
    const preRun = [...asList(emscriptenOpts.preRun), addFsync]
    return { emscriptenOpts: { ...emscriptenOpts, preRun } }
  }
}

function asList<T>(value: T | T[] | undefined): T[] {
  if (value === undefined) return []
  return Array.isArray(value) ? value : [value]
}

/** Runs once in each Emscripten module before its main. */
function addFsync(module: object): void {
  const nodeFs = 'NODEFS' in module ? module.NODEFS : undefined
  if (!isNodeFs(nodeFs)) throw new Error('this PGlite has no NODEFS.stream_ops: its commits could not be made durable')
  nodeFs.stream_ops.fsync = ({ nfd, node }) => {
    if (nfd === undefined) syncPath(nodeFs.realPath(node))
    else fsyncSync(nfd)
    return 0
  }
}

/** What is used of Emscripten's NODEFS; a directory's stream has no descriptor. */
interface EmscriptenNodeFs {
  readonly stream_ops: { fsync?: (stream: { readonly nfd?: number; readonly node: unknown }) => number }
  readonly realPath: (node: unknown) => string
}

function isNodeFs(value: unknown): value is EmscriptenNodeFs {
  return typeof value === 'object' && value !== null && 'stream_ops' in value && 'realPath' in value
}

/** Makes a file's bytes, or the names in a directory, durable. */
export function syncPath(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Syncs a directory and everything below it. */
export function syncTree(dir: string): void {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name)
    if (entry.isDirectory()) syncTree(path)
    else if (entry.isFile()) syncPath(path)
  }
  syncPath(dir)
}
