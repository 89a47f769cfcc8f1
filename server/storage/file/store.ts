import { randomBytes } from 'node:crypto'
import { access, constants, mkdir, readdir, realpath, rm, rmdir, stat, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { crc32OfChunks } from '../../uploads/crc32.ts'
import { UploadError } from '../../uploads/errors.ts'
import type {
  ByteRange,
  ByteStore,
  ObjectOptions,
  Piece,
  StoredObject,
  WriteOptions,
} from '../../uploads/ports/byte-store.ts'
import type { Inventory, ListedMultipart, ListedObject } from '../../uploads/ports/housekeeping.ts'
import type { Part } from '../../uploads/words.ts'
import { Folders, makeFolders, moveIntoPlace, syncFolder, writeNew } from './durable.ts'
import { asUploadError, isMissing } from './failure.ts'
import { type Completed, Multiparts } from './multipart.ts'
import { keySegments, type Layout, layout, objectFile, refuseLinks } from './paths.ts'
import { describe, openRead, walk } from './read.ts'

export interface FileStoreOptions {
  /** Folder of everything stored here; made when it is not there. */
  readonly root: string
  /** Bytes that a read takes at a time. Default 65536. */
  readonly readHighWaterMark?: number
}

/** A put that was cut off by a crash is not coming back after this long. */
const STALE_MS = 3_600_000

/** Bytes as plain files. Several processes of one machine may share a root. */
export class FileByteStore implements ByteStore, Inventory {
  readonly minPartBytes = 1
  readonly maxParts = 1_000_000
  readonly maxObjectBytes = Number.MAX_SAFE_INTEGER
  readonly bucket = null
  /** A part's place in the file follows from its number. */
  readonly equalParts = true
  readonly #at: Layout
  readonly #readHighWaterMark: number
  readonly #folders: Folders
  readonly #multiparts: Multiparts

  private constructor(root: string, readHighWaterMark: number) {
    this.#at = layout(root)
    this.#readHighWaterMark = readHighWaterMark
    this.#folders = new Folders(this.#at.objects)
    this.#multiparts = new Multiparts(this.#at, this.#folders)
  }

  /** Makes the folders, and clears what a crash left behind. Throws `store_unavailable` when that cannot be. */
  static async open(options: FileStoreOptions): Promise<FileByteStore> {
    try {
      await makeFolders(options.root)
      const root = await realpath(resolve(options.root))
      const store = new FileByteStore(root, options.readHighWaterMark ?? 65_536)
      const { objects, multipart, incoming, trash } = store.#at
      for (const folder of [objects, multipart, incoming, trash]) await mkdir(folder, { recursive: true, mode: 0o750 })
      await syncFolder(root)
      await store.#multiparts.sweep()
      await store.#clearHalves()
      return store
    } catch (error) {
      throw asUploadError(`Opening the file store at ${options.root}`, error)
    }
  }

  putObject(key: string, piece: Piece, options: ObjectOptions = {}): Promise<StoredObject> {
    return attempt(`Writing ${key}`, options.signal, async () => {
      const target = objectFile(this.#at, key)
      await refuseLinks(this.#at.objects, target)
      checkCrc(key, piece)
      const fresh = join(this.#at.incoming, randomBytes(16).toString('hex'))
      try {
        await writeNew(fresh, piece.body.chunks)
        const stored = describe(key, await stat(fresh, { bigint: true }))
        await moveIntoPlace(this.#folders, fresh, target)
        return stored
      } catch (error) {
        await rm(fresh, { force: true })
        throw error
      }
    })
  }

  createMultipart(key: string, partBytes: number, options: ObjectOptions = {}): Promise<string> {
    return attempt(`Creating a multipart upload of ${key}`, options.signal, () => {
      keySegments(key)
      return this.#multiparts.create(key, partBytes)
    })
  }

  uploadPart(
    key: string,
    multipartId: string,
    number: number,
    piece: Piece,
    options: WriteOptions = {},
  ): Promise<Part | null> {
    return attempt(`Writing part ${number} of ${key}`, options.signal, () => {
      if (!Number.isInteger(number) || number < 1 || number > this.maxParts) {
        throw new UploadError('internal', `Not a part number: ${number} (1 to ${this.maxParts})`)
      }
      checkCrc(`part ${number} of ${key}`, piece)
      return this.#multiparts.uploadPart(key, multipartId, number, piece)
    })
  }

  async copyPart(
    key: string,
    multipartId: string,
    number: number,
    source: { readonly key: string; readonly range: ByteRange },
    options: WriteOptions = {},
  ): Promise<Part | null> {
    const stream = await this.read(source.key, source.range, options.signal)
    if (!stream) throw new UploadError('internal', `${source.key}, to be copied into ${key}, is not there`)
    const chunks: Buffer[] = []
    for await (const chunk of stream) chunks.push(chunk)
    const body = { chunks, length: chunks.reduce((sum, chunk) => sum + chunk.length, 0) }
    return this.uploadPart(key, multipartId, number, { body, crc32: crc32OfChunks(chunks) }, options)
  }

  listParts(key: string, multipartId: string): Promise<Part[] | null> {
    return attempt(`Listing the parts of ${key}`, undefined, () => this.#multiparts.listParts(key, multipartId))
  }

  completeMultipart(
    key: string,
    multipartId: string,
    parts: readonly Part[],
    whole: { readonly bytes: number; readonly crc32: number | null },
    options: WriteOptions = {},
  ): Promise<Completed> {
    const act = (): Promise<Completed> => this.#multiparts.complete(key, multipartId, parts, whole)
    return attempt(`Completing ${key}`, options.signal, act)
  }

  abortMultipart(key: string, multipartId: string): Promise<void> {
    return attempt(`Aborting ${key}`, undefined, () => this.#multiparts.abort(key, multipartId))
  }

  head(key: string): Promise<StoredObject | null> {
    return attempt(`Looking at ${key}`, undefined, async () => {
      const path = objectFile(this.#at, key)
      await refuseLinks(this.#at.objects, path)
      try {
        const found = await stat(path, { bigint: true })
        return found.isFile() ? describe(key, found) : null
      } catch (error) {
        if (isMissing(error)) return null
        throw error
      }
    })
  }

  async *objects(prefix: string, after: string): AsyncGenerator<ListedObject> {
    const found: ListedObject[] = []
    for await (const { stored, modifiedAt } of walk(this.#at.objects, prefix)) {
      if (stored.key > after) found.push({ key: stored.key, bytes: stored.bytes, modifiedAt })
    }
    yield* found.sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  /** The sweeper asks this once a round: what a crash cut off goes then too. */
  async *multiparts(prefix: string): AsyncGenerator<ListedMultipart> {
    await this.#clearHalves()
    yield* this.#multiparts.list(prefix)
  }

  read(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Readable | null> {
    return attempt(`Reading ${key}`, signal, async () => {
      const path = objectFile(this.#at, key)
      await refuseLinks(this.#at.objects, path)
      return openRead(path, key, range, this.#readHighWaterMark, signal)
    })
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    try {
      for await (const { stored } of walk(this.#at.objects, prefix)) yield stored
    } catch (error) {
      throw asUploadError(`Listing ${prefix}`, error)
    }
  }

  remove(keys: readonly string[]): Promise<void> {
    return attempt('Removing objects', undefined, async () => {
      const folders = new Set<string>()
      for (const key of keys) {
        const path = objectFile(this.#at, key)
        await refuseLinks(this.#at.objects, path)
        if (await gone(unlink(path))) folders.add(dirname(path))
      }
      for (const folder of folders) await this.#settle(folder)
    })
  }

  ping(signal?: AbortSignal): Promise<void> {
    return attempt('Looking at the file store', signal, async () => {
      try {
        await access(this.#at.objects, constants.W_OK)
      } catch (error) {
        throw new UploadError('store_unavailable', `The folder ${this.#at.objects} cannot be written`, { cause: error })
      }
    })
  }

  async close(): Promise<void> {}

  /** Makes removals durable, and takes the folder along when it is empty: uploads have one each. */
  async #settle(folder: string): Promise<void> {
    await syncFolder(folder).catch((error: unknown) => {
      if (!isMissing(error)) throw error
    })
    if (folder === this.#at.objects) return
    this.#folders.forget(folder)
    await rmdir(folder).catch(() => undefined)
  }

  async #clearHalves(): Promise<void> {
    await this.#multiparts.endHalves(STALE_MS)
    for (const name of await readdir(this.#at.incoming)) {
      const path = join(this.#at.incoming, name)
      const found = await stat(path).catch(() => null)
      if (found && found.mtimeMs < Date.now() - STALE_MS) await rm(path, { force: true })
    }
  }
}

/** File system errors as the port promises them. A signal is looked at before, not within: writes end by themselves. */
async function attempt<T>(operation: string, signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
  signal?.throwIfAborted()
  try {
    return await act()
  } catch (error) {
    throw asUploadError(operation, error)
  }
}

async function gone(removal: Promise<void>): Promise<boolean> {
  try {
    await removal
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** What an S3 store does with `x-amz-checksum-crc32`. */
function checkCrc(what: string, piece: Piece): void {
  const actual = crc32OfChunks(piece.body.chunks)
  if (actual === piece.crc32) return
  const hex = (crc: number): string => crc.toString(16).padStart(8, '0')
  throw new UploadError('internal', `BadDigest: ${what} has CRC-32 ${hex(actual)}, not ${hex(piece.crc32)}`)
}
