/** What the scripts take and answer, to and from the words of the port. Numbers travel as decimal strings, exact to 2^53. */
import { UploadError } from '../../uploads/errors.ts'
import { parseUploadId } from '../../uploads/id.ts'
import type { Kept, Message, Peek, Session, Taken } from '../../uploads/ports/coordination.ts'
import type { Part, Tail } from '../../uploads/words.ts'

/** g, m, s, o, l, d: the order in which the scripts know a session. */
export function encodeSession(session: Session): string[] {
  const tails = session.tails.map(({ generation, token, start, end }) => [generation, token, start, end])
  return [
    String(session.generation),
    session.multipartId ?? '',
    String(session.start),
    String(session.offset),
    JSON.stringify(tails),
    session.tailed ? '1' : '0',
  ]
}

/** Number and value of each part, in turn. Of encrypted ones, size and CRC-32 of what is stored stand behind slashes. */
export function encodeParts(parts: readonly Part[]): string[] {
  return parts.flatMap(({ number, bytes, etag, crc32, stored }) => {
    if (!stored) return [String(number), `${bytes}:${crc32 ?? ''}:${etag}`]
    return [String(number), `${bytes}/${stored.bytes}:${crc32 ?? ''}/${stored.crc32 ?? ''}:${etag}`]
  })
}

export function decodeTaken(reply: unknown): Taken {
  const [kind, ...rest] = strings(reply)
  if (kind === 'held') return { kind, holder: field(rest, 0), leaseLeftMs: integer(field(rest, 1)) }
  if (kind === 'rebuild') return { kind }
  if (kind === 'clean' || kind === 'unclean') return { kind, session: decodeSession(rest) }
  throw unreadable('answer', kind)
}

export function decodePeek(reply: unknown): Peek {
  const [kind, ...rest] = strings(reply)
  if (kind === 'missing' || kind === 'dead') return { kind }
  if (kind === 'free') return { kind, session: decodeSession(rest) }
  if (kind === 'held') {
    const [holder = '', ...saved] = rest
    return { kind, holder, session: saved.length === 0 ? null : decodeSession(saved) }
  }
  throw unreadable('answer', kind)
}

export function decodeKept(reply: unknown): Kept {
  if (reply === 'kept' || reply === 'gone' || reply === 'other') return reply
  throw unreadable('answer', reply)
}

export function decodeSaved(reply: unknown): Kept | 'released' {
  return reply === 'released' ? reply : decodeKept(reply)
}

export function decodeParts(reply: unknown): { kept: Kept; parts: Part[] } {
  if (!Array.isArray(reply)) return { kept: decodeKept(reply), parts: [] }
  const flat = strings(reply[1])
  const parts: Part[] = []
  for (let n = 0; n < flat.length; n += 2) parts.push(decodePart(field(flat, n), field(flat, n + 1)))
  return { kept: decodeKept(reply[0]), parts: parts.sort((a, b) => a.number - b.number) }
}

export function encodeMessage(message: Message): string {
  return JSON.stringify(message)
}

/** The message that `text` spells, or null: another version of the service may say what this one does not know. */
export function decodeMessage(text: string): Message | null {
  const value = parseJson(text)
  if (typeof value !== 'object' || value === null) return null
  const { type, upload: id, from, offset } = value as Record<string, unknown>
  const upload = typeof id === 'string' ? parseUploadId(id) : null
  if (upload === null) return null
  if ((type === 'release' || type === 'flush') && typeof from === 'string') return { type, upload, from }
  if (type === 'free') return { type, upload }
  if (type === 'offset' && Number.isSafeInteger(offset)) return { type, upload, offset: Number(offset) }
  return null
}

function decodeSession(fields: readonly string[]): Session {
  const multipartId = field(fields, 1)
  return {
    generation: integer(field(fields, 0)),
    multipartId: multipartId === '' ? null : multipartId,
    start: integer(field(fields, 2)),
    offset: integer(field(fields, 3)),
    tails: decodeTails(field(fields, 4)),
    tailed: field(fields, 5) === '1',
  }
}

function decodeTails(text: string): Tail[] {
  const list = parseJson(text)
  if (!Array.isArray(list)) throw unreadable('tails', text)
  return list.map((entry: unknown) => {
    const [generation, token, start, end] = Array.isArray(entry) ? entry : []
    if (typeof token !== 'string') throw unreadable('tails', text)
    return { generation: integer(String(generation)), token, start: integer(String(start)), end: integer(String(end)) }
  })
}

function decodePart(number: string, value: string): Part {
  const match = /^(\d+)(?:\/(\d+))?:(\d*)(?:\/(\d*))?:(.*)$/s.exec(value)
  if (!match) throw unreadable('part', value)
  const [, bytes = '', stored, crc32 = '', storedCrc32 = '', etag = ''] = match
  const part = { number: integer(number), bytes: integer(bytes), etag, crc32: crcOf(crc32) }
  return stored === undefined ? part : { ...part, stored: { bytes: integer(stored), crc32: crcOf(storedCrc32) } }
}

function crcOf(text: string): number | null {
  return text === '' ? null : integer(text)
}

function integer(text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw unreadable('number', text)
  return value
}

function field(list: readonly string[], index: number): string {
  const value = list[index]
  if (value === undefined) throw unreadable('answer', list)
  return value
}

function strings(reply: unknown): string[] {
  if (!Array.isArray(reply) || !reply.every((value) => typeof value === 'string')) throw unreadable('answer', reply)
  return reply
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function unreadable(what: string, value: unknown): UploadError {
  return new UploadError('internal', `Redis holds ${what} this version cannot read: ${JSON.stringify(value)}`)
}
