import { type Kysely, sql } from 'kysely'
import type { UploadId } from '../server/uploads/words.ts'
import type { EventPayload, EventType } from './events.ts'
import { guarded } from './failures.ts'
import type { Tables } from './schema.ts'

/** An event on its way to the queue. Times are milliseconds since 1970. */
export interface OutboxEvent {
  readonly eventId: string
  readonly upload: UploadId
  /** 1, 2, ... within the upload. */
  readonly seq: number
  readonly type: EventType
  readonly payload: EventPayload
  readonly createdAt: number
}

export interface UndoneQuery {
  /** Published at least so long ago, milliseconds. */
  readonly olderThanMs: number
  /** The id of the last event of the page before; absent: from the oldest on. */
  readonly after?: string
  readonly limit: number
}

export interface PruneOptions {
  /** Events created before this (ms since 1970) that are done go. */
  readonly doneBefore: number
  /** So do those published and never done; absent: they stay. */
  readonly undoneBefore?: number
  /** At most so many in one statement. */
  readonly limit: number
}

/** The events as relay and worker see them. Delivery is at least once. Failure: `records_unavailable`. */
export interface Outbox {
  /**
   * Up to `limit` unpublished events for this relay alone during `leaseMs`, oldest first, those of one upload always
   * from its first unpublished one on and in order. Publish in this order; at a failure, skip the rest of that upload.
   */
  claim(limit: number, leaseMs: number): Promise<OutboxEvent[]>
  markPublished(eventIds: readonly string[]): Promise<void>
  /** True for the first call with this id: the effect of the event may be had once. */
  markDone(eventId: string): Promise<boolean>
  /** Published and not done, by event id: what a queue that lost its memory has to be given again. Changes nothing. */
  undone(query: UndoneQuery): Promise<OutboxEvent[]>
  /** What waits to be published: how many, and the age of the oldest (0 when none). */
  pending(): Promise<{ readonly count: number; readonly oldestAgeMs: number }>
  /** Deletes what nobody needs any more; returns how many. */
  prune(options: PruneOptions): Promise<number>
}

export function createOutbox(db: Kysely<Tables>): Outbox {
  return {
    claim: (limit, leaseMs) => guarded(() => claim(db, limit, leaseMs)),
    markPublished: (eventIds) => guarded(() => markPublished(db, eventIds)),
    markDone: (eventId) => guarded(() => markDone(db, eventId)),
    undone: (query) => guarded(() => undone(db, query)),
    pending: () => guarded(() => pending(db)),
    prune: (options) => guarded(() => prune(db, options)),
  }
}

interface ClaimedRow {
  readonly event_id: string
  readonly upload_id: UploadId
  readonly seq: number
  readonly type: EventType
  readonly payload: EventPayload
  readonly created_at: Date
}

/**
 * The first unpublished event of an upload is the lock on all of its events: only who has that one claims those behind
 * it. Otherwise a relay would skip the first one, which another has in hand, and publish the second before it.
 */
async function claim(db: Kysely<Tables>, limit: number, leaseMs: number): Promise<OutboxEvent[]> {
  const { rows } = await sql<ClaimedRow>`
    with heads as (
      select o.upload_id from outbox o
      where o.published_at is null and (o.claimed_until is null or o.claimed_until <= now())
        and not exists (
          select from outbox before
          where before.upload_id = o.upload_id and before.seq < o.seq and before.published_at is null
        )
      order by o.position limit ${limit} for update of o skip locked
    ), batch as (
      select behind.event_id from heads cross join lateral (
        select o.event_id, o.position from outbox o
        where o.upload_id = heads.upload_id and o.published_at is null order by o.seq limit ${limit}
      ) behind order by behind.position limit ${limit}
    ), claimed as (
      update outbox o set claimed_until = now() + ${leaseMs}::double precision * interval '1 millisecond'
      from batch where o.event_id = batch.event_id and o.published_at is null
      returning o.*
    )
    select event_id, upload_id, seq, type, payload, created_at from claimed order by position`.execute(db)
  return rows.map(toEvent)
}

function toEvent(row: ClaimedRow): OutboxEvent {
  return {
    eventId: row.event_id,
    upload: row.upload_id,
    seq: row.seq,
    type: row.type,
    payload: row.payload,
    createdAt: row.created_at.getTime(),
  }
}

async function markPublished(db: Kysely<Tables>, eventIds: readonly string[]): Promise<void> {
  if (eventIds.length === 0) return
  await sql`update outbox set published_at = now(), claimed_until = null
    where event_id = any(${[...eventIds]}::uuid[]) and published_at is null`.execute(db)
}

async function markDone(db: Kysely<Tables>, eventId: string): Promise<boolean> {
  const { rows } = await sql`update outbox set done_at = now()
    where event_id = ${eventId} and done_at is null returning event_id`.execute(db)
  return rows.length === 1
}

async function undone(db: Kysely<Tables>, { olderThanMs, after, limit }: UndoneQuery): Promise<OutboxEvent[]> {
  const { rows } = await sql<ClaimedRow>`
    select event_id, upload_id, seq, type, payload, created_at from outbox
    where done_at is null and published_at <= now() - ${olderThanMs}::double precision * interval '1 millisecond'
      and event_id > ${after ?? firstIdAt(0)}
    order by event_id limit ${limit}`.execute(db)
  return rows.map(toEvent)
}

async function pending(db: Kysely<Tables>): Promise<{ count: number; oldestAgeMs: number }> {
  const { rows } = await sql<{ count: number; age: number }>`
    select count(*) as count,
      greatest(coalesce(extract(epoch from now() - min(created_at)) * 1000, 0), 0)::double precision as age
    from outbox where published_at is null`.execute(db)
  return { count: rows[0]?.count ?? 0, oldestAgeMs: rows[0]?.age ?? 0 }
}

/** Event ids are UUIDv7: what is older than a time is one range of the primary key. */
async function prune(db: Kysely<Tables>, { doneBefore, undoneBefore, limit }: PruneOptions): Promise<number> {
  const done = sql`event_id < ${firstIdAt(doneBefore)} and done_at is not null`
  const undone = sql`event_id < ${firstIdAt(undoneBefore ?? 0)} and published_at is not null`
  const { rows } = await sql`
    with old as (
      select event_id from outbox where event_id < ${firstIdAt(Math.max(doneBefore, undoneBefore ?? 0))}
        and ((${done}) or (${undone}))
      order by event_id limit ${limit} for update skip locked
    )
    delete from outbox using old where outbox.event_id = old.event_id returning outbox.event_id`.execute(db)
  return rows.length
}

/** The smallest UUIDv7 of a millisecond. */
function firstIdAt(ms: number): string {
  const hex = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`
}
