import { appendFile, chmod, chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { run } from './command.ts'
import { startDaemon } from './daemon.ts'
import { postgresDir } from './install.ts'
import { freePorts } from './ports.ts'
import type { Started, StartOptions } from './types.ts'

/** Postgres refuses to run as root; then it runs as the user that Debian's package made, else as nobody. */
async function unprivileged(): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {}
  const user = await run('id', ['-u', 'postgres']).then(
    () => 'postgres',
    () => 'nobody',
  )
  const [uid, gid] = await Promise.all([run('id', ['-u', user]), run('id', ['-g', user])])
  return { uid: Number(uid), gid: Number(gid) }
}

async function select1(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select 1')
  } finally {
    await client.end().catch(() => undefined)
  }
}

const SETTINGS = (port: number, socketDir: string): string => `
listen_addresses = '127.0.0.1'
port = ${port}
unix_socket_directories = '${socketDir}'
max_connections = 500
shared_buffers = 128MB
fsync = off
full_page_writes = off
autovacuum_naptime = 20s
`

/** Starts a new, empty Postgres on a free loopback port; undefined when no Postgres can be had. */
export async function startPostgres({ dir, report }: StartOptions): Promise<Started<string> | undefined> {
  const bin = await postgresDir(report)
  if (bin === undefined) return undefined
  const home = join(dir, 'postgres')
  const data = join(home, 'data')
  await mkdir(home, { recursive: true })
  const user = await unprivileged()
  if (user.uid !== undefined && user.gid !== undefined) {
    await chmod(dir, 0o711)
    await chown(home, user.uid, user.gid)
  }
  const initdb = ['-D', data, '-U', 'app', '--auth=trust', '--no-sync', '-E', 'UTF8', '--locale=C']
  await run(join(bin, 'initdb'), initdb, { ...user, cwd: home })
  const [port = 0] = await freePorts(1)
  await appendFile(join(data, 'postgresql.conf'), SETTINGS(port, home))
  const url = `postgres://app@127.0.0.1:${port}/postgres`
  const daemon = await startDaemon({
    name: 'postgres',
    command: join(bin, 'postgres'),
    args: ['-D', data],
    logFile: join(dir, 'postgres.log'),
    cwd: home,
    stopSignal: 'SIGINT',
    probe: () => select1(url),
    ...user,
  })
  return { value: url, stop: daemon.stop }
}
