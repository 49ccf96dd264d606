-- Up Migration

-- One row per chat user. Its row lock orders everything that belongs to the user.
create table users (
  user_id text primary key,
  -- The lane's workflow id: plain, or made from a keyed hash of the user id.
  workflow_id text not null unique,
  state text not null default 'active' check (state in ('active', 'destroying', 'destroyed')),
  -- The workflow run that owns the lane, and its number, which grows with every change of the owner.
  lane bigint not null default 0,
  lane_run_id text,
  -- Counters that only grow, destroy included.
  generation integer not null default 0,
  attachment bigint not null default 0,
  position bigint not null default 0,
  event_seq bigint not null default 0,
  transcript_seq bigint not null default 0,
  -- Of turns that ran; a turn cancelled while it waited is not among them.
  turn_count bigint not null default 0,
  last_turn_at timestamptz,
  last_error_code text,
  -- null: the deployment's default.
  idle_ms bigint check (idle_ms > 0),
  created_at timestamptz not null default now(),
  destroyed_at timestamptz
)
-- Room for the row's next versions on its own page: it changes with every step.
with (fillfactor = 50);

-- The machine ledger: a row is written before the provider is called, and stays as a tombstone.
create table machines (
  user_id text not null references users,
  generation integer not null,
  machine_id text unique,
  phase text not null check (phase in
    ('provisioning', 'bootstrapping', 'ready', 'sleeping', 'asleep', 'waking', 'failed', 'destroying', 'destroyed')),
  create_key text not null unique,
  vcpu double precision not null,
  memory_mib integer not null,
  storage_gib integer not null,
  -- Part of the create request's body, so stored with its key; null: not sent.
  autosleep_seconds integer,
  owner_nonce text not null,
  boot_id text,
  home text,
  missing text[] not null default '{}',
  -- What the agent is told: when it last fell asleep and woke, why its predecessor was replaced.
  slept_at timestamptz,
  woken_at timestamptz,
  replaced_reason text,
  -- Why this one failed or was given up; the next generation's replaced_reason.
  lost_reason text,
  -- By the provider's clock.
  existed_from timestamptz,
  existed_until timestamptz,
  created_at timestamptz not null default now(),
  primary key (user_id, generation),
  check (existed_until >= existed_from)
);
create unique index machines_one_live_per_user on machines (user_id) where phase <> 'destroyed';

-- One idempotency key per request to the provider (route and If-Match), stored before it is sent and reused by its retries.
create table machine_requests (
  idempotency_key text primary key,
  user_id text not null,
  generation integer not null,
  kind text not null check (kind in ('wake', 'sleep', 'destroy', 'probe', 'bootstrap')),
  if_match text,
  created_at timestamptz not null default now(),
  -- Set when the request was answered: the next one of its kind gets a key of its own.
  settled_at timestamptz,
  foreign key (user_id, generation) references machines
);
create unique index machine_requests_open on machine_requests (user_id, generation, kind) where settled_at is null;

-- Metering, by the provider's timestamps.
create table awake_intervals (
  user_id text not null,
  generation integer not null,
  started_at timestamptz not null,
  ended_at timestamptz,
  foreign key (user_id, generation) references machines,
  primary key (user_id, generation, started_at),
  check (ended_at >= started_at)
);
create unique index awake_intervals_open on awake_intervals (user_id, generation) where ended_at is null;

create table turns (
  turn_key bigint generated always as identity primary key,
  user_id text not null references users,
  turn_id text not null,
  position bigint not null,
  body_hash text not null,
  prompt text not null,
  state text not null default 'queued' check (state in ('queued', 'running', 'completed', 'failed', 'cancelled')),
  error_code text,
  answer text,
  step integer not null default 0,
  -- Number of the lane that runs it.
  lane bigint,
  cancel_requested_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  deadline_at timestamptz,
  ended_at timestamptz,
  unique (user_id, turn_id),
  unique (user_id, position)
);
create index turns_open on turns (user_id, position) where state in ('queued', 'running');
create unique index turns_one_running_per_user on turns (user_id) where state = 'running';

-- One model call. A row appears with its first try; `answered_at` is set with its one result.
create table steps (
  turn_key bigint not null references turns,
  step integer not null,
  try integer not null default 0,
  finish text,
  model text,
  input_tokens integer,
  output_tokens integer,
  started_at timestamptz not null default clock_timestamp(),
  answered_at timestamptz,
  primary key (turn_key, step)
);

create table tool_calls (
  turn_key bigint not null references turns,
  step integer not null,
  index integer not null,
  -- The model's own id of the call.
  call_id text not null,
  cmd_id text not null unique,
  tool text not null,
  arguments_json text not null,
  title text not null,
  try integer not null default 0,
  -- Set before anything is sent: under which machine and boot.
  submitted_generation integer,
  submitted_boot_id text,
  submitted_attachment bigint,
  submitted_at timestamptz,
  outcome text check (outcome in ('exited', 'signalled', 'timed_out', 'cancelled', 'interrupted', 'unknown', 'invalid')),
  reason text,
  exit_code integer,
  signal text,
  output_bytes bigint,
  output_head bytea,
  output_tail bytea,
  output_hash text,
  -- What the model and the event log are shown.
  shown text,
  -- By the guest's clock.
  guest_started_at timestamptz,
  guest_ended_at timestamptz,
  settled_at timestamptz,
  primary key (turn_key, step, index),
  foreign key (turn_key, step) references steps
);
create index tool_calls_unsettled on tool_calls (turn_key) where submitted_at is not null and outcome is null;

-- The canonical record of what was said; tool output stays with its call.
create table transcript (
  user_id text not null references users,
  seq bigint not null,
  turn_key bigint references turns,
  step integer,
  kind text not null check (kind in ('user', 'assistant', 'note')),
  text text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (user_id, seq)
);
create index transcript_by_turn on transcript (turn_key);
-- One result per step.
create unique index transcript_one_answer_per_step on transcript (turn_key, step) where kind = 'assistant';

create table turn_events (
  user_id text not null references users,
  seq bigint not null,
  turn_key bigint references turns,
  body jsonb not null,
  at timestamptz not null default clock_timestamp(),
  primary key (user_id, seq)
);
create index turn_events_by_turn on turn_events (turn_key, seq);

-- Messages that reached a lane and could not be taken. Never holds what was sent.
create table rejected_messages (
  id bigint generated always as identity primary key,
  workflow_id text not null,
  user_id text,
  signal text not null,
  turn_id text,
  code text not null,
  reason text not null,
  at timestamptz not null default clock_timestamp()
);
create index rejected_messages_by_workflow on rejected_messages (workflow_id, id);
