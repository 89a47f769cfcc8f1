import { v7 } from 'uuid'

/** A UUIDv7 in lower case. Parsed once at the edge ({@link parseUploadId}); everywhere else the type is the proof. */
export type UploadId = string & { readonly __brand: 'UploadId' }

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** A new id: 48 bits of time, 74 random bits. */
export function newUploadId(): UploadId {
  return v7() as UploadId
}

/** The id that `text` spells, or null: nothing outside the closed alphabet gets any further. */
export function parseUploadId(text: string): UploadId | null {
  return UUID_V7.test(text) ? (text as UploadId) : null
}
