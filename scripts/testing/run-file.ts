import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { groupRuns, killGroup } from './processes.ts'
import type { Outcome } from './reporter.ts'

/** What one test file came to. */
export interface FileResult {
  readonly file: string
  readonly outcomes: readonly Outcome[]
  readonly durationMs: number
  /** The end of what the file wrote to its standard streams. */
  readonly output: string
}

/** How a test file is run. */
export interface FileOptions {
  readonly root: string
  readonly env: NodeJS.ProcessEnv
  /** A directory for the runner's own files. */
  readonly scratch: string
  /** Milliseconds after which the file counts as hanging. */
  readonly timeoutMs: number
}

const REPORTER = join(import.meta.dirname, 'reporter.ts')
const OUTPUT_KEPT = 64 * 1024
const STRAGGLER_GRACE_MS = 2_000

const running = new Set<number>()

/** Ends every test file that runs now, with all its children. */
export function killRunning(): void {
  for (const pid of running) killGroup(pid)
}

/** Gathers what a child writes, keeping the end of it. */
function collect(child: ChildProcess): () => string {
  let output = ''
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-OUTPUT_KEPT)
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  return () => output
}

async function outcomesIn(path: string): Promise<Outcome[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  // a killed file may have left half a line at the end
  const lines = text.split('\n').slice(0, -1)
  return lines.map((line): Outcome => JSON.parse(line))
}

async function leftProcesses(pid: number): Promise<boolean> {
  const deadline = Date.now() + STRAGGLER_GRACE_MS
  while (groupRuns(pid) && Date.now() < deadline) await sleep(20)
  return groupRuns(pid)
}

/**
 * Runs one file of `node:test` tests in a process group of its own. Beside its tests' outcomes, the file itself fails
 * when it crashes, runs over its time (a hang, or a handle left open) or leaves a child process behind.
 */
export async function runFile(file: string, options: FileOptions): Promise<FileResult> {
  const started = performance.now()
  const events = join(options.scratch, `${file.replaceAll('/', '+')}.jsonl`)
  const args = [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${events}`, join(options.root, file)]
  const child = spawn(process.execPath, args, {
    cwd: options.root,
    env: options.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = collect(child)
  const pid = child.pid ?? 0
  if (pid !== 0) running.add(pid)
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    killGroup(pid)
  }, options.timeoutMs)
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('error', () => resolve([1, null]))
    child.once('exit', (...ended) => resolve(ended))
  })
  clearTimeout(timer)
  const stragglers = pid !== 0 && (await leftProcesses(pid))
  if (stragglers) killGroup(pid)
  running.delete(pid)

  const outcomes = await outcomesIn(events)
  const fail = (error: string): void => void outcomes.push({ name: `(file) ${file}`, result: 'failed', error })
  const seconds = Math.round(options.timeoutMs / 1000)
  if (timedOut) fail(`did not end within ${seconds} s: a test hangs or leaves a handle open`)
  else if (signal !== null) fail(`was ended by ${signal}`)
  else if (code !== 0 && !outcomes.some(({ result }) => result === 'failed')) fail(`exited with ${code}`)
  else if (outcomes.length === 0) fail('holds no test')
  if (stragglers && !timedOut) fail('left a child process behind')
  return { file, outcomes, durationMs: performance.now() - started, output: output() }
}
