import type { Page, PagePool } from './page-pool.ts'
import type { Bytes } from './words.ts'

/** Bytes that somebody keeps in memory. They count against the budget until released. */
export interface Kept {
  readonly bytes: Bytes
  /** What they take of the budget. */
  readonly heldBytes: number
  /** To be called once. `reuse`: nobody points into them any more, not even a socket. */
  release(reuse: boolean): void
}

/** Bytes of one page. */
interface Span {
  readonly page: Page
  from: number
  to: number
}

/** Gathers bytes in pages, in the order they come; what came in is copied, so that its own memory is free at once. */
export class Gathering {
  readonly #pool: PagePool
  #spans: Span[] = []
  #length = 0

  constructor(pool: PagePool) {
    this.#pool = pool
  }

  get length(): number {
    return this.#length
  }

  append(chunk: Buffer): void {
    const { pageBytes } = this.#pool
    for (let at = 0; at < chunk.length; ) {
      let span = this.#spans.at(-1)
      if (!span || span.to === pageBytes) {
        span = { page: this.#pool.take(), from: 0, to: 0 }
        this.#spans.push(span)
      }
      const copied = chunk.copy(span.page.bytes, span.to, at)
      span.to += copied
      at += copied
    }
    this.#length += chunk.length
  }

  /** The first `count` bytes, which are no longer here. */
  take(count: number): Kept {
    const taken: Span[] = []
    let left = Math.min(count, this.#length)
    const length = left
    while (left > 0) {
      const span = this.#spans[0]
      if (!span) throw new Error('a gathering has fewer bytes than it says')
      const bytes = span.to - span.from
      if (bytes <= left) {
        taken.push(span)
        this.#spans.shift()
        left -= bytes
        continue
      }
      // Both sides use the page that the border lies in.
      span.page.users++
      taken.push({ page: span.page, from: span.from, to: span.from + left })
      span.from += left
      left = 0
    }
    this.#length -= length
    return keep(this.#pool, taken, length)
  }
}

/** A copy in memory of its own. */
export function copyOf(pool: PagePool, bytes: Bytes): Kept {
  const copy = new Gathering(pool)
  for (const chunk of bytes.chunks) copy.append(chunk)
  return copy.take(bytes.length)
}

function keep(pool: PagePool, spans: readonly Span[], length: number): Kept {
  let held = true
  return {
    bytes: { chunks: chunksOf(spans, pool.pageBytes), length },
    heldBytes: spans.length * pool.pageBytes,
    release(reuse) {
      if (!held) return
      held = false
      for (const { page } of spans) pool.release(page, reuse)
    },
  }
}

/** Neighbouring pages are one chunk. */
function chunksOf(spans: readonly Span[], pageBytes: number): Buffer[] {
  const chunks: Buffer[] = []
  for (let index = 0; index < spans.length; index++) {
    const first = spans[index]
    if (!first) break
    let last = first
    for (let next = spans[index + 1]; next && adjoins(last, next, pageBytes); next = spans[index + 1]) {
      last = next
      index++
    }
    const from = first.page.index * pageBytes + first.from
    chunks.push(first.page.block.bytes.subarray(from, last.page.index * pageBytes + last.to))
  }
  return chunks
}

function adjoins(one: Span, next: Span, pageBytes: number): boolean {
  return (
    next.page.block === one.page.block &&
    next.page.index === one.page.index + 1 &&
    one.to === pageBytes &&
    next.from === 0
  )
}
