/** Builds an image's file systems as plain folders, by the steps of the Dockerfile itself. */
import {
  chmod,
  chown,
  copyFile,
  cp,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rmdir,
  stat,
  symlink,
} from 'node:fs/promises'
import { delimiter, dirname, join, posix, relative } from 'node:path'
import { run } from '../provision/command.ts'
import { contextFilter, parseDockerfile, type Stage } from './dockerfile.ts'

/** What the last stage says about how it is run; paths are those of this machine. */
export interface Built {
  /** The folder that stands for `/`. */
  readonly root: string
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly user: { readonly uid: number; readonly gid: number }
  readonly cmd: readonly string[]
  readonly healthcheck: readonly string[]
  readonly port: number
  readonly base: string
  /** A directory with the base image's programs, `node` and `npm`: nothing else of this project is on its PATH. */
  readonly bin: string
}

const AS_ROOT = process.getuid?.() === 0

/** What the base image has: this Node, and an npm. */
async function baseImage(into: string): Promise<string> {
  const bin = join(into, 'bin')
  await mkdir(bin, { recursive: true })
  const node = join(bin, 'node')
  await link(process.execPath, node).catch(() => copyFile(process.execPath, node))
  const npm = (await run('sh', ['-c', 'command -v npm'])).trim()
  const cli = (await run('readlink', ['-f', npm])).trim()
  await symlink(cli, join(bin, 'npm'))
  return bin
}

async function own(path: string, owner: string | undefined): Promise<void> {
  if (owner === undefined || !AS_ROOT) return
  const [uid, gid] = owner.split(':').map(Number)
  await chown(path, uid ?? 0, gid ?? 0)
}

/** From stage to stage things are moved: copying some hundred megabytes would only show that copying works. */
async function move(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await rmdir(to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
  await rename(from, to)
}

class Builder {
  readonly #context: string
  readonly #scratch: string
  readonly #bin: string
  readonly #kept: (path: string) => boolean
  readonly #roots = new Map<string, string>()

  constructor(context: string, scratch: string, bin: string, kept: (path: string) => boolean) {
    this.#context = context
    this.#scratch = scratch
    this.#bin = bin
    this.#kept = kept
  }

  async build(stage: Stage, number: number): Promise<Built> {
    const root = join(this.#scratch, `stage${number}`)
    if (stage.name !== undefined) this.#roots.set(stage.name, root)
    await mkdir(root)
    let at = '/'
    let env: Record<string, string> = {}
    const how = {
      user: { uid: 0, gid: 0 },
      cmd: [] as readonly string[],
      healthcheck: [] as readonly string[],
      port: 0,
    }
    for (const step of stage.steps) {
      if (step.kind === 'env') env = { ...env, ...step.values }
      else if (step.kind === 'workdir') at = posix.resolve(at, step.path)
      else if (step.kind === 'user') how.user = { uid: step.uid, gid: step.gid }
      else if (step.kind === 'expose') how.port = step.port
      else if (step.kind === 'cmd') how.cmd = step.argv
      else if (step.kind === 'healthcheck') how.healthcheck = step.argv
      else if (step.kind === 'copy') await this.#copy(root, at, step)
      else await this.#run(step.command, join(root, at), env)
      await mkdir(join(root, at), { recursive: true })
    }
    return { ...how, root, workdir: join(root, at), env, base: stage.base, bin: this.#bin }
  }

  async #copy(root: string, at: string, step: Extract<Stage['steps'][number], { kind: 'copy' }>): Promise<void> {
    const from = step.from === undefined ? this.#context : this.#roots.get(step.from)
    if (from === undefined) throw new Error(`no stage ${step.from}`)
    const target = join(root, posix.resolve(at, step.target))
    for (const source of step.sources) {
      const whole = join(from, source)
      const directory = (await stat(whole)).isDirectory()
      const to = directory || !(step.sources.length > 1 || step.target.endsWith('/')) ? target : join(target, source)
      const keep = (path: string): boolean => this.#kept(posix.join(source, path))
      if (step.from === undefined && !directory && !keep(''))
        throw new Error(`${source} is not in the build context: see .dockerignore`)
      if (step.from !== undefined) await move(whole, to)
      else
        await cp(whole, to, { recursive: true, filter: (path) => keep(relative(whole, path)), verbatimSymlinks: true })
      await own(to, step.owner)
    }
  }

  async #run(command: string, cwd: string, env: Readonly<Record<string, string>>): Promise<void> {
    await run('sh', ['-ec', command], {
      cwd,
      // npm's cache of this machine first, without asking the registry for what is in it
      env: { ...env, npm_config_prefer_offline: 'true', PATH: `${this.#bin}${delimiter}/usr/bin${delimiter}/bin` },
    })
  }
}

/** Root's files are out of the image's user's reach as they are; a developer's own are made so. */
async function makeReadOnly(dir: string): Promise<void> {
  if (!AS_ROOT) await run('chmod', ['-R', 'a-w', dir])
}

/** Runs the Dockerfile of `context`; `scratch` is an empty directory that everybody may enter. */
export async function buildImage(context: string, scratch: string): Promise<Built> {
  const bin = await baseImage(scratch)
  const ignore = await readFile(join(context, '.dockerignore'), 'utf8')
  const kept = contextFilter(ignore)
  const builder = new Builder(context, scratch, bin, kept)
  const stages = parseDockerfile(await readFile(join(context, 'Dockerfile'), 'utf8'))
  let last: Built | undefined
  for (const [index, stage] of stages.entries()) last = await builder.build(stage, index)
  if (last === undefined) throw new Error('the Dockerfile has no stage')
  await makeReadOnly(last.workdir)
  return last
}

/** Files below `dir` whose name is `name`. */
export async function filesNamed(dir: string, name: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.name === name && !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
}

/** Lets other users pass through a directory of ours (not list it). */
export async function openPath(dir: string): Promise<void> {
  await chmod(dir, 0o711).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPERM') throw error
  })
}
