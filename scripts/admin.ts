/**
 * `npm run admin:gc`, `npm run admin:db-status`, `npm run db:pool:restart`: asks every process of the service on this
 * machine over its local socket (ADMIN_SOCKET, else by PORT), as its own user, without a token. Prints the answers.
 */
import { readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { basename, dirname, extname, join } from 'node:path'
import { adminSocketPath } from '../server/admin-socket.ts'
import { loadConfig } from '../server/config/load.ts'

const COMMANDS: Readonly<Record<string, readonly [method: string, path: string]>> = {
  gc: ['POST', '/admin/gc'],
  'db-status': ['GET', '/admin/db-status'],
  'db-pool-restart': ['POST', '/admin/db-pool/restart'],
}

/** The place of the socket, from the two settings that say it; the rest of the environment may be unknown here. */
function socketPath(): string {
  const { PORT, ADMIN_SOCKET } = process.env
  const { server } = loadConfig({ PORT, ADMIN_SOCKET }, { embedded: true })
  return adminSocketPath(server.adminSocket, server.port)
}

/** It, and those of the processes of WORKERS beside it. */
async function sockets(path: string): Promise<string[]> {
  const extension = extname(path)
  const name = basename(path, extension)
  const rest = (file: string): string => file.slice(name.length, file.length - extension.length)
  const files = await readdir(dirname(path)).catch(() => [])
  return files
    .filter((file) => file.startsWith(name) && file.endsWith(extension) && /^(-[0-9]+)?$/.test(rest(file)))
    .map((file) => join(dirname(path), file))
}

interface Answer {
  readonly status: number
  readonly body: string
}

/** null: the process that listened there is gone. */
function ask(socketPath: string, method: string, path: string): Promise<Answer | null> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, host: 'localhost', agent: false }, async (incoming) => {
      const chunks: Buffer[] = []
      try {
        for await (const chunk of incoming) chunks.push(chunk)
        resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') })
      } catch (error) {
        reject(error)
      }
    })
    outgoing.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(null)
      else reject(error)
    })
    outgoing.end()
  })
}

async function main(name: string | undefined): Promise<void> {
  const command = COMMANDS[name ?? '']
  if (command === undefined) throw new Error(`give one of ${Object.keys(COMMANDS).join(', ')}`)
  const path = socketPath()
  const answers = await Promise.all((await sockets(path)).map((socket) => ask(socket, ...command)))
  const given = answers.filter((answer) => answer !== null)
  if (given.length === 0) {
    throw new Error(`no service listens on ${path}: is it another user's, or has it another PORT or ADMIN_SOCKET?`)
  }
  for (const { status, body } of given) {
    console.log(body.trimEnd())
    if (status !== 200) process.exitCode = 1
  }
}

main(process.argv[2]).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
