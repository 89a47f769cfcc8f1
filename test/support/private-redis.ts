import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { redisProgram } from './provision/install.ts'
import { freePorts } from './provision/ports.ts'
import { until } from './redis-node.ts'

/** A redis-server of one test alone, to be killed, paused and flushed at will. Nothing is persisted. */
export interface PrivateRedis {
  readonly url: string
  readonly port: number
  /** A client for the test's own commands, reconnecting like any other. */
  readonly admin: Redis
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** Starts it again on its port, after a kill; empty and with another replication id. */
  start(): Promise<void>
  /** SIGSTOP and SIGCONT: the connections stay, no answer comes. */
  pause(): void
  resume(): void
  /** Ends process, client and directory. */
  stop(): Promise<void>
}

/** Starts one; `settings` are further arguments of redis-server. `started: false` leaves its port closed. */
export async function privateRedis(
  settings: readonly string[] = [],
  { started = true }: { started?: boolean } = {},
): Promise<PrivateRedis> {
  const program = await redisProgram(() => {})
  if (program === undefined)
    throw new Error('This test needs redis-server on the PATH (Debian: apt-get install redis-server)')
  const dir = await mkdtemp(join(tmpdir(), 'private-redis-'))
  const [port = 0] = await freePorts(1)
  const admin = new Redis({ port, host: '127.0.0.1', lazyConnect: true, retryStrategy: () => 20 })
  admin.on('error', () => {}) // it is away when a test says so
  let server: ChildProcess | undefined
  const signal = (name: NodeJS.Signals) => server?.kill(name)

  const start = async () => {
    const common = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir]
    server = spawn(program, [...common, ...settings], { stdio: 'ignore' })
    process.once('exit', endNow)
    if (admin.status === 'wait') await admin.connect().catch(() => {})
    // On a busy machine it may begin to listen later than the client's retries of one command last.
    await until('redis-server answers', async () => (await admin.ping()) === 'PONG')
  }
  const kill = async () => {
    const running = server
    server = undefined
    process.removeListener('exit', endNow)
    if (!running || running.exitCode !== null || running.signalCode !== null) return
    const gone = once(running, 'exit')
    running.kill('SIGKILL')
    await gone
  }
  function endNow(): void {
    signal('SIGKILL')
  }

  if (started) await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    admin,
    start,
    kill,
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    stop: async () => {
      admin.disconnect()
      await kill()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
