import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { hasCode } from '../../uploads/errors.ts'
import { newUploadId } from '../../uploads/id.ts'
import type { SealedRun } from '../../uploads/words.ts'
import { newDataKey } from './keyring.ts'
import { FRAME_BYTES, HEADER_BYTES, SEALED_FRAME_BYTES, sealedBytes } from './lengths.ts'
import { cutBytes, pieceKey, saltOf, sealPiece } from './piece.ts'
import { openEndedSpans, readingOf } from './spans.ts'
import { Unsealer } from './unsealer.ts'

const UPLOAD = newUploadId()
const KEY = newDataKey()
const PIECE = 3 * FRAME_BYTES

const runOf = (bytes: number, more: Partial<SealedRun> = {}): SealedRun => ({
  ...{ key: 'uploads/aa/1-b', at: 0, bytes, piece: PIECE, upload: UPLOAD },
  ...more,
})

function seal(run: SealedRun, bytes: Buffer, dataKey = KEY): Buffer {
  const sealed: Buffer[] = []
  let at = run.at
  for (const piece of cutBytes({ chunks: [bytes], length: bytes.length }, run.piece)) {
    sealed.push(...sealPiece(dataKey, { key: run.key, at }, piece))
    at += piece.length
  }
  return Buffer.concat(sealed)
}

/** What comes out before anything is thrown, and what is thrown. */
function open(
  stored: Buffer,
  layout: readonly SealedRun[],
  range: { first: number; last: number } | null = null,
  chunk = 10_000,
): { bytes: Buffer; error: unknown } {
  const reading = readingOf(layout, range, () => KEY)
  const header = reading.header
  const salt = header === null ? null : saltOf(stored.subarray(header, header + HEADER_BYTES))
  const part = reading.stored ? stored.subarray(reading.stored.first, reading.stored.last + 1) : stored
  return feed(new Unsealer('x', reading.spans(salt)), part, chunk)
}

function feed(unsealer: Unsealer, stored: Buffer, chunk: number): { bytes: Buffer; error: unknown } {
  const opened: Buffer[] = []
  try {
    for (let at = 0; at < stored.length; at += chunk) opened.push(...unsealer.push(stored.subarray(at, at + chunk)))
    opened.push(...unsealer.end())
    return { bytes: Buffer.concat(opened), error: null }
  } catch (error) {
    return { bytes: Buffer.concat(opened), error }
  }
}

const damaged = (error: unknown): boolean => hasCode(error, 'content_damaged')

describe('encrypted bytes', () => {
  test('come back as they were, in chunks of any size, from one byte to several pieces', () => {
    for (const length of [
      0,
      1,
      100,
      FRAME_BYTES - 1,
      FRAME_BYTES,
      FRAME_BYTES + 1,
      PIECE - 1,
      PIECE,
      PIECE + 1,
      2 * PIECE,
    ]) {
      const bytes = randomBytes(length)
      const run = runOf(length)
      const stored = seal(run, bytes)
      assert.equal(stored.length, sealedBytes(length, PIECE))
      for (const chunk of [1 + (length % 37), 16, 65_536, stored.length]) {
        if (stored.length / chunk > 30_000) continue
        const { bytes: opened, error } = open(stored, [run], null, chunk)
        assert.equal(error, null)
        assert.ok(opened.equals(bytes), `${length} bytes in chunks of ${chunk}`)
      }
    }
  })

  test('every range comes back, and no more frames are read than it needs', () => {
    const length = 2 * PIECE + FRAME_BYTES + 100
    const bytes = randomBytes(length)
    const run = runOf(length)
    const stored = seal(run, bytes)
    const edges = [0, 1, FRAME_BYTES - 1, FRAME_BYTES, PIECE - 1, PIECE, PIECE + FRAME_BYTES, 2 * PIECE, length - 1]
    for (const first of edges) {
      for (const last of edges.filter((edge) => edge >= first)) {
        const { bytes: opened, error } = open(stored, [run], { first, last })
        assert.equal(error, null)
        assert.ok(opened.equals(bytes.subarray(first, last + 1)), `${first}-${last}`)
        const { stored: range } = readingOf([run], { first, last }, () => KEY)
        assert.ok(range && range.last - range.first < last - first + 2 * SEALED_FRAME_BYTES + 3 * (HEADER_BYTES + 100))
      }
    }
  })

  test('a file of several runs, also of bytes that are not encrypted and of other uploads, comes back in every range', () => {
    const sizes = [PIECE + 5, 1000, FRAME_BYTES + 1]
    const contents = sizes.map((size) => randomBytes(size))
    const runs = [
      runOf(PIECE + 5),
      runOf(1000, { upload: null }),
      runOf(FRAME_BYTES + 1, { key: 'other', at: 2 * PIECE, piece: 70_000 }),
    ]
    const stored = Buffer.concat(
      runs.map((run, n) => (run.upload ? seal(run, contents[n] ?? Buffer.of()) : (contents[n] ?? Buffer.of()))),
    )
    const bytes = Buffer.concat(contents)
    const edges = [
      0,
      5,
      PIECE,
      PIECE + 4,
      PIECE + 5,
      PIECE + 900,
      PIECE + 1004,
      PIECE + 1005,
      PIECE + 2000,
      bytes.length - 1,
    ]
    for (const first of edges) {
      for (const last of edges.filter((edge) => edge >= first)) {
        const { bytes: opened, error } = open(stored, runs, { first, last })
        assert.equal(error, null, `${first}-${last}`)
        assert.ok(opened.equals(bytes.subarray(first, last + 1)), `${first}-${last}`)
      }
    }
    assert.ok(open(stored, runs).bytes.equals(bytes))
  })

  test('an object whose length is not known comes back whole', () => {
    for (const length of [0, 1, FRAME_BYTES, FRAME_BYTES + 1, PIECE, PIECE + 1, 2 * PIECE]) {
      const bytes = randomBytes(length)
      const run = runOf(length)
      for (const chunk of [1000, 65_536, 65_552, 1_000_000]) {
        const { bytes: opened, error } = feed(new Unsealer('x', openEndedSpans(run, KEY)), seal(run, bytes), chunk)
        assert.equal(error, null)
        assert.ok(opened.equals(bytes), `${length} in chunks of ${chunk}`)
      }
    }
  })

  test('whichever byte is flipped, what came out before the error is right and ends before it', () => {
    const length = PIECE + FRAME_BYTES + 10
    const bytes = randomBytes(length)
    const run = runOf(length)
    const stored = seal(run, bytes)
    const second = sealedBytes(PIECE, PIECE)
    const places = [
      ...Array.from({ length: HEADER_BYTES + 20 }, (_, n) => n),
      ...Array.from({ length: HEADER_BYTES + 20 }, (_, n) => second + n),
      ...Array.from({ length: 40 }, (_, n) => HEADER_BYTES + SEALED_FRAME_BYTES - 20 + n),
      ...Array.from({ length: 60 }, (_, n) => stored.length - 60 + n),
      ...Array.from({ length: 100 }, () => Math.floor(Math.random() * stored.length)),
    ]
    for (const place of places) {
      const flipped = Buffer.from(stored)
      flipped.writeUInt8((flipped.readUInt8(place) ^ (1 << (place % 8))) & 0xff, place)
      const { bytes: opened, error } = open(flipped, [run])
      assert.ok(damaged(error), `byte ${place}`)
      assert.ok(opened.equals(bytes.subarray(0, opened.length)), `byte ${place}: nothing wrong came out`)
      assert.ok(opened.length <= place, `byte ${place}: nothing of its frame or behind it came out`)
      assert.ok(
        damaged(feed(new Unsealer('x', openEndedSpans(run, KEY)), flipped, 9999).error),
        `byte ${place}, no length`,
      )
    }
  })

  test('bytes that are missing or too many are noticed, wherever they are', () => {
    const length = PIECE + FRAME_BYTES + 10
    const bytes = randomBytes(length)
    const run = runOf(length)
    const stored = seal(run, bytes)
    const cuts = [
      0,
      1,
      HEADER_BYTES,
      HEADER_BYTES + SEALED_FRAME_BYTES,
      sealedBytes(PIECE, PIECE),
      stored.length - 26,
      stored.length - 1,
    ]
    for (const cut of cuts) {
      const { bytes: opened, error } = open(stored.subarray(0, cut), [run])
      assert.ok(damaged(error), `cut at ${cut}`)
      assert.ok(opened.equals(bytes.subarray(0, opened.length)))
      // Without a length a cut between two pieces cannot show; whoever reads so knows how many bytes there must be.
      if (cut === sealedBytes(PIECE, PIECE)) continue
      assert.ok(
        damaged(feed(new Unsealer('x', openEndedSpans(run, KEY)), stored.subarray(0, cut), 5000).error),
        `cut at ${cut}`,
      )
    }
    assert.ok(damaged(open(Buffer.concat([stored, Buffer.of(0)]), [run]).error))
  })

  test('frames and pieces that were exchanged, repeated or come from elsewhere are refused', () => {
    const length = 2 * PIECE
    const run = runOf(length)
    const stored = seal(run, randomBytes(length))
    const unit = sealedBytes(PIECE, PIECE)
    const frame = (n: number) =>
      stored.subarray(HEADER_BYTES + n * SEALED_FRAME_BYTES, HEADER_BYTES + (n + 1) * SEALED_FRAME_BYTES)
    const header = stored.subarray(0, HEADER_BYTES)
    const [first, second] = [stored.subarray(0, unit), stored.subarray(unit)]
    const elsewhere = [
      ['frames exchanged', Buffer.concat([header, frame(1), frame(0), frame(2), second])],
      ['a frame repeated', Buffer.concat([header, frame(0), frame(0), frame(2), second])],
      ['pieces exchanged', Buffer.concat([second, first])],
      ['a piece repeated', Buffer.concat([first, first])],
      ['another object', seal(runOf(length, { key: 'uploads/aa/2-c' }), randomBytes(length))],
      ['another offset', seal(runOf(length, { at: PIECE }), randomBytes(length))],
      ['another data key', seal(run, randomBytes(length), newDataKey())],
    ] as const
    for (const [what, bytes] of elsewhere) assert.ok(damaged(open(bytes, [run]).error), what)
  })

  test('the same place written twice repeats no key, whether the bytes are others or the same', () => {
    const salts = new Set<string>()
    const keys = new Set<string>()
    const place = { key: 'uploads/aa/1-b', at: 0 }
    for (let n = 0; n < 500; n++) {
      const bytes = n % 2 === 0 ? Buffer.from('the same') : randomBytes(8)
      const [header = Buffer.of()] = sealPiece(KEY, place, { chunks: [bytes], length: 8 })
      const salt = saltOf(header)
      assert.ok(salt)
      salts.add(salt.toString('hex'))
      keys.add(pieceKey(KEY, salt, place).export().toString('hex'))
    }
    assert.equal(salts.size, 500)
    assert.equal(keys.size, 500)
    const salt = randomBytes(32)
    const places = [place, { ...place, at: 1 }, { ...place, key: 'uploads/aa/1-c' }, { key: '0\0uploads', at: 1 }]
    assert.equal(new Set(places.map((one) => pieceKey(KEY, salt, one).export().toString('hex'))).size, places.length)
  })
})
