import type { ByteRange } from '../uploads/ports/byte-store.ts'

/** `whole`: no range, one that cannot be read, or several: all are answered with the whole file (RFC 9110, 14.2). */
export type RangeAnswer = ByteRange | 'whole' | 'unsatisfiable'

const SINGLE = /^bytes=\s*([0-9]*)\s*-\s*([0-9]*)\s*$/i

/** Resolves a `Range` header against a representation of `size` bytes. */
export function resolveRange(header: string | undefined, size: number): RangeAnswer {
  const match = SINGLE.exec(header ?? '')
  if (match === null) return 'whole'
  const [, from = '', to = ''] = match
  if (from === '') {
    if (to === '') return 'whole'
    const count = Math.min(Number(to), size)
    return count === 0 ? 'unsatisfiable' : { first: size - count, last: size - 1 }
  }
  const first = Number(from)
  const last = to === '' ? size - 1 : Number(to)
  if (to !== '' && last < first) return 'whole'
  return first >= size ? 'unsatisfiable' : { first, last: Math.min(last, size - 1) }
}
