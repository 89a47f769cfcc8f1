import { randomUUID } from 'node:crypto'
import { link, readFile, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolders } from './storage/file/durable.ts'

/** Another process works on the same data. The message says what to do. */
export class DataLocked extends Error {
  constructor(dir: string, pid: number) {
    super(
      `${dir} is in use by another upload-service (process ${pid}). Stop that one, or give this one a folder of its own: DATA_DIR=./other npm start`,
    )
    this.name = 'DataLocked'
  }
}

/** The data folder is ours until {@link DataLock.release}. */
export interface DataLock {
  release(): Promise<void>
}

interface Owner {
  readonly pid: number
  /** When that process started, in clock ticks since boot: a reused pid is another process. */
  readonly startedAt: string | null
  readonly nonce: string
}

/**
 * Takes the data folder for this process. A lock whose owner is dead is taken over. Throws {@link DataLocked}.
 * The lock is a hard link to a file with the owner in it: linking fails when the name is there, and is atomic.
 */
export async function lockData(dir: string): Promise<DataLock> {
  await makeFolders(dir)
  const path = join(dir, 'lock')
  const me: Owner = {
    pid: process.pid,
    startedAt: (await statusOf(process.pid))?.startedAt ?? null,
    nonce: randomUUID(),
  }
  const mine = join(dir, `lock.${me.nonce}`)
  await writeFile(mine, JSON.stringify(me), { flush: true })
  try {
    await take(dir, path, mine)
  } finally {
    await unlink(mine)
  }
  return {
    async release() {
      if ((await ownerOf(path))?.nonce === me.nonce) await rm(path, { force: true })
    },
  }
}

async function take(dir: string, path: string, mine: string): Promise<void> {
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      await link(mine, path)
      return
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    }
    const owner = await ownerOf(path)
    if (owner && (await isAlive(owner))) throw new DataLocked(dir, owner.pid)
    // Only the lock that was looked at is removed: another starter may have replaced it meanwhile.
    if ((await ownerOf(path))?.nonce === owner?.nonce) await rm(path, { force: true })
  }
  throw new Error(`The lock ${path} keeps changing hands; start once more.`)
}

async function ownerOf(path: string): Promise<Owner | null> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return isOwner(value) ? value : null
  } catch {
    return null
  }
}

function isOwner(value: unknown): value is Owner {
  return (
    typeof value === 'object' && value !== null && 'pid' in value && typeof value.pid === 'number' && 'nonce' in value
  )
}

async function isAlive(owner: Owner): Promise<boolean> {
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    // EPERM: it is there, and somebody else's.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false
  }
  const status = await statusOf(owner.pid)
  // Killed, and only not yet reaped (in a container without an init it never is): nobody works there any more.
  if (status !== null && ENDED.has(status.state)) return false
  return status === null || owner.startedAt === null || status.startedAt === owner.startedAt
}

/** States of a process that is over: a zombie, or about to be one. */
const ENDED: ReadonlySet<string> = new Set(['Z', 'X', 'x'])

/** Fields 3 and 22 of /proc/PID/stat on Linux; null elsewhere. */
async function statusOf(pid: number): Promise<{ state: string; startedAt: string | null } | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (stat === null) return null
  // The name before may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', startedAt: fields[19] ?? null }
}
