import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Memory } from './memory.ts'
import { TailCache } from './tail-cache.ts'

function cacheOf(limitBytes: number): { cache: TailCache; memory: Memory } {
  const cache = new TailCache()
  const memory = new Memory({ limitBytes, warningShare: 0.8, dropClean: (bytes) => cache.drop(bytes) })
  cache.attach(memory)
  return { cache, memory }
}

const bytesOf = (length: number) => ({ chunks: [Buffer.alloc(length)], length })

test('entries count against the budget as long as they are there', () => {
  const { cache, memory } = cacheOf(1000)
  cache.set('a', bytesOf(100))
  cache.set('a', bytesOf(200))
  assert.equal(memory.usedBytes, 200)
  cache.delete('a')
  cache.delete('a')
  assert.equal(memory.usedBytes, 0)
})

test('when memory is short the longest unused goes first', () => {
  const { cache, memory } = cacheOf(1000)
  for (const key of ['a', 'b', 'c']) cache.set(key, bytesOf(250))
  cache.get('a')
  memory.take(200)
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => cache.get(key) !== null),
    [true, false, true],
  )
})

test('what nobody uses goes by itself', () => {
  const { cache, memory } = cacheOf(1000)
  cache.set('a', bytesOf(100))
  cache.expire(Date.now() + 29_000)
  assert.equal(cache.size, 1)
  cache.expire(Date.now() + 31_000)
  assert.equal(cache.size, 0)
  assert.equal(memory.usedBytes, 0)
})
