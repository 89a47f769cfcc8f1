/**
 * The acknowledged parts of one multipart upload, a line each, appended and synced before the acknowledgement.
 * A line is the JSON of a part, a space and the CRC-32 of that JSON; the last line of a number counts. Each append
 * begins with a line break of its own, so that a line torn by a crash spoils nothing but itself.
 */
import { constants } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Part } from '../../uploads/words.ts'

export interface JournalPart extends Part {
  readonly crc32: number
  /** Name of the file beside `data` that holds it; null: it is in `data`, at its own place. */
  readonly aside: string | null
}

const WRITE_APPEND = constants.O_WRONLY | constants.O_APPEND

function spell(part: JournalPart): string {
  const json = JSON.stringify([part.number, part.bytes, part.crc32, part.etag, part.aside])
  return `\n${json} ${crc32(json).toString(16)}\n`
}

function parseLine(line: string): JournalPart | null {
  const end = line.lastIndexOf(' ')
  const json = line.slice(0, end)
  if (end < 0 || crc32(json).toString(16) !== line.slice(end + 1)) return null
  const [number, bytes, crc, etag, aside]: unknown[] = JSON.parse(json)
  if (typeof number !== 'number' || typeof bytes !== 'number' || typeof crc !== 'number') return null
  if (typeof etag !== 'string' || !(aside === null || typeof aside === 'string')) return null
  return { number, bytes, crc32: crc, etag, aside }
}

/** Appends one part and makes it durable. Throws ENOENT when the journal is gone. */
export async function appendJournal(path: string, part: JournalPart): Promise<void> {
  // Without O_CREAT: a journal that was moved away with its upload must not come back.
  const file = await open(path, WRITE_APPEND)
  try {
    await file.appendFile(spell(part))
    await file.datasync()
  } finally {
    await file.close()
  }
}

export interface Journal {
  /** Each number once, its last line, in order of numbers. */
  readonly parts: readonly JournalPart[]
  /** Numbers of parts that were ever finished in `data`. */
  readonly inPlace: ReadonlySet<number>
}

/** All whole lines. Throws ENOENT when the journal is gone. */
export async function readJournal(path: string): Promise<Journal> {
  const latest = new Map<number, JournalPart>()
  const inPlace = new Set<number>()
  for (const line of (await readFile(path, 'latin1')).split('\n')) {
    const part = line === '' ? null : parseLine(line)
    if (!part) continue
    latest.set(part.number, part)
    if (part.aside === null) inPlace.add(part.number)
  }
  return { parts: [...latest.values()].sort((a, b) => a.number - b.number), inPlace }
}
