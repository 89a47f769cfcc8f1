import { spawn } from 'node:child_process'

/** A check that is one command: it holds when the command exits with 0. */
export interface CheckResult {
  readonly name: string
  readonly ok: boolean
  readonly output: string
  readonly durationMs: number
}

/** Runs a command in `cwd` and says whether it succeeded, with what it wrote. */
export function runCheck(name: string, command: string, args: readonly string[], cwd: string): Promise<CheckResult> {
  const started = performance.now()
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (chunk: Buffer): void => {
      output += chunk.toString()
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    const done = (ok: boolean): void => resolve({ name, ok, output, durationMs: performance.now() - started })
    child.once('error', (error) => {
      output += error.message
      done(false)
    })
    child.once('close', (code) => done(code === 0))
  })
}
