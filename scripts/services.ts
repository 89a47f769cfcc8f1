/**
 * `npm run services`: starts the services of the tests, says where they are in `.cache/services.json` and keeps them
 * until Ctrl-C or SIGTERM. With `--detach` it returns once they run; `--stop` ends the detached ones.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServices } from '../test/support/provision/start-all.ts'
import { SERVICES_FILE } from '../test/support/services.ts'

const say = (line: string): void => console.log(`services: ${line}`)

function runningPid(): number | undefined {
  try {
    const { pid }: { pid: number } = JSON.parse(readFileSync(SERVICES_FILE, 'utf8'))
    process.kill(pid, 0)
    return pid
  } catch {
    return undefined
  }
}

async function foreground(): Promise<void> {
  const started = await startServices(say)
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopping ??= started.stop().finally(() => rmSync(SERVICES_FILE, { force: true }))
    return stopping
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => void stop().then(() => process.exit(0)))
  }
  writeFileSync(SERVICES_FILE, JSON.stringify({ pid: process.pid, services: started.value }, null, 2))
  say(`running; ${SERVICES_FILE} says where`)
  setInterval(() => {}, 2 ** 30)
}

async function detach(): Promise<void> {
  const logFile = join(dirname(SERVICES_FILE), 'services.log')
  const log = openSync(logFile, 'w')
  const child = spawn(process.execPath, [import.meta.filename], { detached: true, stdio: ['ignore', log, log] })
  let exited = false
  child.once('exit', () => {
    exited = true
  })
  child.unref()
  while (!exited && !existsSync(SERVICES_FILE)) await sleep(100)
  process.stdout.write(readFileSync(logFile, 'utf8'))
  if (exited) process.exitCode = 1
}

mkdirSync(dirname(SERVICES_FILE), { recursive: true })
const running = runningPid()
if (running === undefined) rmSync(SERVICES_FILE, { force: true })
if (process.argv.includes('--stop')) {
  if (running !== undefined) process.kill(running, 'SIGTERM')
  while (existsSync(SERVICES_FILE)) await sleep(100)
} else if (running !== undefined) {
  say(`already running (process ${running})`)
} else if (process.argv.includes('--detach')) {
  await detach()
} else {
  await foreground()
}
