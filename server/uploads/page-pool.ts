import type { Memory } from './memory.ts'

/** Pages of one block; a block is one allocation. */
const PAGES_A_BLOCK = 16

interface Block {
  readonly bytes: Buffer
  readonly pages: number
  /** Pages at rest. */
  readonly free: Page[]
  /** Somebody may still point into it: it is left to the garbage collector and not used again. */
  spoilt: boolean
}

/** A stretch of memory that received bytes are copied into. It has users; the last one to let go gives it back. */
export interface Page {
  readonly bytes: Buffer
  readonly block: Block
  /** Which one of its block. */
  readonly index: number
  users: number
  spoilt: boolean
}

/**
 * The memory for upload bytes: blocks of CHUNK_SIZE, cut into pages so that a thousand slow uploads do not take a block
 * each. Every page in use counts against the budget with its full size, whatever is in it. Up to BUFFER_POOL_SIZE empty
 * blocks are kept for reuse; what is more is freed at once, not at the next garbage collection.
 */
export class PagePool {
  readonly blockBytes: number
  readonly pageBytes: number
  readonly #keep: number
  readonly #memory: Memory
  /** With pages in use and pages at rest. */
  readonly #open = new Set<Block>()
  readonly #empty: Block[] = []

  constructor(blockBytes: number, keep: number, memory: Memory) {
    this.pageBytes = Math.max(1, Math.ceil(blockBytes / PAGES_A_BLOCK))
    this.blockBytes = this.pageBytes * PAGES_A_BLOCK
    this.#keep = keep
    this.#memory = memory
  }

  /** Empty blocks, waiting to be used again. */
  get idle(): number {
    return this.#empty.length
  }

  /** A page with one user. */
  take(): Page {
    const block = this.#open.values().next().value ?? this.#empty.pop() ?? this.#allocate()
    const page = block.free.pop()
    if (!page) throw new Error('a block in the list of open ones has no page at rest')
    if (block.free.length > 0) this.#open.add(block)
    else this.#open.delete(block)
    page.users = 1
    this.#memory.take(this.pageBytes)
    return page
  }

  /** One user less. `reuse`: it knows that nobody points into the page for its sake any more, not even a socket. */
  release(page: Page, reuse: boolean): void {
    if (!reuse) page.spoilt = true
    page.users--
    if (page.users > 0) return
    const { block } = page
    if (page.spoilt) this.#spoil(block)
    else if (!block.spoilt) this.#rest(page)
    this.#memory.give(this.pageBytes)
  }

  #rest(page: Page): void {
    const { block } = page
    block.free.push(page)
    if (block.free.length < block.pages) {
      this.#open.add(block)
      return
    }
    this.#open.delete(block)
    if (this.#empty.length < this.#keep) this.#empty.push(block)
    // Detached, its memory is free now.
    else if (block.bytes.buffer instanceof ArrayBuffer) block.bytes.buffer.transfer(0)
  }

  #spoil(block: Block): void {
    block.spoilt = true
    this.#open.delete(block)
  }

  #allocate(): Block {
    const bytes = Buffer.allocUnsafeSlow(this.blockBytes)
    const block: Block = { bytes, pages: PAGES_A_BLOCK, free: [], spoilt: false }
    // The first page is taken first: neighbours can then be sent as one chunk.
    for (let index = PAGES_A_BLOCK - 1; index >= 0; index--) {
      const from = index * this.pageBytes
      block.free.push({ bytes: bytes.subarray(from, from + this.pageBytes), block, index, users: 0, spoilt: false })
    }
    return block
  }
}
