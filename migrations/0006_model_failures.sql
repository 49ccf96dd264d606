-- Up Migration

-- Times that the model failed at the step, as far as they are known. Other attempts were lost to Postgres or to a worker's end.
alter table steps add column model_failures integer not null default 0;
