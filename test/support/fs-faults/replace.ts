/** Puts the watched functions in the place of Node's. */
import fs from 'node:fs'
import type { Disk } from './disk.ts'
import type { Kind, Room, Watch } from './watch.ts'

type Handle = fs.promises.FileHandle
type Position = number | null | undefined

/** As PGlite and what surrounds it use them. */
export function replaceSync(watch: Watch): void {
  const { disk } = watch
  const real = { ...fs }
  const onPath = watcher(watch)
  Object.assign(fs, {
    openSync(path: string, flags: string | number = 'r', mode?: fs.Mode): number {
      const room = watch.roomOf(path)
      const descriptor = room === null ? real.openSync(path, flags, mode) : disk.open(path, flags, mode)
      watch.opened(descriptor, room)
      return descriptor
    },
    writeSync(descriptor: number, data: NodeJS.ArrayBufferView, ...where: readonly (number | null | undefined)[]) {
      if (watch.roomOfDescriptor(descriptor) === null)
        return Reflect.apply(real.writeSync, fs, [descriptor, data, ...where])
      const [offset, length, position] = where
      const from = offset ?? 0
      const bytes = Buffer.from(data.buffer, data.byteOffset + from, length ?? data.byteLength - from)
      return disk.write(descriptor, bytes, position ?? null)
    },
    ftruncateSync(descriptor: number, length = 0) {
      if (watch.roomOfDescriptor(descriptor) === null) real.ftruncateSync(descriptor, length)
      else disk.truncate(descriptor, length)
    },
    truncateSync(path: string, length = 0) {
      if (watch.roomOf(path) === null) real.truncateSync(path, length)
      else withDescriptor(disk, path, (descriptor) => disk.truncate(descriptor, length))
    },
    fsyncSync(descriptor: number) {
      const room = watch.roomOfDescriptor(descriptor)
      if (room !== null) watch.step(room, real.fstatSync(descriptor).isDirectory() ? 'sync-folder' : 'sync')
      // Also of DATA_DIR itself, in which the watched folders have their names.
      disk.sync(descriptor)
    },
    writeFileSync(path: string, data: string | Buffer, options?: fs.WriteFileOptions) {
      if (watch.roomOf(path) === null) real.writeFileSync(path, data, options)
      else writeWhole(disk, path, data, typeof options === 'object' ? options : null)
    },
    mkdirSync: onPath('mkdir', real.mkdirSync, (path, options?: fs.MakeDirectoryOptions | number) =>
      disk.mkdir(path, typeof options === 'object' ? options : {}),
    ),
    renameSync: onPath('rename', real.renameSync, (from, to: string) => disk.rename(from, to)),
    unlinkSync: onPath('remove', real.unlinkSync, (path) => disk.unlink(path)),
    rmdirSync: onPath('remove', real.rmdirSync, (path) => disk.rmdir(path)),
    rmSync: onPath('remove', real.rmSync, (path) => {
      if (real.existsSync(path)) disk.remove(path)
    }),
  })
}

/** As the file store and the record files use them. */
export async function replaceAsync(watch: Watch): Promise<void> {
  const { disk } = watch
  const { promises } = fs
  const real = { ...promises }
  const onPath = watcher(watch)
  const later =
    <A extends unknown[], R>(act: (...args: A) => R) =>
    async (...args: A): Promise<R> =>
      act(...args)
  Object.assign(promises, {
    async open(path: string, flags: string | number = 'r', mode?: fs.Mode): Promise<Handle> {
      const room = watch.roomOf(path)
      if (room !== null && !fs.existsSync(path)) watch.step(room, 'create')
      const handle = await (room === null ? real.open(path, flags, mode) : disk.openHandle(path, flags, mode))
      watch.opened(handle.fd, room)
      return handle
    },
    mkdir: onPath(
      'mkdir',
      real.mkdir,
      later((path: string, options?: fs.MakeDirectoryOptions | number) =>
        disk.mkdir(path, typeof options === 'object' ? options : {}),
      ),
    ),
    rename: onPath(
      'rename',
      real.rename,
      later((from: string, to: string) => disk.rename(from, to)),
    ),
    unlink: onPath(
      'remove',
      real.unlink,
      later((path: string) => disk.unlink(path)),
    ),
    rmdir: onPath(
      'remove',
      real.rmdir,
      later((path: string) => disk.rmdir(path)),
    ),
    rm: onPath(
      'remove',
      real.rm,
      later((path: string) => {
        if (fs.existsSync(path)) disk.remove(path)
      }),
    ),
    copyFile: onPath(
      'create',
      real.copyFile,
      later((from: string, to: string, mode?: number) => disk.copy(from, to, mode)),
    ),
  })
  const handle = await real.open(import.meta.filename)
  await handle.close()
  replaceHandle(watch, Object.getPrototypeOf(handle))
}

/** The methods of every open file. */
function replaceHandle(watch: Watch, prototype: Handle): void {
  const { disk } = watch
  const { write, writev, writeFile, appendFile, truncate } = prototype
  const put = (handle: Handle, room: Room, bytes: Buffer, position: Position): number => {
    watch.step(room, 'write', () => disk.writeHalf(handle.fd, bytes, position ?? null))
    return disk.write(handle.fd, bytes, position ?? null)
  }
  const syncing = async function (this: Handle): Promise<void> {
    const room = watch.roomOfDescriptor(this.fd)
    if (room !== null) watch.step(room, (await this.stat()).isDirectory() ? 'sync-folder' : 'sync')
    disk.sync(this.fd)
  }
  const whole = (otherwise: Handle['writeFile']) =>
    async function (this: Handle, data: string | Buffer, ...more: unknown[]): Promise<void> {
      const room = watch.roomOfDescriptor(this.fd)
      if (room === null) return Reflect.apply(otherwise, this, [data, ...more])
      put(this, room, Buffer.from(data), null)
    }
  Object.assign(prototype, {
    sync: syncing,
    datasync: syncing,
    writeFile: whole(writeFile),
    appendFile: whole(appendFile),
    async writev(this: Handle, buffers: readonly Buffer[], position?: Position) {
      const room = watch.roomOfDescriptor(this.fd)
      if (room === null) return Reflect.apply(writev, this, [buffers, position])
      return { bytesWritten: put(this, room, Buffer.concat(buffers), position), buffers }
    },
    async write(this: Handle, buffer: Buffer, ...more: unknown[]) {
      if (watch.roomOfDescriptor(this.fd) !== null) throw new Error('FileHandle.write is not simulated')
      return Reflect.apply(write, this, [buffer, ...more])
    },
    async truncate(this: Handle, length = 0) {
      const room = watch.roomOfDescriptor(this.fd)
      if (room === null) return Reflect.apply(truncate, this, [length])
      watch.step(room, 'truncate')
      disk.truncate(this.fd, length)
    },
  })
}

/** A function of a path: `watched` instead of `otherwise` where the path is below DATA_DIR. */
function watcher(watch: Watch) {
  return <A extends unknown[], R>(
    kind: Kind,
    otherwise: (...args: never[]) => R,
    watched: (path: string, ...more: A) => R,
  ) =>
    (path: string, ...more: A): R => {
      // The place that a rename or a copy goes to counts as well: both are always of one room.
      const room = watch.roomOf(path)
      if (room === null) return Reflect.apply(otherwise, fs, [path, ...more])
      watch.step(room, kind)
      return watched(path, ...more)
    }
}

function withDescriptor(disk: Disk, path: string, act: (descriptor: number) => void): void {
  const descriptor = disk.open(path, 'r+')
  try {
    act(descriptor)
  } finally {
    fs.closeSync(descriptor)
  }
}

function writeWhole(disk: Disk, path: string, data: string | Buffer, options: fs.ObjectEncodingOptions | null): void {
  const flush = options !== null && 'flush' in options && options.flush === true
  const descriptor = disk.open(path, 'w', 0o644)
  disk.write(descriptor, data, null)
  if (flush) disk.sync(descriptor)
  fs.closeSync(descriptor)
}
