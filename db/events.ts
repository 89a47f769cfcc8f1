import type { UploadState } from '../server/uploads/words.ts'

/** `upload.created`, ...: one for each state that an upload entered. */
export type EventType = `upload.${UploadState}`

/** What a consumer of an event needs without reading the row. `at` is ISO 8601 in UTC. */
export interface EventPayload {
  readonly id: string
  readonly tenant: string
  readonly owner: string
  readonly state: UploadState
  readonly length: number | null
  readonly contentType: string | null
  readonly filename: string | null
  readonly metadata: Readonly<Record<string, string>>
  readonly bucket: string | null
  readonly objectKey: string | null
  readonly sha256: string | null
  /** True: one piece of a file that a final upload is made of, not a file (tus 1.0, Concatenation). Else absent. */
  readonly partial?: boolean | undefined
  readonly at: string
}

/** The statement's time at the precision that JavaScript has, so that what is read equals what is compared. */
export const NOW = "date_trunc('milliseconds', now())"

/**
 * `insert into outbox` for the states that the row in the CTE `source` entered. `ids` and `states` are the placeholders
 * of two arrays in order; `next_seq` of the row already counts these events.
 */
export function insertEvents(source: string, ids: string, states: string): string {
  return `insert into outbox (event_id, upload_id, seq, type, payload, created_at)
    select e.event_id, u.id, u.next_seq - cardinality(${states}::text[]) + e.ord - 1, 'upload.' || e.state,
      jsonb_build_object(
        'id', u.id, 'tenant', u.tenant, 'owner', u.owner, 'state', e.state, 'length', u.length,
        'contentType', u.content_type, 'filename', u.filename, 'metadata', u.metadata,
        'bucket', u.bucket, 'objectKey', u.object_key, 'sha256', u.sha256,
        'at', to_char(u.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
        || case when u.concat_raw = 'partial'::bytea then '{"partial": true}'::jsonb else '{}'::jsonb end,
      u.updated_at
    from ${source} u, unnest(${ids}::uuid[], ${states}::text[]) with ordinality as e (event_id, state, ord)
    order by e.ord`
}
