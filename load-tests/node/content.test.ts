import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { makeContents } from './content.js'

const POOL_BYTES = 4_194_301

test('the hash is that of the blocks, also past the end of the pool', async () => {
  const [sources = []] = await makeContents('seed', [POOL_BYTES + 100_000])
  for (const { blocks, sha256, size } of sources.slice(0, 3)) {
    const hash = createHash('sha256')
    let bytes = 0
    for (const block of blocks(0, size)) {
      assert.ok(block.length > 0 && block.length <= 64 * 1024)
      hash.update(block)
      bytes += block.length
    }
    assert.equal(bytes, size)
    assert.equal(hash.digest('hex'), sha256)
  }
})

test('any range is the same bytes as in the whole', async () => {
  const [sources = []] = await makeContents('seed', [300_000])
  const source = sources[0]
  assert.ok(source)
  const whole = Buffer.concat([...source.blocks(0, source.size)])
  for (const [from, to] of [
    [0, 1],
    [65_535, 65_537],
    [100_000, 300_000],
    [5, 5],
  ] as const) {
    assert.deepEqual(Buffer.concat([...source.blocks(from, to)]), whole.subarray(from, to))
  }
})

test('contents differ from each other; the same seed gives the same ones, of each size', async () => {
  const [one, again, other] = await Promise.all([
    makeContents('a', [1000, 20]),
    makeContents('a', [1000, 20]),
    makeContents('b', [1000, 20]),
  ])
  const hashes = (contents: typeof one): string[] => contents.flat().map(({ sha256 }) => sha256)
  assert.deepEqual(hashes(one), hashes(again))
  assert.equal(new Set([...hashes(one), ...hashes(other)]).size, 4 * 64)
})

test('blocks are views: a thousand readers need no memory of their own', async () => {
  const [sources = []] = await makeContents('seed', [1_000_000])
  const buffers = new Set(sources.flatMap(({ blocks }) => [...blocks(0, 1_000_000)].map(({ buffer }) => buffer)))
  assert.equal(buffers.size, 1)
})
