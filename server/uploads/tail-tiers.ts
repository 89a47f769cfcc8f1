import type { Tail } from './words.ts'

/** So many tails of one size tier, then they are merged into one of the next. */
const TIER_COUNT = 16
const SMALLEST = 1024

/** Sizes within a factor of 16 share a tier. */
function tierOf(bytes: number): number {
  return Math.floor(Math.log2(Math.max(bytes, SMALLEST) / SMALLEST) / 4)
}

/**
 * How many of the chain's last tails a new tail of `bytes` takes in, so that a part never has more than 16 of a tier:
 * the merge and the new bytes are one write. 1 KiB appends then write about five times the payload, not 256 times.
 */
export function tailsToAbsorb(tails: readonly Tail[], bytes: number): number {
  let absorbed = 0
  let size = bytes
  for (;;) {
    const tier = tierOf(size)
    let count = 0
    let sum = 0
    for (let index = tails.length - 1 - absorbed; index >= 0; index--) {
      const tail = tails[index]
      if (!tail || tierOf(tail.end - tail.start) > tier) break
      count++
      sum += tail.end - tail.start
    }
    if (count < TIER_COUNT - 1) return absorbed
    absorbed += count
    size += sum
  }
}
