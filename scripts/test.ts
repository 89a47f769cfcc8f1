/**
 * `npm test [-- path...]`: format, lint, types, then every test against real services that it starts and stops itself.
 * Ends with one line, `N passed, N failed`, and exits with 1 when anything failed. TEST_LONG=1 takes the longer walks.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromiumPath } from '../test/support/provision/install.ts'
import { startServices } from '../test/support/provision/start-all.ts'
import type { Started } from '../test/support/provision/types.ts'
import type { TestServices } from '../test/support/services.ts'
import { type CheckResult, runCheck } from './testing/check.ts'
import { STAGES, type Stage, stageOf, testFiles } from './testing/files.ts'
import { type FileResult, killRunning, runFile } from './testing/run-file.ts'
import { Tally } from './testing/tally.ts'

const ROOT = join(import.meta.dirname, '..')
const BIN = join(ROOT, 'node_modules', '.bin')
const LONG = process.env.TEST_LONG === '1'
const MINUTE = 60_000
const WHOLE_RUN_MS = (LONG ? 120 : 15) * MINUTE - 20_000
const FILE_MS: Readonly<Record<Stage, number>> = { house: 1, unit: 2, integration: 3, acceptance: 5 }
const CORES = availableParallelism()
/** Integration tests wait for services more than they compute; acceptance tests keep several processes busy each. */
const AT_ONCE: Readonly<Record<Stage, number>> = {
  house: CORES,
  unit: CORES,
  integration: CORES + 1,
  acceptance: Math.max(2, Math.floor(CORES / 2)),
}

const AGAIN: ReadonlySet<Stage> = new Set(['integration', 'acceptance'])

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const tally = new Tally()
let services: Started<TestServices> | undefined
let scratch: string | undefined
let ending: string | undefined

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

function endEarly(reason: string): void {
  if (ending !== undefined) return
  ending = reason
  killRunning()
}

async function stage(name: string, work: () => Promise<void>): Promise<void> {
  if (ending !== undefined) return
  const started = performance.now()
  console.log(`== ${name}`)
  await work()
  console.log(`   ${name}: ${seconds(performance.now() - started)}\n`)
}

function noteCheck(result: CheckResult): void {
  console.log(`   ${result.ok ? 'ok    ' : 'FAILED'} ${result.name} (${seconds(result.durationMs)})`)
  tally.check(result.name, result.ok, result.output)
}

async function staticChecks(): Promise<void> {
  noteCheck(await runCheck('format and lint', join(BIN, 'biome'), ['check', '--no-errors-on-unmatched', '.'], ROOT))
  noteCheck(await runCheck('types', join(BIN, 'tsc'), ['-p', ROOT], ROOT))
}

function testEnvironment({ redisUrl, databaseUrl, s3 }: TestServices, temp: string): NodeJS.ProcessEnv {
  const [seaweedfs, versitygw] = s3
  return {
    ...process.env,
    TMPDIR: temp,
    TEST_REDIS_URL: redisUrl,
    TEST_DATABASE_URL: databaseUrl,
    TEST_S3_ENDPOINT: seaweedfs?.endpoint,
    TEST_S3_STRICT_ENDPOINT: versitygw?.endpoint,
    TEST_S3_ACCESS_KEY: seaweedfs?.accessKeyId,
    TEST_S3_SECRET_KEY: seaweedfs?.secretAccessKey,
    TEST_S3_REGION: seaweedfs?.region,
  }
}

async function runFiles(name: Stage, files: readonly string[], env: NodeJS.ProcessEnv, temp: string): Promise<void> {
  const queue = [...files]
  const unsteady: FileResult[] = []
  const timeoutMs = FILE_MS[name] * MINUTE * (LONG ? 10 : 1)
  const run = async (file: string): Promise<FileResult> => {
    const result = await runFile(file, { root: ROOT, env, scratch: temp, timeoutMs })
    const verdict = hasFailed(result) ? 'FAILED' : 'ok    '
    console.log(`   ${verdict} ${file} (${result.outcomes.length} tests, ${seconds(result.durationMs)})`)
    return result
  }
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined && ending === undefined; file = queue.shift()) {
      const result = await run(file)
      // Tests of real services share two cores with others: what fails beside them is tried once more alone.
      if (hasFailed(result) && ending === undefined && AGAIN.has(name)) unsteady.push(result)
      else tally.file(result)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE[name] }, worker))
  for (const first of unsteady) {
    const again = ending === undefined ? await run(first.file) : first
    tally.file(again)
    if (!hasFailed(again)) tally.unsteady(first)
  }
}

function hasFailed(result: FileResult): boolean {
  return result.outcomes.some((outcome) => outcome.result === 'failed')
}

async function gitStatus(): Promise<string> {
  const { ok, output } = await runCheck('status', 'git', ['status', '--porcelain'], ROOT)
  return ok ? output : ''
}

async function everything(): Promise<void> {
  const before = await gitStatus()
  const temp = await mkdtemp(join(tmpdir(), 'upload-service-tests-'))
  scratch = temp
  // Installing services takes the longest in a fresh clone, so it goes on beside the static checks.
  const report = (line: string): void => console.log(`   ${line}`)
  const starting = startServices(report)
  // Without a browser the tests that need one say so themselves.
  const browser = chromiumPath(report).catch(() => undefined)
  const outcome = starting.then(
    (started) => {
      services = started
    },
    (error: Error) => tally.check('services', false, error.message),
  )
  if (wanted.length === 0) await stage('static checks', staticChecks)
  await stage('services', () => outcome)
  await outcome
  if (services === undefined) return
  const env = { ...testEnvironment(services.value, temp), CHROMIUM_PATH: await browser }
  const files = testFiles(ROOT, wanted)
  if (files.length === 0) tally.check('test files', false, `no test file at ${wanted.join(' ')}`)
  for (const name of STAGES) {
    const ofStage = files.filter((file) => stageOf(file) === name)
    if (ofStage.length > 0) await stage(name, () => runFiles(name, ofStage, env, temp))
  }
  if (before === '' && wanted.length === 0) {
    const after = await gitStatus()
    tally.check('the work tree is as clean as before', after === '', after)
  }
}

const timer = setTimeout(() => endEarly(`ran over ${seconds(WHOLE_RUN_MS)}`), WHOLE_RUN_MS)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => endEarly(`was ended by ${signal}`))
process.on('exit', killRunning)
const started = performance.now()
try {
  await everything()
} catch (error) {
  tally.check('test runner', false, String(error instanceof Error ? error.stack : error))
} finally {
  clearTimeout(timer)
  await services?.stop()
  if (scratch !== undefined) await rm(scratch, { recursive: true, force: true, maxRetries: 5 })
}
if (ending !== undefined) tally.check('the whole run', false, `The run ${ending}.`)
const reports = tally.failures()
if (reports !== '') console.log(reports)
console.log(`\nwhole run: ${seconds(performance.now() - started)}`)
console.log(tally.summary())
process.exit(tally.failed > 0 ? 1 : 0)
