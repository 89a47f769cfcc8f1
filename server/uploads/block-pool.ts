/**
 * Blocks of CHUNK_SIZE in which small chunks are gathered, so that a trickle of tiny packets is not a heap of tiny
 * buffers. Up to BUFFER_POOL_SIZE used blocks are kept for reuse.
 */
export class BlockPool {
  readonly blockBytes: number
  readonly #keep: number
  readonly #free: Buffer[] = []

  constructor(blockBytes: number, keep: number) {
    this.blockBytes = blockBytes
    this.#keep = keep
  }

  /** Blocks at rest, waiting to be used again. */
  get idle(): number {
    return this.#free.length
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.blockBytes)
  }

  /** Only for a block that nothing points into any more. */
  give(block: Buffer): void {
    if (this.#free.length < this.#keep) this.#free.push(block)
  }
}
