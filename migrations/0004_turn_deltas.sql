-- Up Migration

-- Live text: what a model says and a command prints before it is complete. Rows go when the durable event of their part comes.
-- Unlogged: a crash of Postgres empties it, and followers are told what they have missed when the part is complete.
create unlogged table turn_deltas (
  turn_key bigint not null,
  step integer not null,
  -- Of the tool call whose output this is; -1: the model's answer.
  index integer not null,
  -- Number of the try that said it, and its place within the try; 0 says that what earlier tries said is void.
  try integer not null,
  n integer not null,
  user_id text not null,
  body jsonb not null,
  primary key (turn_key, step, index, try, n)
) with (autovacuum_vacuum_scale_factor = 0.5, autovacuum_analyze_threshold = 10000);
create index turn_deltas_by_user on turn_deltas (user_id);
