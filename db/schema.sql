create table leases (
  name text not null,
  holder text not null,
  expires_at timestamp with time zone not null,
  constraint leases_pkey PRIMARY KEY (name)
);

create table outbox (
  event_id uuid not null,
  "position" bigint not null generated always as identity,
  upload_id uuid not null,
  seq bigint not null,
  type text not null,
  payload jsonb not null,
  created_at timestamp with time zone not null,
  claimed_until timestamp with time zone,
  published_at timestamp with time zone,
  done_at timestamp with time zone,
  constraint outbox_pkey PRIMARY KEY (event_id),
  constraint outbox_upload_seq UNIQUE (upload_id, seq)
);
CREATE INDEX outbox_undone ON public.outbox USING btree (event_id) WHERE (done_at IS NULL);
CREATE INDEX outbox_unpublished ON public.outbox USING btree ("position") WHERE (published_at IS NULL);

create table upload_history (
  id bigint not null generated always as identity,
  upload_id uuid not null,
  at timestamp with time zone not null default now(),
  kind text not null,
  generation bigint not null,
  instance text not null,
  "offset" bigint not null,
  detail text,
  constraint upload_history_pkey PRIMARY KEY (id),
  constraint upload_history_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id) ON DELETE CASCADE
);
CREATE INDEX upload_history_of_upload ON public.upload_history USING btree (upload_id, id DESC);

create table uploads (
  id uuid not null,
  tenant text not null,
  owner text not null,
  state text not null,
  generation bigint not null default 0,
  length bigint,
  length_deferred boolean not null default false,
  stored_length bigint,
  offset_seen bigint not null default 0,
  part_bytes bigint not null,
  segments jsonb not null default '[]'::jsonb,
  multipart_id text,
  multipart_key text,
  segment_start bigint not null default 0,
  tail_generation bigint not null default 0,
  unverified_from bigint,
  partial_of uuid,
  concat_raw bytea,
  metadata_raw bytea,
  metadata jsonb not null default '{}'::jsonb,
  limits jsonb not null default '{}'::jsonb,
  content_type text,
  filename text,
  crc32 bigint,
  sha256 text,
  encoding text,
  key_id text,
  bucket text,
  object_key text,
  expires_at timestamp with time zone,
  legal_hold boolean not null default false,
  next_seq bigint not null default 1,
  created_at timestamp with time zone not null,
  updated_at timestamp with time zone not null,
  receiving_at timestamp with time zone,
  finishing_at timestamp with time zone,
  uploaded_at timestamp with time zone,
  processing_at timestamp with time zone,
  available_at timestamp with time zone,
  rejected_at timestamp with time zone,
  terminated_at timestamp with time zone,
  expired_at timestamp with time zone,
  lost_at timestamp with time zone,
  erased_at timestamp with time zone,
  data_keys jsonb not null default '{}'::jsonb,
  layout jsonb,
  constraint uploads_crc32_range CHECK (((crc32 >= 0) AND (crc32 <= '4294967295'::bigint))),
  constraint uploads_length_safe CHECK (((length >= 0) AND (length <= '9007199254740991'::bigint))),
  constraint uploads_offset_safe CHECK (((offset_seen >= 0) AND (offset_seen <= '9007199254740991'::bigint))),
  constraint uploads_pkey PRIMARY KEY (id),
  constraint uploads_sha256_form CHECK ((sha256 ~ '^[0-9a-f]{64}$'::text)),
  constraint uploads_state_known CHECK ((state = ANY (ARRAY['created'::text, 'receiving'::text, 'finishing'::text, 'uploaded'::text, 'processing'::text, 'available'::text, 'rejected'::text, 'terminated'::text, 'expired'::text, 'lost'::text, 'erased'::text])))
);
CREATE INDEX uploads_expiring ON public.uploads USING btree (expires_at) WHERE (state = ANY (ARRAY['created'::text, 'receiving'::text]));
CREATE INDEX uploads_finishing ON public.uploads USING btree (updated_at) WHERE (state = 'finishing'::text);
CREATE INDEX uploads_of_final ON public.uploads USING btree (partial_of) WHERE (partial_of IS NOT NULL);
CREATE INDEX uploads_of_key ON public.uploads USING btree (key_id, id) WHERE (data_keys <> '{}'::jsonb);
CREATE INDEX uploads_of_owner ON public.uploads USING btree (tenant, owner, id DESC);
CREATE INDEX uploads_of_tenant ON public.uploads USING btree (tenant, id DESC);
CREATE INDEX uploads_partials_due ON public.uploads USING btree (expires_at) WHERE ((state = 'uploaded'::text) AND (expires_at IS NOT NULL));
