-- Up Migration

-- What the reconciler found: one row for as long as it lasts, however often it is found again.
create table reconcile_findings (
  finding_id bigint generated always as identity primary key,
  kind text not null check (kind in
    ('unknown_machine', 'buried_machine', 'machine_gone', 'awake_without_reason', 'creation_unfinished', 'signal_lost',
     'lane_not_running', 'cancel_lost', 'destroy_unfinished')),
  -- The machine's id, the turn's id, or the lane's workflow id.
  subject text not null,
  -- null: a machine that nobody knows.
  user_id text references users,
  -- What was done about it last, why just that, and what came of it; a code where it failed.
  action text not null,
  reason text,
  outcome text not null check (outcome in ('none', 'pending', 'done', 'failed')),
  code text,
  times_seen integer not null default 1,
  -- The reconcile that saw it last.
  reconcile_id text not null,
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  acted_at timestamptz,
  -- Set by the first whole reconcile that did not find it again.
  resolved_at timestamptz,
  -- Of the request that destroys a machine: stored before it is sent, for one revision.
  request_key text,
  request_if_match text
);
create unique index reconcile_findings_open on reconcile_findings (kind, subject, coalesce(user_id, ''))
  where resolved_at is null;
create index reconcile_findings_over on reconcile_findings (resolved_at) where resolved_at is not null;

-- What the provider's list said of machines of the ledger, for as long as one reconcile compares it.
create table reconcile_sightings (
  reconcile_id text not null,
  -- The machine's id in one spelling of several.
  machine_key text not null,
  phase text not null,
  is_ending boolean not null,
  at timestamptz not null default clock_timestamp(),
  primary key (reconcile_id, machine_key)
);

-- A create whose machine is not known yet may own any unknown one.
create index machines_in_flight on machines (created_at) where machine_id is null and phase <> 'destroyed';
