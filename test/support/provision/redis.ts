import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { redisProgram } from './install.ts'
import { freePorts } from './ports.ts'
import type { Started, StartOptions } from './types.ts'

function ping(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer to PING')))
    socket.once('error', reject)
    socket.once('data', (data) => {
      socket.destroy()
      if (data.toString().startsWith('+PONG')) resolve()
      else reject(new Error(data.toString()))
    })
    socket.once('end', () => reject(new Error('closed')))
  })
}

/** Starts Redis without persistence on a free loopback port; undefined when no redis-server can be had. */
export async function startRedis({ dir, report }: StartOptions): Promise<Started<string> | undefined> {
  const command = await redisProgram(report)
  if (command === undefined) return undefined
  const data = join(dir, 'redis')
  await mkdir(data, { recursive: true })
  const [port = 0] = await freePorts(1)
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', data]
  const daemon = await startDaemon({
    name: 'redis',
    command,
    args: settings,
    logFile: join(dir, 'redis.log'),
    probe: () => ping(port),
  })
  return { value: `redis://127.0.0.1:${port}`, stop: daemon.stop }
}
