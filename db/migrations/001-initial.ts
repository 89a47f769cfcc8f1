import { type Kysely, sql } from 'kysely'

/**
 * Uploads, their history and the outbox. Runs while an older version serves: there is none.
 *
 * The raw headers are bytea because a text column cannot hold every byte (NUL). The outbox has no foreign key: an
 * event outlives its upload, and the check would cost a row lock an event.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const LARGEST = '9007199254740991'

const STATEMENTS = [
  `create table uploads (
    id uuid primary key,
    tenant text not null,
    owner text not null,
    state text not null,
    generation bigint not null default 0,
    length bigint,
    length_deferred boolean not null default false,
    stored_length bigint,
    offset_seen bigint not null default 0,
    part_bytes bigint not null,
    segments jsonb not null default '[]',
    multipart_id text,
    multipart_key text,
    segment_start bigint not null default 0,
    tail_generation bigint not null default 0,
    unverified_from bigint,
    partial_of uuid,
    concat_raw bytea,
    metadata_raw bytea,
    metadata jsonb not null default '{}',
    limits jsonb not null default '{}',
    content_type text,
    filename text,
    crc32 bigint,
    sha256 text,
    encoding text,
    key_id text,
    bucket text,
    object_key text,
    expires_at timestamptz,
    legal_hold boolean not null default false,
    next_seq bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    receiving_at timestamptz,
    finishing_at timestamptz,
    uploaded_at timestamptz,
    processing_at timestamptz,
    available_at timestamptz,
    rejected_at timestamptz,
    terminated_at timestamptz,
    expired_at timestamptz,
    lost_at timestamptz,
    erased_at timestamptz,
    constraint uploads_state_known check (state in ('created', 'receiving', 'finishing', 'uploaded', 'processing',
      'available', 'rejected', 'terminated', 'expired', 'lost', 'erased')),
    constraint uploads_length_safe check (length between 0 and ${LARGEST}),
    constraint uploads_offset_safe check (offset_seen between 0 and ${LARGEST}),
    constraint uploads_crc32_range check (crc32 between 0 and 4294967295),
    constraint uploads_sha256_form check (sha256 ~ '^[0-9a-f]{64}$')
  )`,
  // Ids are UUIDv7, so descending ids are descending creation times: a page is one range of one of these two.
  'create index uploads_of_owner on uploads (tenant, owner, id desc)',
  'create index uploads_of_tenant on uploads (tenant, id desc)',
  // What the sweeper looks for; both stay as small as the number of unfinished uploads.
  "create index uploads_expiring on uploads (expires_at) where state in ('created', 'receiving')",
  "create index uploads_finishing on uploads (updated_at) where state = 'finishing'",

  `create table upload_history (
    id bigint generated always as identity primary key,
    upload_id uuid not null references uploads (id) on delete cascade,
    at timestamptz not null default now(),
    kind text not null,
    generation bigint not null,
    instance text not null,
    "offset" bigint not null,
    detail text
  )`,
  'create index upload_history_of_upload on upload_history (upload_id, id desc)',

  // Who does what only one process may do at a time, like sweeping.
  `create table leases (
    name text primary key,
    holder text not null,
    expires_at timestamptz not null
  )`,

  `create table outbox (
    event_id uuid primary key,
    position bigint generated always as identity,
    upload_id uuid not null,
    seq bigint not null,
    type text not null,
    payload jsonb not null,
    created_at timestamptz not null,
    claimed_until timestamptz,
    published_at timestamptz,
    done_at timestamptz,
    constraint outbox_upload_seq unique (upload_id, seq)
  )`,
  'create index outbox_unpublished on outbox (position) where published_at is null',
  // What the relay looks through for jobs that the queue lost.
  'create index outbox_undone on outbox (event_id) where done_at is null',
]
