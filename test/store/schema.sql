create table api_keys (
  key_id text not null,
  name text not null,
  scope text not null,
  key_hash bytea not null,
  created_at timestamp with time zone default clock_timestamp() not null,
  revoked_at timestamp with time zone,
  constraint api_keys_pkey PRIMARY KEY (key_id),
  constraint api_keys_scope_check CHECK ((scope = ANY (ARRAY['service'::text, 'operator'::text])))
);

create table awake_intervals (
  user_id text not null,
  generation integer not null,
  started_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  constraint awake_intervals_check CHECK ((ended_at >= started_at)),
  constraint awake_intervals_pkey PRIMARY KEY (user_id, generation, started_at),
  constraint awake_intervals_user_id_generation_fkey FOREIGN KEY (user_id, generation) REFERENCES machines(user_id, generation)
);
CREATE UNIQUE INDEX awake_intervals_open ON public.awake_intervals USING btree (user_id, generation) WHERE (ended_at IS NULL);
grant select on awake_intervals to innkeeper_client;

create table machine_leases (
  lease_id text not null,
  user_id text not null,
  generation integer not null,
  kind text not null,
  holder text not null,
  taken_at timestamp with time zone default clock_timestamp() not null,
  expires_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  constraint machine_leases_check CHECK ((expires_at >= taken_at)),
  constraint machine_leases_check1 CHECK ((ended_at >= taken_at)),
  constraint machine_leases_kind_check CHECK ((kind = ANY (ARRAY['terminal'::text, 'files'::text]))),
  constraint machine_leases_pkey PRIMARY KEY (lease_id),
  constraint machine_leases_user_id_generation_fkey FOREIGN KEY (user_id, generation) REFERENCES machines(user_id, generation)
);
CREATE INDEX machine_leases_by_user ON public.machine_leases USING btree (user_id, generation);
CREATE INDEX machine_leases_open ON public.machine_leases USING btree (kind) WHERE (ended_at IS NULL);
CREATE UNIQUE INDEX machine_leases_one_terminal ON public.machine_leases USING btree (user_id) WHERE ((kind = 'terminal'::text) AND (ended_at IS NULL));
grant select on machine_leases to innkeeper_client;

create table machine_requests (
  idempotency_key text not null,
  user_id text not null,
  generation integer not null,
  kind text not null,
  if_match text,
  created_at timestamp with time zone default now() not null,
  settled_at timestamp with time zone,
  constraint machine_requests_kind_check CHECK ((kind = ANY (ARRAY['wake'::text, 'sleep'::text, 'destroy'::text, 'probe'::text, 'bootstrap'::text]))),
  constraint machine_requests_pkey PRIMARY KEY (idempotency_key),
  constraint machine_requests_user_id_generation_fkey FOREIGN KEY (user_id, generation) REFERENCES machines(user_id, generation)
);
CREATE UNIQUE INDEX machine_requests_open ON public.machine_requests USING btree (user_id, generation, kind) WHERE (settled_at IS NULL);

create table machines (
  user_id text not null,
  generation integer not null,
  machine_id text,
  phase text not null,
  create_key text not null,
  vcpu double precision not null,
  memory_mib integer not null,
  storage_gib integer not null,
  autosleep_seconds integer,
  owner_nonce text not null,
  boot_id text,
  home text,
  missing text[] default '{}'::text[] not null,
  slept_at timestamp with time zone,
  woken_at timestamp with time zone,
  replaced_reason text,
  lost_reason text,
  existed_from timestamp with time zone,
  existed_until timestamp with time zone,
  created_at timestamp with time zone default now() not null,
  constraint machines_check CHECK ((existed_until >= existed_from)),
  constraint machines_create_key_key UNIQUE (create_key),
  constraint machines_machine_id_key UNIQUE (machine_id),
  constraint machines_phase_check CHECK ((phase = ANY (ARRAY['provisioning'::text, 'bootstrapping'::text, 'ready'::text, 'sleeping'::text, 'asleep'::text, 'waking'::text, 'failed'::text, 'destroying'::text, 'destroyed'::text]))),
  constraint machines_pkey PRIMARY KEY (user_id, generation),
  constraint machines_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(user_id)
);
CREATE INDEX machines_in_flight ON public.machines USING btree (created_at) WHERE ((machine_id IS NULL) AND (phase <> 'destroyed'::text));
CREATE UNIQUE INDEX machines_one_live_per_user ON public.machines USING btree (user_id) WHERE (phase <> 'destroyed'::text);
grant select (boot_id, created_at, existed_from, existed_until, generation, home, lost_reason, machine_id, memory_mib, missing, phase, replaced_reason, slept_at, storage_gib, user_id, vcpu, woken_at) on machines to innkeeper_client;

create table reconcile_findings (
  finding_id bigint generated always as identity not null,
  kind text not null,
  subject text not null,
  user_id text,
  action text not null,
  reason text,
  outcome text not null,
  code text,
  times_seen integer default 1 not null,
  reconcile_id text not null,
  first_seen_at timestamp with time zone default clock_timestamp() not null,
  last_seen_at timestamp with time zone default clock_timestamp() not null,
  acted_at timestamp with time zone,
  resolved_at timestamp with time zone,
  request_key text,
  request_if_match text,
  constraint reconcile_findings_kind_check CHECK ((kind = ANY (ARRAY['unknown_machine'::text, 'buried_machine'::text, 'machine_gone'::text, 'awake_without_reason'::text, 'creation_unfinished'::text, 'signal_lost'::text, 'lane_not_running'::text, 'cancel_lost'::text, 'destroy_unfinished'::text]))),
  constraint reconcile_findings_outcome_check CHECK ((outcome = ANY (ARRAY['none'::text, 'pending'::text, 'done'::text, 'failed'::text]))),
  constraint reconcile_findings_pkey PRIMARY KEY (finding_id),
  constraint reconcile_findings_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(user_id)
);
CREATE INDEX reconcile_findings_over ON public.reconcile_findings USING btree (resolved_at) WHERE (resolved_at IS NOT NULL);
CREATE UNIQUE INDEX reconcile_findings_open ON public.reconcile_findings USING btree (kind, subject, COALESCE(user_id, ''::text)) WHERE (resolved_at IS NULL);
grant select (acted_at, action, code, finding_id, first_seen_at, kind, last_seen_at, outcome, reason, reconcile_id, resolved_at, subject, times_seen, user_id) on reconcile_findings to innkeeper_client;

create table reconcile_sightings (
  reconcile_id text not null,
  machine_key text not null,
  phase text not null,
  is_ending boolean not null,
  at timestamp with time zone default clock_timestamp() not null,
  constraint reconcile_sightings_pkey PRIMARY KEY (reconcile_id, machine_key)
);

create table rejected_messages (
  id bigint generated always as identity not null,
  workflow_id text not null,
  user_id text,
  signal text not null,
  turn_id text,
  code text not null,
  reason text not null,
  at timestamp with time zone default clock_timestamp() not null,
  constraint rejected_messages_pkey PRIMARY KEY (id)
);
CREATE INDEX rejected_messages_by_workflow ON public.rejected_messages USING btree (workflow_id, id);

create table schema_migrations (
  id integer default nextval('schema_migrations_id_seq'::regclass) not null,
  name character varying(255) not null,
  run_on timestamp without time zone not null,
  constraint schema_migrations_pkey PRIMARY KEY (id)
);
grant select on schema_migrations to innkeeper_client;

create table steps (
  turn_key bigint not null,
  step integer not null,
  try integer default 0 not null,
  finish text,
  model text,
  input_tokens integer,
  output_tokens integer,
  started_at timestamp with time zone default clock_timestamp() not null,
  answered_at timestamp with time zone,
  model_failures integer default 0 not null,
  constraint steps_pkey PRIMARY KEY (turn_key, step),
  constraint steps_turn_key_fkey FOREIGN KEY (turn_key) REFERENCES turns(turn_key)
);
grant select on steps to innkeeper_client;

create table tool_calls (
  turn_key bigint not null,
  step integer not null,
  index integer not null,
  call_id text not null,
  cmd_id text not null,
  tool text not null,
  arguments_json text not null,
  title text not null,
  try integer default 0 not null,
  submitted_generation integer,
  submitted_boot_id text,
  submitted_attachment bigint,
  submitted_at timestamp with time zone,
  outcome text,
  reason text,
  exit_code integer,
  signal text,
  output_bytes bigint,
  output_head bytea,
  output_tail bytea,
  output_hash text,
  shown text,
  guest_started_at timestamp with time zone,
  guest_ended_at timestamp with time zone,
  settled_at timestamp with time zone,
  stopped_as text,
  constraint tool_calls_cmd_id_key UNIQUE (cmd_id),
  constraint tool_calls_outcome_check CHECK ((outcome = ANY (ARRAY['exited'::text, 'signalled'::text, 'timed_out'::text, 'cancelled'::text, 'interrupted'::text, 'unknown'::text, 'invalid'::text]))),
  constraint tool_calls_pkey PRIMARY KEY (turn_key, step, index),
  constraint tool_calls_stopped_as_check CHECK ((stopped_as = ANY (ARRAY['cancelled'::text, 'interrupted'::text]))),
  constraint tool_calls_turn_key_fkey FOREIGN KEY (turn_key) REFERENCES turns(turn_key),
  constraint tool_calls_turn_key_step_fkey FOREIGN KEY (turn_key, step) REFERENCES steps(turn_key, step)
);
CREATE INDEX tool_calls_unsettled ON public.tool_calls USING btree (turn_key) WHERE ((submitted_at IS NOT NULL) AND (outcome IS NULL));
grant select on tool_calls to innkeeper_client;

create table transcript (
  user_id text not null,
  seq bigint not null,
  turn_key bigint,
  step integer,
  kind text not null,
  text text not null,
  at timestamp with time zone default clock_timestamp() not null,
  constraint transcript_kind_check CHECK ((kind = ANY (ARRAY['user'::text, 'assistant'::text, 'note'::text]))),
  constraint transcript_pkey PRIMARY KEY (user_id, seq),
  constraint transcript_turn_key_fkey FOREIGN KEY (turn_key) REFERENCES turns(turn_key),
  constraint transcript_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(user_id)
);
CREATE INDEX transcript_by_turn ON public.transcript USING btree (turn_key);
CREATE UNIQUE INDEX transcript_one_answer_per_step ON public.transcript USING btree (turn_key, step) WHERE (kind = 'assistant'::text);
grant select on transcript to innkeeper_client;

create table turn_deltas (
  turn_key bigint not null,
  step integer not null,
  index integer not null,
  try integer not null,
  n integer not null,
  user_id text not null,
  body jsonb not null,
  constraint turn_deltas_pkey PRIMARY KEY (turn_key, step, index, try, n)
) with (autovacuum_vacuum_scale_factor=0.5, autovacuum_analyze_threshold=10000);
CREATE INDEX turn_deltas_by_user ON public.turn_deltas USING btree (user_id);
grant select on turn_deltas to innkeeper_client;

create table turn_events (
  user_id text not null,
  seq bigint not null,
  turn_key bigint,
  body jsonb not null,
  at timestamp with time zone default clock_timestamp() not null,
  constraint turn_events_pkey PRIMARY KEY (user_id, seq),
  constraint turn_events_turn_key_fkey FOREIGN KEY (turn_key) REFERENCES turns(turn_key),
  constraint turn_events_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(user_id)
);
CREATE INDEX turn_events_by_turn ON public.turn_events USING btree (turn_key, seq);
grant insert (body, seq, turn_key, user_id) on turn_events to innkeeper_client;
grant select on turn_events to innkeeper_client;

create table turns (
  turn_key bigint generated always as identity not null,
  user_id text not null,
  turn_id text not null,
  position bigint not null,
  body_hash text not null,
  prompt text not null,
  state text default 'queued'::text not null,
  error_code text,
  answer text,
  step integer default 0 not null,
  lane bigint,
  cancel_requested_at timestamp with time zone,
  created_at timestamp with time zone default clock_timestamp() not null,
  started_at timestamp with time zone,
  deadline_at timestamp with time zone,
  ended_at timestamp with time zone,
  given_tool text,
  given_arguments text,
  origin text,
  constraint turns_given_whole CHECK ((num_nulls(given_tool, given_arguments, origin) = ANY (ARRAY[0, 3]))),
  constraint turns_origin_check CHECK ((origin = ANY (ARRAY['backend'::text, 'mcp'::text]))),
  constraint turns_pkey PRIMARY KEY (turn_key),
  constraint turns_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))),
  constraint turns_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(user_id),
  constraint turns_user_id_position_key UNIQUE (user_id, "position"),
  constraint turns_user_id_turn_id_key UNIQUE (user_id, turn_id)
);
CREATE INDEX turns_open ON public.turns USING btree (user_id, "position") WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));
CREATE UNIQUE INDEX turns_one_running_per_user ON public.turns USING btree (user_id) WHERE (state = 'running'::text);
grant insert (body_hash, given_arguments, given_tool, origin, position, prompt, turn_id, user_id) on turns to innkeeper_client;
grant select on turns to innkeeper_client;
grant update (cancel_requested_at, ended_at, error_code, state) on turns to innkeeper_client;

create table users (
  user_id text not null,
  workflow_id text not null,
  state text default 'active'::text not null,
  lane bigint default 0 not null,
  lane_run_id text,
  generation integer default 0 not null,
  attachment bigint default 0 not null,
  position bigint default 0 not null,
  event_seq bigint default 0 not null,
  transcript_seq bigint default 0 not null,
  turn_count bigint default 0 not null,
  last_turn_at timestamp with time zone,
  last_error_code text,
  idle_ms bigint,
  created_at timestamp with time zone default now() not null,
  destroyed_at timestamp with time zone,
  constraint users_idle_ms_check CHECK ((idle_ms > 0)),
  constraint users_pkey PRIMARY KEY (user_id),
  constraint users_state_check CHECK ((state = ANY (ARRAY['active'::text, 'destroying'::text, 'destroyed'::text]))),
  constraint users_workflow_id_key UNIQUE (workflow_id)
) with (fillfactor=50);
grant insert (idle_ms, user_id, workflow_id) on users to innkeeper_client;
grant select on users to innkeeper_client;
grant update (destroyed_at, event_seq, idle_ms, last_error_code, position, state, workflow_id) on users to innkeeper_client;
