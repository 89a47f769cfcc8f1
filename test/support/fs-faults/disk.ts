/**
 * What a power cut takes back. Every change under a folder is made at once (also where the program asked for it
 * asynchronously, so that the order of changes is the order of calls) and remembered until it is synced: bytes until
 * their file is, names until their folder is. A cut undoes what is still remembered, the last change first.
 */
import fs from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** The functions as Node has them, before anything is replaced. */
const real = { ...fs }

type Data = string | NodeJS.ArrayBufferView

interface Change {
  /** Undone unless this file was synced; or, for a name, unless one of these folders was. */
  readonly file: number | null
  readonly folders: readonly number[]
  readonly undo: () => void
  readonly forget: () => void
}

/** `all`: nothing that was not synced is there. `bytes`: names are there (a journal took them), their bytes are not. */
export type Cut = 'all' | 'bytes'

export class Disk {
  readonly #grave: string
  readonly #changes = new Set<Change>()
  /** A descriptor of our own of each file with bytes that are not synced. */
  readonly #own = new Map<number, number>()
  #graves = 0

  /** `grave`: a folder on the same file system, for what a cut brings back. */
  constructor(grave: string) {
    this.#grave = grave
    real.mkdirSync(grave, { recursive: true })
  }

  /** Undoes what is not synced. Throws when that does not work: then nothing was simulated. */
  cut(what: Cut): void {
    for (const change of [...this.#changes].reverse()) {
      if (what === 'all' || change.file !== null) change.undo()
    }
  }

  open(path: string, flags: string | number, mode?: fs.Mode): number {
    const before = this.#beforeOpening(path, flags)
    const descriptor = real.openSync(path, flags, mode)
    this.#afterOpening(path, before)
    return descriptor
  }

  /** The same for a handle that only the asynchronous call can make. */
  async openHandle(path: string, flags: string | number, mode?: fs.Mode): Promise<fs.promises.FileHandle> {
    const before = this.#beforeOpening(path, flags)
    const handle = await openHandle(path, flags, mode)
    this.#afterOpening(path, before)
    return handle
  }

  write(descriptor: number, data: Data, position: number | null): number {
    const bytes = typeof data === 'string' ? Buffer.from(data) : bytesOf(data)
    this.#rememberBytes(descriptor, position, bytes.length)
    return real.writeSync(descriptor, bytes, 0, bytes.length, position)
  }

  /** The first half: what a process that dies in the middle of a write leaves. */
  writeHalf(descriptor: number, data: Data, position: number | null): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : bytesOf(data)
    this.write(descriptor, bytes.subarray(0, bytes.length >> 1), position)
  }

  truncate(descriptor: number, length: number): void {
    const { size } = real.fstatSync(descriptor)
    if (length < size) this.#rememberBytes(descriptor, length, size - length)
    else this.#rememberBytes(descriptor, size, 0)
    real.ftruncateSync(descriptor, length)
  }

  /** A file or a folder. */
  sync(descriptor: number): void {
    real.fsyncSync(descriptor)
    const { ino } = real.fstatSync(descriptor)
    for (const change of this.#changes) {
      if (change.file !== ino && !change.folders.includes(ino)) continue
      this.#changes.delete(change)
      change.forget()
    }
    const own = this.#own.get(ino)
    if (own !== undefined) real.closeSync(own)
    this.#own.delete(ino)
  }

  mkdir(path: string, options?: fs.MakeDirectoryOptions): string | undefined {
    const missing: string[] = []
    for (let at = path; options?.recursive && !real.existsSync(at); at = dirname(at)) missing.unshift(at)
    const made = real.mkdirSync(path, options)
    for (const each of options?.recursive ? missing : [path]) this.#rememberName(each)
    return made
  }

  rmdir(path: string): void {
    real.rmdirSync(path)
    const [folder, at] = this.#held(path)
    this.#remember([folder], () => real.mkdirSync(at))
  }

  unlink(path: string): void {
    const kept = this.#bury((grave) => real.linkSync(path, grave))
    real.unlinkSync(path)
    const [folder, at] = this.#held(path)
    this.#remember([folder], () => real.linkSync(kept, at))
  }

  /** A file, or a folder with all that is in it. */
  remove(path: string): void {
    const kept = this.#bury((grave) => real.renameSync(path, grave))
    const [folder, at] = this.#held(path)
    this.#remember([folder], () => real.renameSync(kept, at))
  }

  rename(from: string, to: string): void {
    const target = real.statSync(to, { throwIfNoEntry: false })
    const kept = target?.isFile() ? this.#bury((grave) => real.linkSync(to, grave)) : null
    real.renameSync(from, to)
    const [left, back] = this.#held(from)
    const [entered, at] = this.#held(to)
    this.#remember([left, entered], () => {
      real.renameSync(at, back)
      if (kept !== null) real.linkSync(kept, at)
    })
  }

  copy(from: string, to: string, mode?: number): void {
    const isNew = !real.existsSync(to)
    if (!isNew) throw new Error(`a copy over ${to} is not simulated`)
    real.copyFileSync(from, to, mode)
    this.#rememberName(to)
    const descriptor = real.openSync(to, 'r+')
    const own = this.#ownOf(descriptor)
    const { ino } = real.fstatSync(descriptor)
    this.#changes.add({ file: ino, folders: [], undo: () => real.ftruncateSync(own, 0), forget: () => {} })
    real.closeSync(descriptor)
  }

  #beforeOpening(path: string, flags: string | number): boolean {
    const exists = real.existsSync(path)
    const truncates = typeof flags === 'number' ? (flags & real.constants.O_TRUNC) !== 0 : flags.startsWith('w')
    if (exists && truncates && real.statSync(path).size > 0) {
      const descriptor = real.openSync(path, 'r+')
      this.truncate(descriptor, 0)
      real.closeSync(descriptor)
    }
    return exists
  }

  #afterOpening(path: string, existed: boolean): void {
    if (!existed) this.#rememberName(path)
  }

  #rememberName(path: string): void {
    const [folder, at] = this.#held(path)
    this.#remember([folder], () => real.rmSync(at, { recursive: true, force: true }))
  }

  #rememberBytes(descriptor: number, position: number | null, length: number): void {
    const { ino, size } = real.fstatSync(descriptor)
    const own = this.#ownOf(descriptor)
    const at = position ?? positionOf(descriptor, size)
    const before = Buffer.alloc(Math.max(0, Math.min(length, size - at)))
    real.readSync(own, before, 0, before.length, at)
    const undo = (): void => {
      real.ftruncateSync(own, size)
      real.writeSync(own, before, 0, before.length, at)
    }
    this.#changes.add({ file: ino, folders: [], undo, forget: () => {} })
  }

  /** While it is open its inode is nobody else's. */
  #ownOf(descriptor: number): number {
    const { ino } = real.fstatSync(descriptor)
    const own = this.#own.get(ino) ?? real.openSync(`/proc/self/fd/${descriptor}`, 'r+')
    this.#own.set(ino, own)
    return own
  }

  #remember(held: readonly Held[], undo: () => void): void {
    const forget = (): void => {
      for (const { descriptor } of held) real.closeSync(descriptor)
    }
    this.#changes.add({ file: null, folders: held.map(({ ino }) => ino), undo, forget })
  }

  /** The folder of a path, wherever it is moved to, and the path in it. */
  #held(path: string): readonly [Held, string] {
    const descriptor = real.openSync(dirname(path), 'r')
    const { ino } = real.fstatSync(descriptor)
    return [{ descriptor, ino }, join(`/proc/self/fd/${descriptor}`, basename(path))]
  }

  #bury(put: (grave: string) => void): string {
    this.#graves += 1
    const grave = join(this.#grave, `${process.pid}-${this.#graves}`)
    put(grave)
    return grave
  }
}

interface Held {
  readonly descriptor: number
  readonly ino: number
}

const openHandle = real.promises.open

function bytesOf(view: NodeJS.ArrayBufferView): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength)
}

/** Where a write without a position goes. */
function positionOf(descriptor: number, size: number): number {
  const info = real.readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')
  const flags = Number.parseInt(/^flags:\s+([0-7]+)$/m.exec(info)?.[1] ?? '0', 8)
  return flags & real.constants.O_APPEND ? size : Number(/^pos:\s+(\d+)$/m.exec(info)?.[1] ?? 0)
}
