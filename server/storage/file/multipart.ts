/**
 * Open multipart uploads, a folder each:
 *
 *     meta      key and part size
 *     data      the bytes; part n at (n - 1) * partBytes; at the end it is renamed and becomes the object
 *     journal   the acknowledged parts (journal.ts)
 *     claims/   an empty file for each number that somebody began to write in `data`
 *     part-*    parts that were sent again
 *
 * A place in `data` is written by whoever claimed it, once. A second sending goes to a file of its own, so that it
 * replaces the first whole or not at all, also in a crash and beside a writer that lost its hold and woke up late.
 * Only the finish of an upload in which that happened copies bytes.
 */
import { randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { copyFile, type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { combineCrc32s } from '../../uploads/crc32.ts'
import { UploadError } from '../../uploads/errors.ts'
import type { Piece } from '../../uploads/ports/byte-store.ts'
import type { ListedMultipart } from '../../uploads/ports/housekeeping.ts'
import type { Part } from '../../uploads/words.ts'
import { type Folders, moveIntoPlace, syncFolder, writeAll, writeNew } from './durable.ts'
import { errorCode, isMissing } from './failure.ts'
import { appendJournal, type Journal, type JournalPart, readJournal } from './journal.ts'
import { type Layout, multipartFolder, objectFile, refuseLinks } from './paths.ts'

const COPY_BYTES = 1024 * 1024

export type Completed = 'done' | 'no-such-upload' | 'invalid-part'

interface Meta {
  readonly key: string
  readonly partBytes: number
}

/** The multipart half of the file store. Throws file system errors as they are; its caller maps them. */
export class Multiparts {
  readonly #at: Layout
  readonly #folders: Folders

  constructor(at: Layout, folders: Folders) {
    this.#at = at
    this.#folders = folders
  }

  async create(key: string, partBytes: number): Promise<string> {
    const id = randomBytes(16).toString('hex')
    const folder = join(this.#at.multipart, id)
    const meta: Meta = { key, partBytes }
    await mkdir(folder, 0o750)
    await mkdir(join(folder, 'claims'), 0o750)
    await writeNew(join(folder, 'data'), [])
    await writeNew(join(folder, 'journal'), [])
    await writeNew(join(folder, 'meta'), [Buffer.from(JSON.stringify(meta))])
    await syncFolder(folder)
    await syncFolder(this.#at.multipart)
    return id
  }

  async uploadPart(key: string, id: string, number: number, piece: Piece): Promise<Part | null> {
    return this.#ifOpen(key, id, null, async (folder, { partBytes }) => {
      const bytes = piece.body.length
      if (bytes > partBytes) {
        throw new UploadError(
          'internal',
          `Part ${number} of ${key} has ${bytes} bytes, more than the ${partBytes} agreed`,
        )
      }
      const aside = (await claim(folder, number)) ? null : `part-${number}-${randomBytes(8).toString('hex')}`
      if (aside === null) {
        await withFile(join(folder, 'data'), 'r+', async (data) => {
          await writeAll(data, piece.body.chunks, (number - 1) * partBytes)
          await data.datasync()
        })
      } else {
        await writeNew(join(folder, aside), piece.body.chunks)
        await syncFolder(folder)
      }
      const etag = `"${piece.crc32.toString(16).padStart(8, '0')}-${bytes.toString(16)}"`
      await appendJournal(join(folder, 'journal'), { number, bytes, etag, crc32: piece.crc32, aside })
      return { number, bytes, etag, crc32: piece.crc32 }
    })
  }

  async listParts(key: string, id: string): Promise<Part[] | null> {
    return this.#ifOpen(key, id, null, async (folder) => {
      const { parts } = await readJournal(join(folder, 'journal'))
      return parts.map(({ number, bytes, etag, crc32 }) => ({ number, bytes, etag, crc32 }))
    })
  }

  async complete(
    key: string,
    id: string,
    parts: readonly Part[],
    whole: { readonly bytes: number; readonly crc32: number | null },
  ): Promise<Completed> {
    return this.#ifOpen<Completed>(key, id, 'no-such-upload', async (folder, { partBytes }) => {
      const journal = await readJournal(join(folder, 'journal'))
      const chosen = recorded(journal, parts, partBytes, whole)
      if (!chosen) return 'invalid-part'
      const claimed = await seal(folder)
      const target = objectFile(this.#at, key)
      await refuseLinks(this.#at.objects, target)
      const data = join(folder, 'data')
      // A claim whose part was never journalled may belong to a writer that is only slow: the file it has open must
      // not become the object.
      if (chosen.every((part) => part.aside === null) && claimed.every((number) => journal.inPlace.has(number))) {
        await withFile(data, 'r+', (file) => cutAndSync(file, whole.bytes))
        await moveIntoPlace(this.#folders, data, target)
      } else {
        await this.#gather(folder, chosen, partBytes, whole.bytes, target)
        await unlink(data)
      }
      await syncFolder(folder).catch(() => undefined)
      // The object is there; a folder that cannot be cleared now is cleared by `endHalves`.
      await this.#discard(id).catch(() => undefined)
      return 'done'
    })
  }

  /** An unknown one is no failure. */
  async abort(key: string, id: string): Promise<void> {
    await this.#ifOpen(key, id, undefined, async () => {
      await this.#discard(id)
    })
  }

  /** The open ones whose key begins with `prefix`. */
  async *list(prefix: string): AsyncGenerator<ListedMultipart> {
    for (const id of await readdir(this.#at.multipart)) {
      const folder = multipartFolder(this.#at, id)
      if (folder === null) continue
      try {
        const meta = parseMeta(await readFile(join(folder, 'meta'), 'utf8'))
        const { mtimeMs } = await stat(join(folder, 'meta'))
        if (meta?.key.startsWith(prefix)) yield { key: meta.key, multipartId: id, startedAt: mtimeMs }
      } catch (error) {
        // It ended meanwhile, or a crash came before its record was written.
        if (!isMissing(error)) throw error
      }
    }
  }

  /** Empties what ended before, also before a crash. At a start only: who ends an upload empties its folder too. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.#at.trash))
      await rm(join(this.#at.trash, name), { recursive: true, force: true })
  }

  /** Ends what a crash left between its object and its end, and, when it is that old, what was never made whole. */
  async endHalves(staleMs: number): Promise<void> {
    for (const id of await readdir(this.#at.multipart)) {
      const folder = multipartFolder(this.#at, id)
      if (folder === null) continue
      const [whole, meta, data] = await Promise.all([folder, join(folder, 'meta'), join(folder, 'data')].map(lookAt))
      // `meta` comes last and `data` goes first: with the one alone the object is there.
      const ended = meta && !data
      const abandoned = !meta && whole && whole.mtimeMs < Date.now() - staleMs
      if (ended || abandoned) await this.#discard(id).catch(ifMissing)
    }
  }

  /** The parts from wherever they are, in a new file. Repeating it after a crash gives the same. */
  async #gather(
    folder: string,
    parts: readonly JournalPart[],
    partBytes: number,
    bytes: number,
    to: string,
  ): Promise<void> {
    const fresh = join(this.#at.incoming, randomBytes(16).toString('hex'))
    try {
      await copyFile(join(folder, 'data'), fresh, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
      await withFile(fresh, 'r+', async (file) => {
        for (const part of parts) {
          if (part.aside !== null) await copyInto(file, join(folder, part.aside), (part.number - 1) * partBytes)
        }
        await cutAndSync(file, bytes)
      })
      await moveIntoPlace(this.#folders, fresh, to)
    } catch (error) {
      await rm(fresh, { force: true })
      throw error
    }
  }

  /** Runs `act` on the folder of an open upload of this key; `otherwise` when there is none, or it ends meanwhile. */
  async #ifOpen<T>(key: string, id: string, otherwise: T, act: (folder: string, meta: Meta) => Promise<T>): Promise<T> {
    const folder = multipartFolder(this.#at, id)
    if (folder === null) return otherwise
    try {
      const meta = parseMeta(await readFile(join(folder, 'meta'), 'utf8'))
      await stat(join(folder, 'data'))
      return meta?.key === key ? await act(folder, meta) : otherwise
    } catch (error) {
      if (isMissing(error)) return otherwise
      throw error
    }
  }

  /** One rename ends the upload for everybody, however long emptying its folder takes. */
  async #discard(id: string): Promise<void> {
    const gone = join(this.#at.trash, `${id}-${randomBytes(4).toString('hex')}`)
    await rename(join(this.#at.multipart, id), gone)
    await syncFolder(this.#at.multipart)
    await rm(gone, { recursive: true, force: true })
  }
}

/** null: it is not there. */
async function lookAt(path: string): Promise<Stats | null> {
  return stat(path).catch(ifMissing)
}

function ifMissing(error: unknown): null {
  if (isMissing(error)) return null
  throw error
}

function parseMeta(text: string): Meta | null {
  const { key, partBytes }: Record<string, unknown> = JSON.parse(text)
  return typeof key === 'string' && typeof partBytes === 'number' ? { key, partBytes } : null
}

/** Takes the place of a number in `data`; false: somebody has or had it, or the upload is being completed. */
async function claim(folder: string, number: number): Promise<boolean> {
  try {
    await (await open(join(folder, 'claims', String(number)), 'wx')).close()
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST' || isMissing(error)) return false
    throw error
  }
}

/** Ends the claiming of places in `data` and says which numbers were claimed. */
async function seal(folder: string): Promise<number[]> {
  const sealed = join(folder, 'claimed')
  try {
    await rename(join(folder, 'claims'), sealed)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  return (await readdir(sealed)).map(Number)
}

/** The journal's entries for exactly these parts, or null when they are not what makes that whole. */
function recorded(
  journal: Journal,
  parts: readonly Part[],
  partBytes: number,
  whole: { readonly bytes: number; readonly crc32: number | null },
): JournalPart[] | null {
  const known = new Map(journal.parts.map((part) => [part.number, part]))
  const chosen: JournalPart[] = []
  let bytes = 0
  for (const [index, part] of parts.entries()) {
    const entry = known.get(part.number)
    if (part.number !== index + 1 || !entry || entry.etag !== part.etag || entry.bytes !== part.bytes) return null
    if (entry.bytes !== partBytes && index !== parts.length - 1) return null
    bytes += entry.bytes
    chosen.push(entry)
  }
  if (chosen.length === 0 || bytes !== whole.bytes) return null
  return whole.crc32 !== null && combineCrc32s(chosen) !== whole.crc32 ? null : chosen
}

async function withFile<T>(path: string, flags: string, act: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags)
  try {
    return await act(file)
  } finally {
    await file.close()
  }
}

async function cutAndSync(file: FileHandle, bytes: number): Promise<void> {
  await file.truncate(bytes)
  await file.sync()
}

async function copyInto(to: FileHandle, path: string, position: number): Promise<void> {
  await withFile(path, 'r', async (from) => {
    const buffer = Buffer.allocUnsafe(COPY_BYTES)
    for (let at = position; ; ) {
      const { bytesRead } = await from.read(buffer)
      if (bytesRead === 0) return
      await writeAll(to, [buffer.subarray(0, bytesRead)], at)
      at += bytesRead
    }
  })
}
