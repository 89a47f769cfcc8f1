import { spawn } from 'node:child_process'
import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** What `run` may be told about the child. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly uid?: number
  readonly gid?: number
  /** Milliseconds after which the child is killed and the call fails. */
  readonly timeoutMs?: number
}

/** Runs a program to its end and answers its standard output; a failure carries both outputs in its message. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const { env, timeoutMs = 600_000, ...rest } = options
    const child = spawn(command, args, {
      ...rest,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
    })
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk) => {
      out += chunk
    })
    child.stderr.on('data', (chunk) => {
      err += chunk
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(out)
      reject(new Error(`${command} ${args.join(' ')} ended with ${signal ?? code}\n${err}${out}`.slice(0, 8000)))
    })
  })
}

/** The full path of a program on the PATH, in Debian's Postgres directories or in `extraDirs`; else undefined. */
export function findProgram(name: string, extraDirs: readonly string[] = []): string | undefined {
  const dirs = [...extraDirs, ...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/go/bin']
  for (const dir of dirs) {
    const path = join(dir || '.', name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // not there: the next directory
    }
  }
  return undefined
}

/** Debian keeps Postgres' server programs off the PATH, one directory a version; the newest comes first. */
export function postgresDirs(): string[] {
  try {
    const versions = readdirSync('/usr/lib/postgresql').sort((a, b) => Number(b) - Number(a))
    return versions.map((version) => `/usr/lib/postgresql/${version}/bin`)
  } catch {
    return []
  }
}
