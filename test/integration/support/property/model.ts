import { crc32 } from 'node:zlib'
import type { Upload, UploadId } from '../../../../server/uploads/words.ts'

/** What one request sent: bytes of its own, so that whoever reads them later knows whose they are. */
export interface Sending {
  /** Where the client believed the upload to end. */
  readonly offset: number
  readonly bytes: Buffer
  /** The largest offset that anybody had been told when it began. */
  readonly floor: number
  /** How many of its bytes left the client so far. */
  sent: number
  /** The offset with which it was answered as done; null: never. */
  acknowledged: number | null
}

/** An upload as its clients may know it: a small model of the protocol. Throws {@link Violation}. */
export class UploadModel {
  readonly number: number
  id: UploadId | null = null
  /** As created or answered; null: not known yet. */
  length: number | null
  /** Lengths that some request declared: any of them may count. */
  readonly declared = new Set<number>()
  /** The largest offset that anybody was told. */
  told = 0
  readonly sendings: Sending[] = []
  terminationBegun = false
  terminated = false
  /** Requests that run, and how many ever began. */
  running = 0
  begun = 0

  constructor(number: number, length: number | null) {
    this.number = number
    this.length = length
  }

  /** Counts a request while it runs. */
  async busy<T>(work: () => Promise<T>): Promise<T> {
    this.begun++
    this.running++
    try {
      return await work()
    } finally {
      this.running--
    }
  }

  begin(offset: number, bytes: Buffer): Sending {
    const sending = { offset, bytes, floor: this.told, sent: 0, acknowledged: null }
    this.sendings.push(sending)
    return sending
  }

  /** No offset beyond this can be right. */
  get most(): number {
    return this.sendings.reduce((most, { offset, sent }) => Math.max(most, offset + sent), 0)
  }

  /** Somebody who began to ask when `floor` was told is told `offset`. */
  tell(offset: number, floor: number, what: string): void {
    if (offset < floor)
      violated(`${what} of upload ${this.number} says ${offset}, but ${floor} was acknowledged before`)
    if (offset > this.most)
      violated(`${what} of upload ${this.number} says ${offset}; only ${this.most} were ever sent`)
    this.told = Math.max(this.told, offset)
  }

  /** A request was answered as done. */
  acknowledge(sending: Sending, offset: number): void {
    const { bytes, sent, floor } = sending
    const what = `the append of ${bytes.length} bytes at ${sending.offset}`
    // A file that is whole may be answered before its client has sent what is too much.
    const complete = offset === this.length && offset - sending.offset <= sent
    if (sent !== bytes.length && !complete) {
      violated(`${what} to upload ${this.number} is done with ${sent} of them sent`)
    }
    if (offset !== sending.offset + sent && !complete) violated(`${what} to upload ${this.number} is done at ${offset}`)
    if (sending.offset < floor) violated(`${what} to upload ${this.number} is done behind ${floor}`)
    sending.acknowledged = offset
    this.tell(offset, floor, what)
  }

  /** The length that an answer shows: once it was `known` before the request began, it stays. */
  see({ length }: Upload, known: number | null): void {
    if (length === null) {
      if (known !== null) violated(`the length ${known} of upload ${this.number} is no longer known`)
      return
    }
    if (this.length === null && !this.declared.has(length)) {
      violated(`nobody declared the length ${length} of upload ${this.number}`)
    }
    if (this.length !== null && this.length !== length) {
      violated(`the length of upload ${this.number} went from ${this.length} to ${length}`)
    }
    this.length = length
  }

  /**
   * Is this what the file may hold? Each request's bytes are a beginning of what it sent, at the offset it named, one
   * request after the other; one that was acknowledged is there whole; one that began behind an acknowledged offset is not.
   */
  verify(content: Buffer, row: Upload): void {
    const name = `upload ${this.number}`
    if (content.length !== this.length) violated(`${name} has ${content.length} bytes instead of ${this.length}`)
    if (row.crc32 !== null && row.crc32 !== crc32(content) >>> 0) violated(`${name} has another CRC than its row says`)
    for (const { acknowledged, offset, bytes } of this.sendings) {
      if (acknowledged === null) continue
      if (content.subarray(offset, acknowledged).equals(bytes.subarray(0, acknowledged - offset))) continue
      violated(
        `${name} does not hold what was acknowledged: bytes ${offset} to ${acknowledged}\n${this.#compare(content)}`,
      )
    }
    const reached = this.#reachable(content)
    if (!reached.has(content.length)) {
      violated(
        `no order of requests gives what ${name} holds beyond ${Math.max(...reached)}\n${this.#compare(content)}`,
      )
    }
  }

  /** The offsets to which the content can be told apart into requests. */
  #reachable(content: Buffer): Set<number> {
    const reached = new Set([0])
    for (let at = 0; at <= content.length; at++) {
      if (!reached.has(at)) continue
      for (const { offset, bytes, floor, sent } of this.sendings) {
        if (offset !== at || floor > at) continue
        for (let n = 0; n < sent && content[at + n] === bytes[n]; n++) reached.add(at + n + 1)
      }
    }
    return reached
  }

  #compare(content: Buffer): string {
    const requests = this.sendings.map(
      ({ offset, bytes, sent, floor, acknowledged }) =>
        `  at ${offset}: ${sent}/${bytes.length} sent, floor ${floor}, acknowledged ${acknowledged}: ${bytes.toString('hex')}`,
    )
    return `  holds ${content.toString('hex')}\n${requests.join('\n')}`
  }
}

/** The engine broke the protocol. */
export class Violation extends Error {}

export function violated(message: string): never {
  throw new Violation(message)
}
