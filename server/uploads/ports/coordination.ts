import type { Part, Tail, UploadId } from '../words.ts'

/** The working state of an unfinished upload: a fast copy of what row and store can rebuild. */
export interface Session {
  /** Equal to the row's while nobody raised it. */
  readonly generation: number
  readonly multipartId: string | null
  /** Where part 1 of the open multipart upload begins. */
  readonly start: number
  /** Durable bytes: parts, then tails. */
  readonly offset: number
  /** The chain of tails that covers [last full part, offset), in order. */
  readonly tails: readonly Tail[]
  /** True once any tail was written under this generation: there is something to list and delete at the finish. */
  readonly tailed: boolean
}

/** Answer to {@link Coordination.take}. */
export type Taken =
  /** Somebody else holds it and its lease runs. */
  | { readonly kind: 'held'; readonly holder: string; readonly leaseLeftMs: number }
  /** Taken, but there is no usable session (none, half rebuilt, or written under another primary): rebuild. */
  | { readonly kind: 'rebuild' }
  /** Taken; the last holder released it with everything answered and saved. */
  | { readonly kind: 'clean'; readonly session: Session }
  /** Taken; the last holder's lease ran out or it released uncleanly. The session is as it was at that moment. */
  | { readonly kind: 'unclean'; readonly session: Session }

/** What a HEAD may see without taking anything. */
export type Peek =
  | { readonly kind: 'missing' }
  /** Released cleanly: `session.offset` is the answer. */
  | { readonly kind: 'free'; readonly session: Session }
  | { readonly kind: 'held'; readonly holder: string; readonly session: Session | null }
  /** The lease ran out, or it was released uncleanly. */
  | { readonly kind: 'dead' }

/** Did the script find the caller's token? `gone`: no session or another primary. `other`: somebody else's token. */
export type Kept = 'kept' | 'gone' | 'other'

/** What one instance says to another. */
export type Message =
  /** "I need the hold of this upload": flush, save, release, then answer `free`. */
  | { readonly type: 'release'; readonly upload: UploadId; readonly from: string }
  /** "How far is it?": flush and answer `offset`, without letting go (unless the body stalls). */
  | { readonly type: 'flush'; readonly upload: UploadId; readonly from: string }
  | { readonly type: 'free'; readonly upload: UploadId }
  | { readonly type: 'offset'; readonly upload: UploadId; readonly offset: number }

/**
 * Who may write an upload, and the session of it. Every call but `take`, `peek` and `tell` names the token of
 * the hold and changes nothing when another token is there. Times are the driver's own clock (Redis TIME).
 * Failure: `coordination_unavailable`.
 */
export interface Coordination {
  /** This process's name on the message channels. */
  readonly instance: string

  /** Put `token` in place if nobody's lease runs; one atomic step. A lease is `leaseMs` from now. */
  take(upload: UploadId, token: string, leaseMs: number): Promise<Taken>
  /** Lengthen the leases of several holds in one round trip; answers in order. */
  renew(holds: readonly { readonly upload: UploadId; readonly token: string }[], leaseMs: number): Promise<Kept[]>
  /**
   * Replace the session and record `parts` (added to those recorded before under this multipart id, by number).
   * `release`: and let go cleanly in the same atomic step; the answer is then `released`. A driver may leave that out
   * and answer `kept`.
   */
  save(
    upload: UploadId,
    token: string,
    session: Session,
    parts?: readonly Part[],
    release?: boolean,
  ): Promise<Kept | 'released'>
  /** The recorded parts of the session's multipart upload, by number. Read at the finish only. */
  parts(upload: UploadId, token: string): Promise<{ kept: Kept; parts: Part[] }>
  /** Let go. `clean`: everything sent was answered and saved, so the next holder may go on from the session. */
  release(upload: UploadId, token: string, clean: boolean): Promise<Kept>
  /** Let go and forget the session: the upload is finished or gone. */
  drop(upload: UploadId, token: string): Promise<Kept>
  peek(upload: UploadId): Promise<Peek>

  /** At most once, best effort: a message may be lost. Telling one's own instance works too. */
  tell(instance: string, message: Message): Promise<void>
  /** One handler a process. */
  listen(handler: (message: Message) => void): Promise<void>

  /** Throws when it does not answer. */
  ping(signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}
