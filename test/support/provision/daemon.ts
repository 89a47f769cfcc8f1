import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** How one long-running program is started, known to be ready, and stopped. */
export interface DaemonSpec {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly logFile: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly uid?: number
  readonly gid?: number
  readonly stopSignal?: NodeJS.Signals
  /** Rejects while the program is not ready to serve. */
  readonly probe: () => Promise<unknown>
  readonly readyTimeoutMs?: number
}

/** A running program; `stop` ends its whole process group and resolves when it is gone. */
export interface Daemon {
  readonly name: string
  readonly pid: number
  stop(): Promise<void>
}

const STOP_GRACE_MS = 8_000

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // the group is gone already
  }
}

function tailOf(logFile: string): string {
  return readFileSync(logFile, 'utf8').split('\n').slice(-30).join('\n')
}

/**
 * Starts a program in a process group of its own (so that Ctrl-C reaches it only through us) and waits until its
 * probe succeeds. Fails with the end of the program's log when it exits first or is not ready in time.
 */
export async function startDaemon(spec: DaemonSpec): Promise<Daemon> {
  const log = openSync(spec.logFile, 'a')
  const { uid, gid, cwd } = spec
  const child = spawn(spec.command, spec.args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...spec.env },
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  })
  closeSync(log)
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(`exited with ${signal ?? code}`))
  })
  let ended: string | undefined
  void exited.then((reason) => {
    ended = reason
  })
  const pid = child.pid
  if (pid === undefined) throw new Error(`${spec.name} did not start: ${await exited}`)
  const killNow = (): void => signalGroup(pid, 'SIGKILL')
  process.once('exit', killNow)

  const stop = async (): Promise<void> => {
    signalGroup(pid, spec.stopSignal ?? 'SIGTERM')
    await Promise.race([exited, sleep(STOP_GRACE_MS, undefined, { ref: false })])
    killNow()
    await exited
    process.removeListener('exit', killNow)
  }
  const deadline = Date.now() + (spec.readyTimeoutMs ?? 30_000)
  for (;;) {
    const failure = await spec.probe().then(
      () => undefined,
      (error: unknown) => error,
    )
    if (failure === undefined) return { name: spec.name, pid, stop }
    if (ended !== undefined) throw new Error(`${spec.name} ${ended}\n${tailOf(spec.logFile)}`)
    if (Date.now() > deadline) {
      await stop()
      throw new Error(`${spec.name} was not ready in time: ${String(failure)}\n${tailOf(spec.logFile)}`)
    }
    await sleep(50)
  }
}
