/** A program that may end by itself or never get ready: what it says, and how it ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type Env, surroundings } from './service.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const GIVE_UP_MS = 60_000

export interface Launched {
  readonly pid: number
  /** Everything on its standard streams so far. */
  output(): string
  /** Resolves when the output matches; rejects when it ends before, or after `giveUpMs`. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  /** Resolves when it is gone: its exit code, or the signal's name. Rejects after `giveUpMs`. */
  ends(): Promise<number | string>
  /** Sends a signal (default SIGKILL), with `group` to its children too, and waits until it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
}

export interface LaunchOptions {
  /** Default: the project's root. */
  readonly cwd?: string
  readonly env: Env
  /** For a program that starts others (npm): all of them are a process group of their own, ended together. */
  readonly group?: boolean
  /** Default: a minute. */
  readonly giveUpMs?: number
}

/** Runs a command with nothing of this process's environment but what every program needs. */
export function launch(command: string, args: readonly string[], options: LaunchOptions): Launched {
  const { cwd = ROOT, env, group = false, giveUpMs = GIVE_UP_MS } = options
  const { PATH, HOME, TMPDIR } = process.env
  const child = spawn(command, args, {
    cwd,
    env: { PATH, HOME, TMPDIR, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: group,
  })
  const send = (signal: NodeJS.Signals): void => {
    try {
      if (group && child.pid !== undefined) process.kill(-child.pid, signal)
      else child.kill(signal)
    } catch {
      // Nobody is left of the group.
    }
  }
  let output = ''
  let changed = (): void => {}
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      changed()
    })
  }
  const lastResort = (): void => send('SIGKILL')
  process.once('exit', lastResort)
  // 'close' and not 'exit': the last words are read by then.
  const closed: Promise<number | string> = once(child, 'close').then(([code, signal]) => {
    process.removeListener('exit', lastResort)
    return code ?? signal
  })
  let over = false
  void closed.then(() => {
    over = true
    changed()
  })

  const within = async <T>(work: Promise<T>, what: string): Promise<T> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${command} did not ${what}:\n${output}`)), giveUpMs)
    })
    return Promise.race([work, late]).finally(() => clearTimeout(timer))
  }
  return {
    pid: child.pid ?? 0,
    output: () => output,
    ends: () => within(closed, 'end'),
    says: (pattern) =>
      within(
        new Promise((resolve, reject) => {
          changed = () => {
            const match = pattern.exec(output)
            if (match) resolve(match)
            else if (over) reject(new Error(`${command} ended without ${pattern}:\n${output}`))
          }
          changed()
        }),
        `say ${pattern}`,
      ),
    async kill(signal = 'SIGKILL') {
      send(signal)
      await closed
    },
  }
}

/** The service in production mode, as `npm run server` starts it. */
export function launchServer(env: Env): Launched {
  return launch(process.execPath, [join(ROOT, 'server', 'main.ts')], { env: { ...surroundings(), ...env } })
}
