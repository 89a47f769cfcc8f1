import { Readable } from 'node:stream'
import { UploadError } from '../../uploads/errors.ts'

/**
 * The store's answer as a stream of ours: errors become `store_unavailable`, destroying it frees the connection, and
 * it times out only while somebody waits for bytes: a reader may pause as long as it likes.
 */
export function storeRead(source: Readable, what: string, highWaterMark: number, stallMs: number): Readable {
  let timer: NodeJS.Timeout | undefined
  const disarm = (): void => clearTimeout(timer)
  const fail = (why: string, cause?: unknown): void => {
    out.destroy(new UploadError('store_unavailable', `Reading ${what} broke off: ${why}`, { cause }))
  }
  const out = new Readable({
    highWaterMark,
    read() {
      disarm()
      timer = setTimeout(() => fail(`no byte for ${stallMs} ms`), stallMs)
      source.resume()
    },
    destroy(error, done) {
      disarm()
      source.destroy()
      done(error)
    },
  })
  source.pause()
  source.on('data', (chunk: Buffer) => {
    disarm()
    if (!out.push(chunk)) source.pause()
  })
  source.on('end', () => {
    disarm()
    out.push(null)
  })
  source.on('error', (error) => fail(error.message, error))
  source.on('close', () => {
    if (!source.readableEnded) fail('the connection closed early')
  })
  return out
}
