import assert from 'node:assert/strict'
import type { UploadId } from '../../../../server/uploads/words.ts'

interface Account {
  /** The largest offset that anybody was told. */
  offset: number
  /** Acknowledged bytes as far as the test knows them. */
  bytes: Buffer
}

/**
 * What clients were told about each upload. An offset that goes back, or a byte that was acknowledged twice with two
 * values, is a promise broken: noted when it happens, raised by `settle`.
 */
export class Ledger {
  readonly #accounts = new Map<UploadId, Account>()
  readonly #refusals: string[] = []
  #broken: string | null = null

  /** No promise, but what one wants to know when a trace goes astray. */
  get refusals(): readonly string[] {
    return this.#refusals
  }

  refused(why: string): void {
    this.#refusals.push(why)
  }

  told(id: UploadId, offset: number): void {
    const account = this.#of(id)
    if (offset < account.offset) this.#breach(`offset ${offset} was told after ${account.offset}`)
    account.offset = Math.max(account.offset, offset)
  }

  /** A PATCH of `sent` at `start` was answered with `offset`. */
  acknowledged(id: UploadId, start: number, sent: Buffer, offset: number): void {
    const account = this.#of(id)
    const bytes = sent.subarray(0, offset - start)
    const at = firstDifference(account.bytes.subarray(start), bytes)
    if (at !== null) {
      this.#breach(
        `byte ${start + at} was acknowledged as ${letter(account.bytes, start + at)}, then as ${letter(bytes, at)}`,
      )
    }
    if (start + bytes.length > account.bytes.length) {
      const before = Buffer.concat([
        account.bytes.subarray(0, start),
        Buffer.alloc(Math.max(0, start - account.bytes.length)),
      ])
      account.bytes = Buffer.concat([before, bytes])
    }
    this.told(id, offset)
  }

  /** Compares the finished object with what was acknowledged. A zero is a byte of which the test knows nothing. */
  compare(id: UploadId, content: Buffer): void {
    const { bytes, offset } = this.#of(id)
    assert.ok(content.length >= offset, `the object has ${content.length} bytes, but ${offset} were told`)
    for (const [at, byte] of bytes.entries()) {
      if (byte === 0 || content[at] === byte) continue
      assert.fail(`byte ${at} was acknowledged as ${letter(bytes, at)} and is ${letter(content, at)}`)
    }
  }

  /** Throws the first promise that was broken. */
  settle(): void {
    if (this.#broken !== null) assert.fail(this.#broken)
  }

  #of(id: UploadId): Account {
    const account = this.#accounts.get(id) ?? { offset: 0, bytes: Buffer.alloc(0) }
    this.#accounts.set(id, account)
    return account
  }

  #breach(what: string): void {
    this.#broken ??= what
  }
}

function firstDifference(one: Buffer, other: Buffer): number | null {
  const common = Math.min(one.length, other.length)
  if (one.subarray(0, common).equals(other.subarray(0, common))) return null
  for (let at = 0; at < common; at++) if (one[at] !== 0 && one[at] !== other[at]) return at
  return null
}

function letter(bytes: Buffer, at: number): string {
  return String.fromCharCode(bytes[at] ?? 0)
}
