import type { KeyObject } from 'node:crypto'
import { UploadError } from '../../uploads/errors.ts'
import { FRAME_BYTES, framesOf, HEADER_BYTES, TAG_BYTES } from './lengths.ts'
import { openFrame, type Place, pieceKey, saltOf } from './piece.ts'

/** Some bytes of one piece, or some that are not encrypted, in the order in which they are stored. */
export type Span = PieceSpan | PlainSpan

export interface PlainSpan {
  readonly kind: 'plain'
  readonly bytes: number
}

export interface PieceSpan {
  readonly kind: 'piece'
  readonly place: Place
  readonly dataKey: KeyObject
  /** Bytes of the file in the whole piece; null: it is the last one and ends where the object ends, or is full. */
  readonly bytes: number | null
  /** Bytes of a full piece. */
  readonly full: number
  /** The wanted bytes [first, end) of the piece. */
  readonly first: number
  readonly end: number
  /** The header's salt where reading begins behind the header; null: the header is read first. */
  readonly salt: Buffer | null
}

/**
 * Opens stored bytes as they come. Gives out bytes of a frame only after the whole frame was authenticated; throws
 * `content_damaged` at the first thing that is not what was written.
 */
export class Unsealer {
  readonly #spans: Iterator<Span>
  readonly #what: string
  #span: Span | null
  /** What is left of a plain span. */
  #plainLeft = 0
  /** Of the piece that is being read; null: its header comes next. */
  #key: KeyObject | null = null
  #frame = 0
  #pieces = 0
  #pending: Buffer[] = []
  #have = 0

  /** `what` names the object in messages. */
  constructor(what: string, spans: Iterable<Span>) {
    this.#what = what
    this.#spans = spans[Symbol.iterator]()
    this.#span = this.#next()
  }

  /** The bytes of the file that `chunk` completes, in order. */
  push(chunk: Buffer): Buffer[] {
    this.#pending.push(chunk)
    this.#have += chunk.length
    const opened: Buffer[] = []
    while (this.#have > 0 && this.#step(opened, false)) {}
    return opened
  }

  /** The stored bytes are over: what was still waiting for it. Throws when something is missing. */
  end(): Buffer[] {
    const opened: Buffer[] = []
    while (this.#step(opened, true)) {}
    const span = this.#span
    const over = span === null || (span.kind === 'piece' && span.bytes === null && !this.#key && this.#pieces > 0)
    if (!over || this.#have > 0) throw this.#damaged('ends too early')
    return opened
  }

  /** One thing forward; false: more bytes are needed. */
  #step(opened: Buffer[], ended: boolean): boolean {
    const span = this.#span
    if (span === null) {
      if (this.#have > 0) throw this.#damaged('is longer than what was written')
      return false
    }
    if (span.kind === 'plain') return this.#plain(opened)
    return this.#key === null ? this.#header(span) : this.#piece(span, this.#key, opened, ended)
  }

  #plain(opened: Buffer[]): boolean {
    const chunk = this.#pending.shift()
    if (!chunk) return false
    const some = chunk.subarray(0, this.#plainLeft)
    if (some.length < chunk.length) this.#pending.unshift(chunk.subarray(some.length))
    this.#have -= some.length
    this.#plainLeft -= some.length
    if (some.length > 0) opened.push(some)
    if (this.#plainLeft === 0) this.#span = this.#next()
    return true
  }

  #header(span: PieceSpan): boolean {
    if (span.salt === null && this.#have < HEADER_BYTES) return false
    const salt = span.salt ?? saltOf(Buffer.concat(this.#take(HEADER_BYTES)))
    if (!salt) throw this.#damaged('has no header where a piece begins')
    this.#key = pieceKey(span.dataKey, salt, span.place)
    this.#frame = span.salt === null ? 0 : Math.floor(span.first / FRAME_BYTES)
    return true
  }

  #piece(span: PieceSpan, key: KeyObject, opened: Buffer[], ended: boolean): boolean {
    const size = this.#frameSize(span, ended)
    if (size === null) return false
    const start = this.#frame * FRAME_BYTES
    const last = this.#frame === framesOf(span.bytes ?? span.full) - 1 || (span.bytes === null && ended)
    const frame = openFrame(key, this.#frame, last, this.#take(size))
    if (!frame) throw this.#damaged(`is not what was written, in frame ${this.#frame} of the piece`)
    let at = start
    for (const bytes of frame) {
      const wanted = bytes.subarray(Math.max(0, span.first - at), Math.max(0, span.end - at))
      if (wanted.length > 0) opened.push(wanted)
      at += bytes.length
    }
    this.#frame++
    if (last || start + FRAME_BYTES >= span.end) this.#leavePiece()
    return true
  }

  /** Stored bytes of the next frame; null: it is not known yet, or not all there. */
  #frameSize({ bytes, full }: PieceSpan, ended: boolean): number | null {
    const start = this.#frame * FRAME_BYTES
    if (bytes !== null) {
      const size = Math.min(FRAME_BYTES, bytes - start) + TAG_BYTES
      return this.#have >= size ? size : null
    }
    const most = Math.min(FRAME_BYTES, full - start) + TAG_BYTES
    const fills = start + FRAME_BYTES >= full
    // Whether a full frame is the last one shows only when something follows, or nothing does.
    if (this.#have > most || (this.#have === most && fills)) return most
    return ended && this.#have > 0 ? this.#have : null
  }

  #leavePiece(): void {
    this.#key = null
    this.#frame = 0
    this.#pieces++
    this.#span = this.#next()
  }

  #next(): Span | null {
    const { value, done } = this.#spans.next()
    if (done) return null
    const span: Span = value
    if (span.kind === 'plain') this.#plainLeft = span.bytes
    return span
  }

  /** The next `count` bytes; they are there. */
  #take(count: number): Buffer[] {
    this.#have -= count
    const taken: Buffer[] = []
    for (let left = count; left > 0; ) {
      const chunk = this.#pending[0]
      if (!chunk) throw new Error('more was taken than is there')
      taken.push(chunk.subarray(0, left))
      if (chunk.length > left) this.#pending[0] = chunk.subarray(left)
      else this.#pending.shift()
      left -= Math.min(left, chunk.length)
    }
    return taken
  }

  #damaged(how: string): UploadError {
    return new UploadError('content_damaged', `The stored object ${this.#what} ${how}.`)
  }
}
