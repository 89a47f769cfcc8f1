/**
 * Loaded by NODE_OPTIONS into a service: writes each file that was synced to the disk into SYNCS_FILE, one JSON line
 * each, when the sync has ended: by inode, as it may get its name later. Each ends late, so that an answer that does
 * not wait for it comes first.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

const LATE_MS = 100
const log = process.env.SYNCS_FILE

function note(fd: number): void {
  if (!log) return
  const { ino, size } = fs.fstatSync(fd)
  fs.appendFileSync(log, `${JSON.stringify({ ino, size })}\n`)
}

const handle = await fs.promises.open(process.execPath)
const prototype: Pick<fs.promises.FileHandle, 'sync' | 'datasync'> = Object.getPrototypeOf(handle)
await handle.close()
for (const name of ['sync', 'datasync'] as const) {
  const original = prototype[name]
  prototype[name] = async function (this: fs.promises.FileHandle) {
    await original.call(this)
    await sleep(LATE_MS)
    note(this.fd)
  }
}
for (const name of ['fsync', 'fdatasync'] as const) {
  const original = fs[name]
  const replaced = (fd: number, done: (error: NodeJS.ErrnoException | null) => void): void => {
    original(fd, (error) => {
      setTimeout(() => {
        if (!error) note(fd)
        done(error)
      }, LATE_MS)
    })
  }
  Object.assign(fs, { [name]: replaced })
}
for (const name of ['fsyncSync', 'fdatasyncSync'] as const) {
  const original = fs[name]
  Object.assign(fs, {
    [name]: (fd: number): void => {
      original(fd)
      note(fd)
    },
  })
}
syncBuiltinESMExports()
