import { Readable } from 'node:stream'
import { UploadError } from '../../uploads/errors.ts'
import type { Unsealer } from './unsealer.ts'

/**
 * The bytes of a file from its stored ones. Ends with the first error, its own or the source's, before a byte that was
 * not authenticated comes out; destroying it destroys the source.
 */
export function openedStream(source: Readable, unsealer: Unsealer, what: string): Readable {
  const out = new Readable({
    highWaterMark: source.readableHighWaterMark,
    read() {
      source.resume()
    },
    destroy(error, done) {
      source.destroy()
      done(error)
    },
  })
  /** Pushes what `open` gives; false when the reader has enough for now. */
  const give = (open: () => Buffer[]): boolean => {
    let more = true
    try {
      for (const bytes of open()) more = out.push(bytes)
    } catch (error) {
      out.destroy(error instanceof Error ? error : new Error(String(error)))
    }
    return more
  }
  source.pause()
  source.on('data', (chunk: Buffer) => {
    if (!out.destroyed && !give(() => unsealer.push(chunk))) source.pause()
  })
  source.on('end', () => {
    if (out.destroyed) return
    give(() => unsealer.end())
    if (!out.destroyed) out.push(null)
  })
  source.on('error', (error) => out.destroy(error))
  source.on('close', () => {
    if (source.readableEnded || out.destroyed) return
    out.destroy(new UploadError('store_unavailable', `Reading ${what} broke off: the stream closed early`))
  })
  return out
}
