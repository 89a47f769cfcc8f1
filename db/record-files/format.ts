/**
 * The text of one upload's record file:
 *
 *     upload-service record 1 crc32 1b2c3d4e
 *     {"row":{"id":"...", ...},"events":[{"event_id":"...", ...}]}
 *
 * `row` is the upload's row and `events` are its events that are not done, both as the database spells them as JSON,
 * column by column. The checksum is of the second line. A record is written whole or not at all; one that was torn all
 * the same (or edited, or written by a newer version) is told apart from a whole one by its first line.
 */
import { crc32 } from 'node:zlib'
import { parseUploadId } from '../../server/uploads/id.ts'
import type { UploadId } from '../../server/uploads/words.ts'

const VERSION = 1
const FIRST_LINE = /^upload-service record ([0-9]{1,9}) crc32 ([0-9a-f]{8})$/

/** Columns by name. */
export type Columns = Readonly<Record<string, unknown>>

/** What is known of an upload without its database. */
export interface UploadRecord {
  readonly id: UploadId
  /** How often a holder changed hands, and how many events there are: both only ever grow. */
  readonly generation: number
  readonly nextSeq: number
  readonly row: Columns
  /** Those that nobody has seen the effect of, in order. */
  readonly events: readonly Columns[]
}

/** The file's text. Throws Error for a row that is none. */
export function spellRecord(row: Columns, events: readonly Columns[]): string {
  const body = JSON.stringify({ row, events })
  recordOf(JSON.parse(body))
  return `upload-service record ${VERSION} crc32 ${checksum(body)}\n${body}\n`
}

/** The record in a text. Throws Error with a sentence that says why it is none. */
export function parseRecord(text: string): UploadRecord {
  const [first = '', body = '', ...rest] = text.split('\n')
  const [, version, sum] = FIRST_LINE.exec(first) ?? []
  if (version === undefined) throw new Error('it does not begin as a record does')
  if (Number(version) !== VERSION) throw new Error(`it is of version ${version}, and this is a service of ${VERSION}`)
  if (rest.length !== 1 || rest[0] !== '' || checksum(body) !== sum)
    throw new Error('its checksum does not fit: it was torn or changed')
  return recordOf(JSON.parse(body))
}

function recordOf(value: unknown): UploadRecord {
  if (!isColumns(value) || !isColumns(value.row) || !Array.isArray(value.events)) throw new Error('it has no row')
  const { row } = value
  const id = typeof row.id === 'string' ? parseUploadId(row.id) : null
  if (!id) throw new Error('its row has no upload id')
  const { generation, next_seq: nextSeq } = row
  if (!isCount(generation) || !isCount(nextSeq)) throw new Error('its row has no generation or no next_seq')
  const events: unknown[] = value.events
  if (!events.every(isColumns)) throw new Error('its events are none')
  return { id, generation, nextSeq, row, events }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

function isColumns(value: unknown): value is Columns {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
