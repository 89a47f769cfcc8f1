import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  FRAME_BYTES,
  HEADER_BYTES,
  openedBytes,
  sealedBytes,
  sealedPieceBytes,
  sealedRange,
  TAG_BYTES,
} from './lengths.ts'

const MIB = 1024 * 1024

test('the stored length of every length is one that only it has', () => {
  for (const piece of [8192, FRAME_BYTES, 3 * FRAME_BYTES, 3 * FRAME_BYTES + 100, 8 * MIB]) {
    const around = [0, 1, 2, FRAME_BYTES, 2 * FRAME_BYTES, 3 * FRAME_BYTES, piece, 2 * piece, 5 * piece]
    for (const middle of around) {
      for (let length = Math.max(0, middle - 20); length < middle + 20; length++) {
        const stored = sealedBytes(length, piece)
        assert.equal(openedBytes(stored, piece), length, `${length} in pieces of ${piece}`)
        assert.ok(stored < sealedBytes(length + 1, piece))
      }
    }
  }
})

test('lengths that nothing has are null', () => {
  const piece = 3 * FRAME_BYTES
  const known = new Set(Array.from({ length: 70_000 }, (_, length) => sealedBytes(length, piece)))
  for (let stored = 0; stored < 65_700; stored++) {
    assert.equal(openedBytes(stored, piece) !== null, known.has(stored), `${stored} stored bytes`)
  }
  assert.equal(
    openedBytes(sealedPieceBytes(piece) + HEADER_BYTES + TAG_BYTES, piece),
    null,
    'no empty piece after a full one',
  )
})

test('5 TiB and equal parts: parts of equal length are stored with equal length', () => {
  assert.equal(openedBytes(sealedBytes(5 * 1024 ** 4, 8 * MIB), 8 * MIB), 5 * 1024 ** 4)
  assert.equal(sealedBytes(64 * MIB, 8 * MIB), 8 * sealedBytes(8 * MIB, 8 * MIB))
  assert.ok(sealedBytes(5 * 1024 ** 4, 8 * MIB) < 5 * 1024 ** 4 * 1.0003)
})

test('a range is read in whole frames, with the header only where the first frame is read', () => {
  const bytes = 3 * FRAME_BYTES
  const frame = FRAME_BYTES + TAG_BYTES
  assert.deepEqual(sealedRange(bytes, 0, 1), { from: 0, to: HEADER_BYTES + frame })
  assert.deepEqual(sealedRange(bytes, FRAME_BYTES - 1, FRAME_BYTES + 1), { from: 0, to: HEADER_BYTES + 2 * frame })
  assert.deepEqual(sealedRange(bytes, FRAME_BYTES, FRAME_BYTES + 1), {
    from: HEADER_BYTES + frame,
    to: HEADER_BYTES + 2 * frame,
  })
  assert.deepEqual(sealedRange(bytes, 0, bytes), { from: 0, to: sealedPieceBytes(bytes) })
  assert.deepEqual(sealedRange(10, 3, 4), { from: 0, to: sealedPieceBytes(10) })
  assert.deepEqual(sealedRange(0, 0, 0), { from: 0, to: sealedPieceBytes(0) })
})
