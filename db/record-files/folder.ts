/**
 * The folder of the records: `c3/0193...c3.record`, a file an upload, spread by the last two digits of the id. A file is
 * replaced by a rename and never written in place, and both its bytes and its name are on the disk when a write returns.
 */
import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseUploadId } from '../../server/uploads/id.ts'
import type { UploadId } from '../../server/uploads/words.ts'

const SUFFIX = '.record'
/** A write that a crash cut off: nobody was told of it. */
const CUT_OFF = /^[0-9a-f-]{36}\.new$/
const SHARD = /^[0-9a-f]{2}$/
const READS_AT_ONCE = 16

/** One file that bears the name of a record. */
export interface RecordFile {
  readonly path: string
  readonly id: UploadId
  readonly text: string
}

/** What lies in the folder. */
export interface Shard {
  readonly files: readonly RecordFile[]
  /** Paths of what no record of ours is called. */
  readonly foreign: readonly string[]
}

export class RecordFolder {
  readonly path: string
  /** Shards that are there for good. */
  readonly #shards = new Map<string, Promise<void>>()

  private constructor(path: string) {
    this.path = path
  }

  /** Makes the folder where it is missing. Throws file system errors. */
  static async open(path: string): Promise<RecordFolder> {
    await mkdir(path, { recursive: true, mode: 0o750 })
    await syncFolder(dirname(path))
    return new RecordFolder(path)
  }

  /** The caller writes one upload's record at a time. Throws file system errors. */
  async write(id: UploadId, text: string): Promise<void> {
    const shard = id.slice(-2)
    const folder = join(this.path, shard)
    await this.#make(shard, folder)
    const fresh = join(folder, `${id}.new`)
    const file = await open(fresh, 'w', 0o640)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(fresh, join(folder, `${id}${SUFFIX}`))
    await syncFolder(folder)
  }

  /** All that is there, a shard at a time; what a crash cut off is removed on the way. Throws file system errors. */
  async *read(): AsyncGenerator<Shard> {
    const foreign: string[] = []
    for (const shard of (await readdir(this.path)).sort()) {
      if (SHARD.test(shard)) yield await this.#readShard(join(this.path, shard))
      else foreign.push(join(this.path, shard))
    }
    yield { files: [], foreign }
  }

  async #readShard(folder: string): Promise<Shard> {
    const files: RecordFile[] = []
    const foreign: string[] = []
    const names = (await readdir(folder, { withFileTypes: true })).values()
    const worker = async (): Promise<void> => {
      for (const entry of names) {
        const path = join(folder, entry.name)
        const id = entry.isFile() && entry.name.endsWith(SUFFIX) ? idIn(entry.name, folder) : null
        if (id !== null) files.push({ path, id, text: await readFile(path, 'utf8') })
        else if (entry.isFile() && CUT_OFF.test(entry.name)) await unlink(path)
        else foreign.push(path)
      }
    }
    await Promise.all(Array.from({ length: READS_AT_ONCE }, worker))
    return { files, foreign }
  }

  #make(shard: string, folder: string): Promise<void> {
    const known = this.#shards.get(shard)
    if (known) return known
    const making = (async () => {
      await mkdir(folder, { recursive: true, mode: 0o750 })
      // Also when it was there already: whoever made it may not have come to this line.
      await syncFolder(this.path)
    })()
    this.#shards.set(shard, making)
    making.catch(() => this.#shards.delete(shard))
    return making
  }
}

/** null where another file lies under the name of a record, or a record in a folder that is not its own. */
function idIn(name: string, folder: string): UploadId | null {
  const id = parseUploadId(name.slice(0, -SUFFIX.length))
  return id !== null && folder.endsWith(id.slice(-2)) ? id : null
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
