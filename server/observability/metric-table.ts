/**
 * Every metric, once: kind, labels with all their values, how the values of several processes are put together.
 * The registry is built from this table and docs/metrics.md is generated from it.
 */

export interface MetricRow {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /**
   * Label to its values. `names`: what the code calls its operations and steps, of which at most {@link MAX_NAMES} are
   * kept apart; `codes`: the error codes.
   */
  readonly labels?: Readonly<Record<string, readonly string[] | 'names' | 'codes'>>
  /** Over processes of one instance. Counters and histograms are summed. */
  readonly over?: 'sum' | 'max'
  /** Upper bounds of a histogram. */
  readonly buckets?: readonly number[]
}

/** Names beyond so many are counted as `other`: a label never grows without end. */
export const MAX_NAMES = 64

const SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300]
const STORE_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

export const STATUS_CLASSES = ['2xx', '3xx', '4xx', '5xx', 'none'] as const
export const STORE_OPERATIONS = [
  'put_object',
  'create_multipart',
  'upload_part',
  'list_parts',
  'complete_multipart',
  'copy_part',
  'abort_multipart',
  'head',
  'read',
  'list',
  'remove',
] as const
export const STORE_OUTCOMES = ['ok', 'unavailable', 'error'] as const
export const HOLD_KINDS = ['clean', 'rebuild', 'unclean'] as const
export const FLUSH_REASONS = ['end', 'cut', 'wanted', 'inspect', 'age', 'memory'] as const
export const JOB_OUTCOMES = ['done', 'failed', 'later', 'dead'] as const
export const CONNECTION_STATES = ['idle', 'active', 'waiting'] as const

export const METRICS = {
  http_requests_active: { kind: 'gauge', over: 'sum', help: 'Requests that are being answered now.' },
  http_request_duration_seconds: {
    kind: 'histogram',
    help: 'From the arrival of a request to the end of its answer, body included; `none`: the client left before any answer.',
    labels: { operation: 'names', status: STATUS_CLASSES },
    buckets: SECONDS,
  },

  upload_created_total: { kind: 'counter', help: 'Uploads created.' },
  upload_finished_total: { kind: 'counter', help: 'Uploads whose object became whole.' },
  upload_finished_bytes_total: { kind: 'counter', help: 'Bytes of those.' },
  upload_terminated_total: { kind: 'counter', help: 'Uploads ended by a client or a hook.' },
  upload_expired_total: { kind: 'counter', help: 'Uploads that expired unfinished.' },
  upload_orphans_total: {
    kind: 'counter',
    help: 'Things in the store that no row names, found by the orphan sweep (and removed, unless ORPHAN_DRY_RUN).',
    labels: { kind: ['object', 'tail', 'multipart'] },
  },
  upload_received_bytes_total: { kind: 'counter', help: 'Bytes received in bodies of uploads.' },
  upload_failed_total: {
    kind: 'counter',
    help: 'Requests for uploads that were answered with an error, by its code (docs/errors.md).',
    labels: { code: 'codes' },
  },
  upload_failure_rate: {
    kind: 'gauge',
    over: 'max',
    help: 'Share (0 to 1) of the creations and appends of the last five minutes that failed for a reason of ours (5xx).',
  },
  upload_active: { kind: 'gauge', over: 'sum', help: 'Appends that run now.' },
  upload_memory_bytes: {
    kind: 'gauge',
    over: 'sum',
    help: 'Memory that upload bytes take, in whole pages of a sixteenth of CHUNK_SIZE.',
  },
  upload_memory_budget_bytes: { kind: 'gauge', over: 'sum', help: 'What they may be at most (UPLOAD_MEMORY_MB).' },
  upload_sockets_waiting: { kind: 'gauge', over: 'sum', help: 'Sockets that are paused because the budget is spent.' },
  upload_buffer_pool_blocks: { kind: 'gauge', over: 'sum', help: 'Blocks in the pool that wait to be used again.' },

  storage_request_duration_seconds: {
    kind: 'histogram',
    help: 'Calls to the byte store, retries included.',
    labels: { operation: STORE_OPERATIONS, outcome: STORE_OUTCOMES },
    buckets: STORE_SECONDS,
  },
  storage_writes_in_flight: {
    kind: 'gauge',
    over: 'sum',
    help: 'Writes with a body under way (MAX_CONCURRENT_UPLOADS).',
  },
  storage_writes_waiting: { kind: 'gauge', over: 'sum', help: 'Writes that wait for their turn.' },

  storage_damaged_total: {
    kind: 'counter',
    help: 'Reads that ended because the storage gave back other bytes than service encryption wrote.',
  },
  hold_active: { kind: 'gauge', over: 'sum', help: 'Holds that this process has.' },
  hold_acquired_total: {
    kind: 'counter',
    help: 'Holds acquired: passed on cleanly, after a rebuild of the session, or taken over from a dead holder.',
    labels: { kind: HOLD_KINDS },
  },
  hold_wait_seconds: {
    kind: 'histogram',
    help: 'How long an acquired hold was waited for.',
    buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15],
  },
  hold_flush_total: {
    kind: 'counter',
    help: 'Times that bytes short of a part were made durable, and why.',
    labels: { reason: FLUSH_REASONS },
  },
  hold_flushed_bytes_total: { kind: 'counter', help: 'Bytes of those.', labels: { reason: FLUSH_REASONS } },

  queue_published_total: { kind: 'counter', help: 'Events that went from the outbox into the queue.' },
  queue_republished_total: {
    kind: 'counter',
    help: 'Events published once more because nothing said that they were done.',
  },
  queue_publish_failures_total: { kind: 'counter', help: 'Times that the outbox or the queue was away for the relay.' },
  queue_lag_seconds: {
    kind: 'gauge',
    over: 'max',
    help: 'Age of the oldest event when it was last published; 0 with none.',
  },
  queue_jobs_total: {
    kind: 'counter',
    help: 'Jobs by their end: done, failed (comes again), later (something is away), dead (was the last try).',
    labels: { outcome: JOB_OUTCOMES },
  },
  queue_job_duration_seconds: {
    kind: 'histogram',
    help: 'Tries of jobs.',
    labels: { outcome: JOB_OUTCOMES },
    buckets: SECONDS,
  },
  queue_step_duration_seconds: {
    kind: 'histogram',
    help: 'Post-processing steps that ran to their end.',
    labels: { step: 'names' },
    buckets: SECONDS,
  },

  db_pool_connections: {
    kind: 'gauge',
    over: 'sum',
    help: 'Postgres connections that are idle or active, and calls that wait for one.',
    labels: { state: CONNECTION_STATES },
  },
  redis_connections: {
    kind: 'gauge',
    over: 'sum',
    help: 'Redis command connections that are idle or active, and calls that wait for one.',
    labels: { state: CONNECTION_STATES },
  },

  memory_usage_percent: {
    kind: 'gauge',
    over: 'max',
    help: 'Resident memory of the process, in percent of MEMORY_LIMIT_MB.',
  },
} as const satisfies Record<string, MetricRow>

export type MetricName = keyof typeof METRICS
