/**
 * What can be told of an upload: one event for each state it entered, in the order of `seq`. Delivered at least
 * once and in no promised order; a repeat has the same event id.
 */
import { z } from 'zod'
import { parseUploadId } from '../server/uploads/id.ts'
import { UPLOAD_STATES } from '../server/uploads/states.ts'
import type { UploadId } from '../server/uploads/words.ts'
import type { EventPayload, EventType, OutboxEvent } from './ports.ts'
import type { Message } from './queue/port.ts'

export type { EventPayload, EventType } from './ports.ts'

/** With the object's place: it is whole. */
export interface ObjectPayload extends EventPayload {
  readonly objectKey: string
}

/** The events, and what comes with each: the upload as it was when the event was committed. */
export interface UploadEvents {
  /** The upload exists; no byte of it need be there. A whole file in one request is `upload.uploaded` right after. */
  'upload.created': EventPayload
  /** Its first bytes are being received (again after a finish whose bytes turned out short). */
  'upload.receiving': EventPayload
  /** All bytes are durable; the object is being made of them. */
  'upload.finishing': EventPayload
  /** The object is whole. Post-processing begins with this event. */
  'upload.uploaded': ObjectPayload
  /** A worker began the post-processing steps. */
  'upload.processing': ObjectPayload
  /** Every step succeeded (`sha256` is known), or a person released a rejected upload: the file may be used. */
  'upload.available': ObjectPayload
  /** A step found something that must not be handed out. */
  'upload.rejected': ObjectPayload
  /** Its owner or an operator ended it, or a pre-finish hook refused it; the bytes are gone or about to go. */
  'upload.terminated': EventPayload
  /** No byte came for too long before it was complete. */
  'upload.expired': EventPayload
  /** The store no longer has its bytes. */
  'upload.lost': EventPayload
  /** Its bytes were removed for good, at the owner's wish or by retention. */
  'upload.erased': EventPayload
}

/** One event as listeners get it. */
export type UploadEvent<T extends EventType = EventType> = {
  readonly [K in T]: {
    /** A UUIDv7: what makes a repeat recognizable. */
    readonly id: string
    readonly type: K
    readonly uploadId: UploadId
    /** 1, 2, ... within the upload. */
    readonly seq: number
    /** When it was committed, milliseconds since 1970. */
    readonly at: number
    readonly payload: UploadEvents[K]
  }
}[T]

const payload = {
  id: z.string(),
  tenant: z.string(),
  owner: z.string(),
  state: z.enum(UPLOAD_STATES),
  length: z.number().int().nonnegative().nullable(),
  contentType: z.string().nullable(),
  filename: z.string().nullable(),
  metadata: z.record(z.string(), z.string()),
  bucket: z.string().nullable(),
  objectKey: z.string().nullable(),
  sha256: z.string().nullable(),
  partial: z.boolean().optional(),
  at: z.string(),
}

const PLAIN = z.object(payload)
const WITH_OBJECT = z.object({ ...payload, objectKey: z.string() })

const PAYLOADS = {
  'upload.created': PLAIN,
  'upload.receiving': PLAIN,
  'upload.finishing': PLAIN,
  'upload.uploaded': WITH_OBJECT,
  'upload.processing': WITH_OBJECT,
  'upload.available': WITH_OBJECT,
  'upload.rejected': WITH_OBJECT,
  'upload.terminated': PLAIN,
  'upload.expired': PLAIN,
  'upload.lost': PLAIN,
  'upload.erased': PLAIN,
} satisfies { [T in EventType]: z.ZodType<UploadEvents[T]> }

const UPLOAD_ID = z.string().transform((text, context) => {
  const id = parseUploadId(text)
  if (id) return id
  context.addIssue({ code: 'custom', message: 'not an upload id' })
  return z.NEVER
})

function envelope<T extends EventType>(type: T) {
  return z.object({
    id: z.uuid(),
    type: z.literal(type),
    uploadId: UPLOAD_ID,
    seq: z.number().int().positive(),
    at: z.number().int().nonnegative(),
    payload: PAYLOADS[type],
  })
}

const EVENT = z.discriminatedUnion('type', [
  envelope('upload.created'),
  envelope('upload.receiving'),
  envelope('upload.finishing'),
  envelope('upload.uploaded'),
  envelope('upload.processing'),
  envelope('upload.available'),
  envelope('upload.rejected'),
  envelope('upload.terminated'),
  envelope('upload.expired'),
  envelope('upload.lost'),
  envelope('upload.erased'),
])

/** The event in a job's body. Members that a newer version added are dropped. Throws Error with what is wrong where. */
export function parseEvent(body: unknown): UploadEvent {
  const result = EVENT.safeParse(body)
  if (result.success) return result.data
  const faults = result.error.issues.map(({ path, message }) => `${path.join('.') || 'event'}: ${message}`)
  throw new Error(`this is no event that this version knows (${faults.join('; ')})`)
}

/** The event as it lies in the queue. */
export function toMessage({ eventId, type, upload, seq, createdAt, payload }: OutboxEvent): Message {
  return { id: eventId, name: type, body: { id: eventId, type, uploadId: upload, seq, at: createdAt, payload } }
}
