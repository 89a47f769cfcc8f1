/** The real HAProxy with the configuration that the project ships, before instances of the service on this machine. */
import { readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { run } from './provision/command.ts'
import { type Daemon, startDaemon } from './provision/daemon.ts'
import { freePorts } from './provision/ports.ts'
import { haproxyProgram } from './provision/tools.ts'

const CONFIG = join(import.meta.dirname, '..', '..', 'deploy', 'haproxy', 'haproxy.cfg')

export interface Haproxy {
  /** `https://127.0.0.1:port`, with a certificate of its own. */
  readonly url: string
  readonly plainUrl: string
  stop(): Promise<void>
}

export interface HaproxyOptions {
  /** Ports of the instances. */
  readonly servers: readonly number[]
  /** A directory for certificate, configuration and log. */
  readonly dir: string
  /** Every `timeout` line is multiplied by it; default 1. */
  readonly timeScale?: number
}

/** Replaces what must be there exactly once. */
function replaceOnce(text: string, old: string, by: string): string {
  const parts = text.split(old)
  if (parts.length !== 2) throw new Error(`haproxy.cfg has "${old}" ${parts.length - 1} times`)
  return parts.join(by)
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

function scaled(text: string, scale: number): string {
  return text.replaceAll(/^(\s*timeout \S+ +)(\d+)(ms|s|m)$/gm, (_line, head: string, count: string, unit: string) => {
    return `${head}${Math.round(Number(count) * (UNIT_MS[unit] ?? 0) * scale)}ms`
  })
}

async function certificate(dir: string): Promise<string> {
  const [key, cert, both] = ['key.pem', 'cert.pem', 'upload.pem'].map((name) => join(dir, name))
  if (!key || !cert || !both) throw new Error('unreachable')
  const subject = ['-subj', '/CN=localhost', '-days', '2']
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, ...subject])
  await writeFile(both, (await readFile(cert, 'utf8')) + (await readFile(key, 'utf8')), { mode: 0o600 })
  return both
}

function answers(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const req = request(`${url}/livez`, { rejectUnauthorized: false, agent: false }, (res) => {
      res.resume()
      resolve()
    })
    req.once('error', reject)
    req.end()
  })
}

/** Starts it. Fails when HAProxy cannot be had or refuses the configuration. */
export async function startHaproxy({ servers, dir, timeScale = 1 }: HaproxyOptions): Promise<Haproxy> {
  const program = await haproxyProgram((line) => console.log(line))
  if (program === undefined) throw new Error('The tests need HAProxy 2.6 or newer: apt install haproxy.')
  const [plain = 0, secure = 0] = await freePorts(2)
  const pem = await certificate(dir)
  let text = await readFile(CONFIG, 'utf8')
  text = replaceOnce(text, 'bind *:80\n', `bind 127.0.0.1:${plain}\n`)
  text = replaceOnce(text, 'bind *:443 ssl crt /etc/ssl/certs/upload.pem', `bind 127.0.0.1:${secure} ssl crt ${pem}`)
  text = replaceOnce(text, 'maxconn 20000\n', 'maxconn 400\n')
  const lines = servers.map((port, index) => `    server upload${index + 1} 127.0.0.1:${port}`)
  text = text.replace(/^ *server-template .*$/m, lines.join('\n'))
  if (!text.includes(lines[0] ?? 'server')) throw new Error('haproxy.cfg has no server-template line')
  const file = join(dir, 'haproxy.cfg')
  await writeFile(file, scaled(text, timeScale))
  const url = `https://127.0.0.1:${secure}`
  const daemon: Daemon = await startDaemon({
    name: 'haproxy',
    command: program,
    args: ['-W', '-db', '-f', file],
    logFile: join(dir, 'haproxy.log'),
    // it stops gently for as long as a connection is open
    stopSignal: 'SIGTERM',
    probe: () => answers(url),
  })
  return { url, plainUrl: `http://127.0.0.1:${plain}`, stop: daemon.stop }
}
