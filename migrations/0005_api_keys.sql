-- Up Migration

-- Keys of the gateway. The secret itself is shown once and kept nowhere.
create table api_keys (
  -- The key's public part.
  key_id text primary key,
  name text not null,
  -- `service`: every user's turns and machine; `operator`: all of that, and the list of users.
  scope text not null check (scope in ('service', 'operator')),
  -- SHA-256 of the whole key, which holds 256 random bits.
  key_hash bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  revoked_at timestamptz
);
