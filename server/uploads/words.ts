/**
 * The words of the service. The same words stand in columns, events, metrics and logs
 * (docs/architecture.md opens with them).
 */
import type { Readable } from 'node:stream'
import type { UploadId } from './id.ts'
import type { UploadState } from './states.ts'

export type { UploadId } from './id.ts'
export type { UploadState } from './states.ts'

/** What a caller may do. */
export type Role = 'uploader' | 'reader' | 'operator' | 'admin'

/** Who is calling, after authentication. A parameter of every engine call. */
export interface Principal {
  /** The owner of what this caller creates: up to 255 bytes of anything printable. */
  readonly subject: string
  /** `[a-z0-9-]{1,63}`; `default` where nobody says. */
  readonly tenant: string
  readonly roles: readonly Role[]
}

/** A piece of the open S3 multipart upload, as the store acknowledged it. */
export interface Part {
  /** 1-based; part n is bytes [start+(n-1)*P, start+n*P). */
  readonly number: number
  readonly bytes: number
  readonly etag: string
  /** CRC-32 (IEEE) of the part's bytes as an unsigned 32-bit integer; null where the store did not keep it. */
  readonly crc32: number | null
  /** What the store has of it, where that is not these bytes (service encryption): its size, and its own CRC-32. */
  readonly stored?: { readonly bytes: number; readonly crc32: number | null }
}

/** Bytes past the last full part, already durable as one small object. Positions are offsets in the upload. */
export interface Tail {
  readonly generation: number
  readonly token: string
  readonly start: number
  /** Exclusive. */
  readonly end: number
}

/** A finished object that holds the range [start, end) of an upload. */
export interface Segment {
  readonly key: string
  readonly start: number
  /** Exclusive. */
  readonly end: number
  /** CRC-32 of its bytes; null where it is not known. */
  readonly crc32: number | null
}

/**
 * Bytes of a stored object that were encrypted together. An object that was put together of others is several of them,
 * one behind the other, each as it was first written.
 */
export interface SealedRun {
  /** The object that they were first written to: bound into their encryption. */
  readonly key: string
  /** Where they began there; an offset in bytes of the file, as all lengths here. */
  readonly at: number
  readonly bytes: number
  /** They are cut into pieces of this size, each encrypted by itself; only the last may be shorter. */
  readonly piece: number
  /** Whose data key it is; null: these bytes are not encrypted. */
  readonly upload: UploadId | null
}

/** How an object's bytes are encrypted, from its first byte to its last. */
export type Layout = readonly SealedRun[]

/** Bytes on their way to the store: chunks as they came, never joined. */
export interface Bytes {
  readonly chunks: readonly Buffer[]
  readonly length: number
}

/** One upload, as its row has it. Times are milliseconds since 1970; lengths and offsets are bytes. */
export interface Upload {
  readonly id: UploadId
  readonly tenant: string
  readonly owner: string
  readonly state: UploadState
  /** Fencing number: raised at the first write, at every rebuild and unclean takeover. */
  readonly generation: number
  /** null while deferred. */
  readonly length: number | null
  /** True when the client created it with `Upload-Defer-Length: 1` (stays true after the length came). */
  readonly lengthDeferred: boolean
  /** Bytes of the stored object (differs from length under service encryption). */
  readonly storedLength: number | null
  /** The offset at the last state change (a lower bound, for operators; never answered to a HEAD of an unfinished upload). */
  readonly offsetSeen: number
  /** Part size P, fixed at creation. */
  readonly partBytes: number
  readonly segments: readonly Segment[]
  readonly multipartId: string | null
  /** The key the open multipart upload was created with; null when none is open. */
  readonly multipartKey: string | null
  /** Where part 1 of the open multipart upload begins: the end of the last segment. */
  readonly segmentStart: number
  /** Only tails of exactly this generation count at a rebuild. */
  readonly tailGeneration: number
  readonly unverifiedFrom: number | null
  readonly partialOf: UploadId | null
  readonly concatRaw: string | null
  /** `Upload-Metadata` byte for byte as it was sent (latin1), or null. */
  readonly metadataRaw: string | null
  /** The same, parsed: key to value (UTF-8 text where it is valid UTF-8, else base64 of the bytes behind `base64:`). */
  readonly metadata: Readonly<Record<string, string>>
  readonly limits: Readonly<Record<string, number>>
  readonly contentType: string | null
  readonly filename: string | null
  /** CRC-32 of the whole object, where it is known. */
  readonly crc32: number | null
  /** Lower-case hex; written by the post-processing worker. */
  readonly sha256: string | null
  /** How the bytes are encrypted by the service; null: they are stored as they came. */
  readonly encoding: string | null
  /** The key of ENCRYPTION_KEYS that all of `dataKeys` are wrapped with. */
  readonly keyId: string | null
  /** Wrapped data keys: the upload's own, and those of the partial uploads whose bytes are part of it. */
  readonly dataKeys: Readonly<Record<string, string>>
  /** How the bytes of an upload that was put together of several objects are encrypted; null: all as one. */
  readonly layout: Layout | null
  readonly bucket: string | null
  /** The key that counts; set when the finish begins. */
  readonly objectKey: string | null
  readonly expiresAt: number | null
  readonly legalHold: boolean
  /** The seq that the upload's next event gets (1, 2, ...). */
  readonly nextSeq: number
  readonly createdAt: number
  readonly updatedAt: number
  /** When each state was entered. */
  readonly enteredAt: Readonly<Partial<Record<UploadState, number>>>
}

/** The body of a request as the engine takes it: Node's own stream. */
export type Body = Readable
