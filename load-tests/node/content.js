import { createCipheriv, createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'

/** A prime, so that bytes at round distances (chunks, parts) are never the same ones. */
const POOL_BYTES = 4_194_301
const BLOCK = 64 * 1024
const HASHED_AT_ONCE = 1024 * 1024
/** Different contents of each size; fewer of large ones, whose hashes would take long to find. */
const MOST_SOURCES = 64
const HASHED_BEFOREHAND = 512 * 1024 * 1024

/**
 * The bytes of one upload and their hash.
 * @typedef {object} Source
 * @property {number} size
 * @property {string} sha256 in hex
 * @property {(from: number, to: number) => Generator<Buffer, void, void>} blocks bytes [from, to) in pieces of at most 64 KiB that are views, not copies
 */

/**
 * Every upload reads from one pool of seeded bytes, at a place of its own, so that a thousand of them need no memory
 * of their own, and their hashes are known before the first request.
 * @param {string} seed @param {readonly number[]} sizes bytes
 * @returns {Promise<readonly (readonly Source[])[]>} contents of each size, in the order of `sizes`
 */
export async function makeContents(seed, sizes) {
  const pool = seededBytes(seed, POOL_BYTES)
  /** @type {Source[][]} */
  const contents = []
  for (const size of sizes) {
    const budget = Math.floor(HASHED_BEFOREHAND / sizes.length / Math.max(size, 1))
    const count = Math.max(2, Math.min(MOST_SOURCES, budget))
    /** @type {Source[]} */
    const sources = []
    for (let n = 0; n < count; n++) sources.push(await sourceAt(pool, placeOf(seed, n), size))
    contents.push(sources)
  }
  return contents
}

/** @param {Buffer} pool @param {number} start @param {number} size @returns {Promise<Source>} */
async function sourceAt(pool, start, size) {
  /** @param {number} from @param {number} to */
  function* blocks(from, to) {
    for (let at = from; at < to; ) {
      const inPool = (start + at) % pool.length
      const length = Math.min(BLOCK, to - at, pool.length - inPool)
      yield pool.subarray(inPool, inPool + length)
      at += length
    }
  }
  const hash = createHash('sha256')
  for (let at = 0; at < size; at += HASHED_AT_ONCE) {
    for (const block of blocks(at, Math.min(at + HASHED_AT_ONCE, size))) hash.update(block)
    await setImmediate() // Ctrl-C is heard in between
  }
  return { size, sha256: hash.digest('hex'), blocks }
}

/** @param {string} seed @param {number} length */
function seededBytes(seed, length) {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length))
}

/** @param {string} seed @param {number} n */
function placeOf(seed, n) {
  return createHash('sha256').update(`${seed} ${n}`).digest().readUInt32BE() % POOL_BYTES
}
