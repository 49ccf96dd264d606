-- Up Migration

-- What keeps a machine awake besides turns: a person at its terminal, a transfer of files. Each ends by itself at `expires_at`.
create table machine_leases (
  lease_id text primary key,
  user_id text not null,
  generation integer not null,
  kind text not null check (kind in ('terminal', 'files')),
  -- Who: a key of the gateway, or the user.
  holder text not null,
  taken_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  -- Set when it is given up, or by the first who finds it dead.
  ended_at timestamptz,
  foreign key (user_id, generation) references machines,
  check (expires_at >= taken_at),
  check (ended_at >= taken_at)
);
create index machine_leases_by_user on machine_leases (user_id, generation);
-- One keyboard.
create unique index machine_leases_one_terminal on machine_leases (user_id) where kind = 'terminal' and ended_at is null;
