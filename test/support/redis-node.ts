import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { redisProgram } from './provision/install.ts'

/** One process of a sentinel trio or a cluster. */
export interface RedisNode {
  readonly port: number
  /** A client for the test's own commands, reconnecting like any other. */
  readonly admin: Redis
  /** Not killed. */
  readonly running: boolean
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** Starts it again after a kill, with the arguments that it had: empty, and at first what it was in the beginning. */
  revive(): Promise<void>
  /** SIGSTOP and SIGCONT: the connections stay, no answer comes. */
  pause(): void
  resume(): void
  /** Ends process and client. */
  stop(): Promise<void>
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts redis-server with these arguments and waits until it answers on `port`. */
export async function startNode(port: number, args: readonly string[]): Promise<RedisNode> {
  const program = await redisProgram(() => {})
  if (program === undefined)
    throw new Error('This test needs redis-server on the PATH (Debian: apt-get install redis-server)')
  const admin = new Redis({
    port,
    host: '127.0.0.1',
    lazyConnect: true,
    retryStrategy: () => 20,
    disableClientInfo: true,
    commandTimeout: 3000,
  })
  admin.on('error', () => {}) // it is away when a test says so
  let server: ChildProcess | undefined
  const begin = async (): Promise<void> => {
    server = spawn(program, [...args], { stdio: 'ignore' })
    running.add(server)
    await until('redis-server answers', async () => (await admin.ping()) === 'PONG')
  }
  const kill = async (): Promise<void> => {
    const child = server
    server = undefined
    if (!child) return
    running.delete(child)
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  await begin()
  return {
    port,
    admin,
    get running() {
      return server !== undefined
    },
    kill,
    revive: begin,
    pause: () => void server?.kill('SIGSTOP'),
    resume: () => void server?.kill('SIGCONT'),
    stop: async () => {
      admin.disconnect()
      await kill()
    },
  }
}

/** Asks until the answer is yes; a refusal counts as no. Fails with `what` after half a minute. */
export async function until(what: string, ask: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000
  let last: unknown = 'no'
  while (performance.now() < end) {
    try {
      if (await ask()) return
      last = 'no'
    } catch (error) {
      last = error
    }
    await sleep(50)
  }
  throw new Error(`did not come true: ${what} (${String(last)})`)
}

/** A field of INFO or CLUSTER INFO. */
export function fieldOf(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1]
}
