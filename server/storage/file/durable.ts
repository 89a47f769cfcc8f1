/** Writes that a power cut cannot take back. */
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { errorCode, isMissing } from './failure.ts'

/** Makes names that were created in, or moved into, a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a folder and those above it that are missing, all durably. */
export async function makeFolders(path: string): Promise<void> {
  const whole = resolve(path)
  const topmost = (await mkdir(whole, { recursive: true, mode: 0o750 })) ?? whole
  // The lowest one also when it was there already: whoever made it may not have come to this line.
  for (let at = whole; at.length >= topmost.length && at !== dirname(at); at = dirname(at))
    await syncFolder(dirname(at))
}

/** Writes all chunks at a position; the kernel may take them in several bites. */
export async function writeAll(file: FileHandle, chunks: readonly Buffer[], position: number): Promise<void> {
  let at = position
  let rest = chunks.filter((chunk) => chunk.length > 0)
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest, at)
    at += bytesWritten
    rest = after(rest, bytesWritten)
  }
}

function after(chunks: readonly Buffer[], bytes: number): Buffer[] {
  let skip = bytes
  let first = 0
  for (let chunk = chunks[first]; chunk && skip >= chunk.length; chunk = chunks[first]) {
    skip -= chunk.length
    first++
  }
  const [partial, ...whole] = chunks.slice(first)
  return partial ? [skip > 0 ? partial.subarray(skip) : partial, ...whole] : []
}

/** Writes a new file and makes its bytes durable (its name is the caller's to sync). */
export async function writeNew(path: string, chunks: readonly Buffer[]): Promise<void> {
  const file = await open(path, 'wx', 0o640)
  try {
    await writeAll(file, chunks, 0)
    await file.datasync()
  } finally {
    await file.close()
  }
}

/** Makes folders durably. Remembers those that are, so that a put costs one sync and not one a level. */
export class Folders {
  readonly #top: string
  readonly #durable = new Map<string, Promise<void>>()

  constructor(top: string) {
    this.#top = top
  }

  /** The folder and all above it, up to `top`, exist and survive a power cut. */
  make(path: string): Promise<void> {
    if (path.length <= this.#top.length) return Promise.resolve()
    const known = this.#durable.get(path)
    if (known) return known
    const making = this.#make(path)
    this.#durable.set(path, making)
    // Uploads have a folder each: the memory is for those in use.
    if (this.#durable.size > 10_000) this.#durable.delete(this.#durable.keys().next().value ?? path)
    making.catch(() => this.#durable.delete(path))
    return making
  }

  /** The folder was removed, here or by another process. */
  forget(path: string): void {
    for (let at = path; at.length > this.#top.length; at = dirname(at)) this.#durable.delete(at)
  }

  async #make(path: string): Promise<void> {
    const parent = dirname(path)
    await this.make(parent)
    try {
      await makeFolder(path)
    } catch (error) {
      if (!isMissing(error)) throw error
      this.forget(parent)
      await this.make(parent)
      await makeFolder(path)
    }
    // Also when it was there already: whoever made it may not have come to this line.
    await syncFolder(parent)
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, 0o750)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  }
}

/**
 * Moves a finished file to its place, over what may be there, and makes that durable. Throws ENOENT when `from` is
 * gone. The folder may have been removed, as empty, since it was made: then it is made again.
 */
export async function moveIntoPlace(folders: Folders, from: string, to: string): Promise<void> {
  const folder = dirname(to)
  await folders.make(folder)
  try {
    await rename(from, to)
  } catch (error) {
    if (!isMissing(error)) throw error
    folders.forget(folder)
    await folders.make(folder)
    await rename(from, to)
  }
  await syncFolder(folder)
}
