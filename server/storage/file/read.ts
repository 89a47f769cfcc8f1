import { type BigIntStats, constants } from 'node:fs'
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { addAbortSignal, Readable } from 'node:stream'
import type { ByteRange, StoredObject } from '../../uploads/ports/byte-store.ts'
import { asUploadError, isMissing } from './failure.ts'
import { keySegments } from './paths.ts'

/** An object as the port shows it. Its ETag changes whenever the file is replaced. */
export function describe(key: string, stats: BigIntStats): StoredObject {
  return { key, bytes: Number(stats.size), etag: `"${stats.size.toString(16)}-${stats.mtimeNs.toString(16)}"` }
}

/** A stream of the file or a range of it; null: no such file. Errors come as `store_unavailable` or `internal`. */
export async function openRead(
  path: string,
  key: string,
  range: ByteRange | undefined,
  highWaterMark: number,
  signal: AbortSignal | undefined,
): Promise<Readable | null> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
  if (!(await file.stat()).isFile()) {
    await file.close()
    return null
  }
  const stream = fileStream(file, key, range, highWaterMark)
  return signal ? addAbortSignal(signal, stream) : stream
}

function fileStream(file: FileHandle, key: string, range: ByteRange | undefined, highWaterMark: number): Readable {
  let at = range?.first ?? 0
  const end = range === undefined ? Number.POSITIVE_INFINITY : range.last + 1
  let reading: Promise<unknown> = Promise.resolve()
  return new Readable({
    highWaterMark,
    read() {
      const room = Math.min(highWaterMark, end - at)
      reading = file.read(Buffer.allocUnsafe(room), 0, room, at).then(
        ({ bytesRead, buffer }) => {
          at += bytesRead
          this.push(bytesRead === 0 ? null : buffer.subarray(0, bytesRead))
        },
        (error: unknown) => this.destroy(asUploadError(`Reading ${key}`, error)),
      )
    },
    destroy(error, done) {
      reading
        .then(() => file.close())
        .then(
          () => done(error),
          () => done(error),
        )
    },
  })
}

/** An object on the way through the folders. */
export interface Walked {
  readonly stored: StoredObject
  readonly modifiedAt: number
}

/** All objects whose key begins with `prefix`, folder by folder. */
export async function* walk(objects: string, prefix: string): AsyncGenerator<Walked> {
  const cut = prefix.lastIndexOf('/')
  const folder = cut < 0 ? [] : keySegments(prefix.slice(0, cut))
  yield* below(join(objects, ...folder), cut < 0 ? '' : prefix.slice(0, cut + 1), prefix.slice(cut + 1))
}

async function* below(folder: string, base: string, begins: string): AsyncGenerator<Walked> {
  const entries = await unlessMissing(readdir(folder, { withFileTypes: true }))
  for (const entry of entries ?? []) {
    if (!entry.name.startsWith(begins)) continue
    const path = join(folder, entry.name)
    const key = `${base}${entry.name}`
    if (entry.isDirectory()) yield* below(path, `${key}/`, '')
    else if (entry.isFile()) {
      const stats = await unlessMissing(lstat(path, { bigint: true }))
      if (stats) yield { stored: describe(key, stats), modifiedAt: Number(stats.mtimeMs) }
    }
  }
}

async function unlessMissing<T>(attempt: Promise<T>): Promise<T | null> {
  try {
    return await attempt
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
