import { createHash } from 'node:crypto'
import { UploadError } from '../../server/uploads/errors.ts'
import type { Step } from './step.ts'

/**
 * SHA-256 of the whole object, read back from the store: what a download will give, not what once came in. Streams;
 * memory does not grow with the file.
 */
export const sha256Step: Step = {
  name: 'sha256',
  async run({ upload, store, signal }) {
    const key = upload.objectKey
    if (key === null) throw new Error(`upload ${upload.id} is processed but its row names no object`)
    const stream = await store.read(key, undefined, signal)
    if (!stream) throw new Error(`upload ${upload.id}: the store has no object ${key}`)
    const hash = createHash('sha256')
    let bytes = 0
    try {
      for await (const chunk of stream) {
        signal.throwIfAborted()
        hash.update(chunk)
        bytes += chunk.length
      }
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof UploadError) throw error
      throw new UploadError('store_unavailable', `reading ${key} broke off after ${bytes} bytes`, { cause: error })
    }
    const expected = upload.length ?? upload.storedLength
    if (expected !== null && bytes !== expected) {
      throw new Error(`upload ${upload.id}: object ${key} has ${bytes} bytes, its row says ${expected}`)
    }
    return { sha256: hash.digest('hex') }
  },
}
