import { UploadError } from '../uploads/errors.ts'

/** Metadata as JSON says it: an object of strings; undefined and null are none. Throws metadata_invalid. */
export function readMetadata(value: unknown): Record<string, string> {
  // Null prototype: `__proto__` is a key like any other.
  const known: Record<string, string> = Object.create(null)
  if (value === undefined || value === null) return known
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new UploadError('metadata_invalid', 'Metadata is an object of strings like {"filename": "a.txt"}.')
  }
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw new UploadError('metadata_invalid', `The metadata "${key.slice(0, 60)}" is no string.`)
    }
    known[key] = text
  }
  return known
}
