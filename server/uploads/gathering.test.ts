import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyOf, Gathering } from './gathering.ts'
import { Memory } from './memory.ts'
import { PagePool } from './page-pool.ts'

/** Blocks of 160 bytes, in pages of 10. */
function poolOf(keep = 2): { pool: PagePool; memory: Memory } {
  const memory = new Memory({ limitBytes: 1_000_000, warningShare: 1, dropClean: () => 0 })
  return { pool: new PagePool(160, keep, memory), memory }
}

const letters = (count: number, first = 0): Buffer =>
  Buffer.from(Array.from({ length: count }, (_, index) => 97 + ((first + index) % 26)))

const textOf = (bytes: { chunks: readonly Buffer[] }): string => Buffer.concat(bytes.chunks).toString()

test('bytes come out as they came in, wherever they are cut', () => {
  const { pool, memory } = poolOf()
  const gathering = new Gathering(pool)
  const all = letters(333)
  for (let at = 0, size = 1; at < all.length; at += size, size = (size * 7) % 23) {
    gathering.append(all.subarray(at, Math.min(at + size, all.length)))
  }
  assert.equal(gathering.length, 333)
  const taken = [5, 0, 10, 17, 160, 141].map((count) => gathering.take(count))
  assert.equal(taken.map(({ bytes }) => textOf(bytes)).join(''), all.toString())
  assert.deepEqual(
    taken.map(({ bytes }) => bytes.length),
    [5, 0, 10, 17, 160, 141],
  )
  assert.equal(gathering.length, 0)
  assert.equal(memory.usedBytes, 340)
  for (const kept of taken) kept.release(true)
  assert.equal(memory.usedBytes, 0)
})

test('the page that a border lies in stays until both sides have let go', () => {
  const { pool, memory } = poolOf()
  const gathering = new Gathering(pool)
  gathering.append(letters(15))
  const first = gathering.take(12)
  assert.equal(memory.usedBytes, 20)
  first.release(true)
  first.release(true)
  assert.equal(memory.usedBytes, 10)
  gathering.append(letters(3, 15))
  assert.equal(memory.usedBytes, 10)
  const rest = gathering.take(99)
  assert.equal(textOf(rest.bytes), letters(6, 12).toString())
  rest.release(true)
  assert.equal(memory.usedBytes, 0)
})

test('neighbouring pages are sent as one chunk', () => {
  const { pool } = poolOf()
  const kept = copyOf(pool, { chunks: [letters(7), letters(150, 7), letters(23, 157)], length: 180 })
  assert.deepEqual(
    kept.bytes.chunks.map(({ length }) => length),
    [160, 20],
  )
  assert.equal(textOf(kept.bytes), letters(180).toString())
})

test('a page is used again only when it may be', () => {
  const { pool } = poolOf()
  const [first, second] = [copyOf(pool, one(160)), copyOf(pool, one(160))]
  const [sent, given] = [first.bytes.chunks[0], second.bytes.chunks[0]]
  first.release(false)
  second.release(true)
  const next = [copyOf(pool, one(160)), copyOf(pool, one(160))].map(({ bytes }) => bytes.chunks[0])
  assert.ok(next.some((chunk) => chunk?.buffer === given?.buffer))
  assert.ok(next.every((chunk) => chunk?.buffer !== sent?.buffer))
})

test('so many empty blocks are kept as are wanted; the memory of more is free at once', () => {
  const { pool } = poolOf(2)
  const all = [1, 2, 3].map(() => copyOf(pool, one(160)))
  assert.equal(pool.idle, 0)
  for (const kept of all) kept.release(true)
  assert.equal(pool.idle, 2)
  assert.deepEqual(
    all.map(({ bytes }) => bytes.chunks[0]?.buffer.byteLength),
    [160, 160, 0],
  )
})

function one(length: number): { chunks: Buffer[]; length: number } {
  return { chunks: [letters(length)], length }
}
