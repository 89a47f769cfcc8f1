import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyOf } from './gathering.ts'
import { Memory } from './memory.ts'
import { PagePool } from './page-pool.ts'
import { type Loan, TailCache } from './tail-cache.ts'

/** Pages of 100 bytes. */
function cacheOf(limitBytes: number): { cache: TailCache; memory: Memory; pool: PagePool } {
  const memory = new Memory({ limitBytes, warningShare: 0.7, dropClean: (bytes) => cache.drop(bytes) })
  const pool = new PagePool(1600, 4, memory)
  const cache: TailCache = new TailCache(pool, memory)
  return { cache, memory, pool }
}

const bytesOf = (length: number) => ({ chunks: [Buffer.alloc(length, 'tail')], length })

test('entries count against the budget as long as they are there', () => {
  const { cache, memory } = cacheOf(10_000)
  cache.copy('a', bytesOf(10))
  assert.equal(memory.usedBytes, 10)
  cache.copy('a', bytesOf(10))
  assert.equal(memory.usedBytes, 10, 'the same tail once')
  cache.delete('a')
  cache.copy('a', bytesOf(250))
  assert.equal(memory.usedBytes, 300, 'in pages, when it fills some')
  cache.delete('a')
  cache.delete('a')
  assert.equal(memory.usedBytes, 0)
})

test('a tail keeps the pages it came in, unless they are much larger', () => {
  const { cache, memory, pool } = cacheOf(10_000)
  const kept = copyOf(pool, bytesOf(190))
  cache.adopt('a', kept)
  assert.equal(memory.usedBytes, 200)
  assert.equal(cache.lend('a')?.kept.bytes.chunks[0]?.buffer, kept.bytes.chunks[0]?.buffer)
  cache.adopt('b', copyOf(pool, bytesOf(20)))
  assert.equal(memory.usedBytes, 220)
  assert.deepEqual(cache.lend('b')?.kept.bytes, bytesOf(20))
})

test('when memory is short the longest unused goes first, what is lent stays, and nothing is added', () => {
  const { cache, memory } = cacheOf(1000)
  for (const key of ['a', 'b', 'c']) cache.copy(key, bytesOf(200))
  const loan = lent(cache, 'a')
  memory.take(290)
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => cache.lend(key) !== null),
    [true, false, true],
  )
  cache.drop(1000)
  assert.equal(cache.size, 2)
  cache.unlend('a', loan)
  cache.unlend('a', loan)
  memory.take(30)
  assert.deepEqual([cache.lend('a'), cache.size], [null, 1])
  memory.take(300)
  cache.copy('d', bytesOf(20))
  assert.equal(cache.lend('d'), null)
})

test('pages that were lent are used again only once it is known that the write is over', () => {
  const { cache, pool } = cacheOf(100_000)
  const bufferOf = (loan: Loan) => loan.kept.bytes.chunks[0]?.buffer
  for (const key of ['written', 'unknown', 'twice', 'free']) cache.copy(key, bytesOf(1600))
  const [written, unknown, twice] = [lent(cache, 'written'), lent(cache, 'unknown'), lent(cache, 'twice')]
  cache.lend('twice')
  cache.delete('written', written)
  cache.delete('unknown')
  cache.delete('twice', twice)
  cache.delete('free')
  const next = Array.from({ length: 6 }, () => copyOf(pool, bytesOf(1600)).bytes.chunks[0]?.buffer)
  assert.ok(next.includes(bufferOf(written)))
  assert.ok(!next.includes(bufferOf(unknown)) && !next.includes(bufferOf(twice)))
})

test('a holder that was replaced gives nothing back of what its successor lent', () => {
  const { cache, pool } = cacheOf(100_000)
  cache.put('a', copyOf(pool, bytesOf(1600)))
  const first = lent(cache, 'a')
  cache.delete('a')
  cache.put('a', copyOf(pool, bytesOf(1600)))
  const second = lent(cache, 'a')
  cache.unlend('a', first)
  cache.delete('a', first)
  const next = Array.from({ length: 6 }, () => copyOf(pool, bytesOf(1600)).bytes.chunks[0]?.buffer)
  for (const loan of [first, second]) assert.ok(!next.includes(loan.kept.bytes.chunks[0]?.buffer))
})

test('what nobody uses goes by itself', () => {
  const { cache, memory } = cacheOf(1000)
  cache.copy('a', bytesOf(100))
  cache.expire(Date.now() + 29_000)
  assert.equal(cache.size, 1)
  cache.expire(Date.now() + 31_000)
  assert.equal(cache.size, 0)
  assert.equal(memory.usedBytes, 0)
})

function lent(cache: TailCache, key: string): Loan {
  const loan = cache.lend(key)
  assert.ok(loan)
  return loan
}
