import { chmod, lstat, mkdir, unlink } from 'node:fs/promises'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, extname, join } from 'node:path'

/** What `sun_path` holds on every system that we know. */
const LONGEST_PATH = 103

/** Where the socket is when ADMIN_SOCKET says nothing: known from the port alone, so that a command finds it. */
export function adminSocketPath(configured: string | null, port: number): string {
  return configured ?? join(tmpdir(), `upload-service-${port}`, 'admin.sock')
}

/** One of several processes has a socket of its own beside the others': `admin-3.sock`. */
export function ofWorker(path: string, worker: number | undefined): string {
  if (worker === undefined) return path
  const extension = extname(path)
  return join(dirname(path), `${basename(path, extension)}-${worker}${extension}`)
}

/**
 * Listens on a Unix socket that only this process's own user can open: its directory is 0700 when we make it, the socket
 * 0600. Throws when the place is somebody else's, in use, or in a directory whose parent is not there. Closing the server removes it.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    throw new Error(`${path} is longer than the ${LONGEST_PATH} bytes that a socket's path may have`)
  }
  await mkdir(dirname(path), { mode: 0o700 }).catch((error) => {
    if (error.code !== 'EEXIST') throw error
  })
  await refuseForeign(dirname(path))
  if (await answers(path)) throw new Error(`another process listens on ${path}`)
  await unlink(path).catch(() => {})
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    // Bound with these rights from the start. `exclusive`: a cluster's primary would bind for its workers.
    const before = process.umask(0o177)
    try {
      server.listen({ path, exclusive: true }, () => {
        server.off('error', reject)
        resolve()
      })
    } finally {
      process.umask(before)
    }
  })
  await chmod(path, 0o600)
}

/** A directory in which somebody else could put a socket in the place of ours. */
async function refuseForeign(directory: string): Promise<void> {
  const { uid, mode } = await lstat(directory)
  const mine = process.getuid?.() ?? uid
  const shared = (mode & 0o022) !== 0
  if (uid !== mine || shared) {
    throw new Error(`${directory} belongs to or can be written by somebody else: give ADMIN_SOCKET a place of its own`)
  }
}

/** Does a process listen there? A socket that a dead one left does not answer. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
