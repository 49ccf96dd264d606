-- Up Migration

-- The lane's word for a command that it stops, stored before the stop is sent: whoever brings the outcome says it with this word.
alter table tool_calls add column stopped_as text check (stopped_as in ('cancelled', 'interrupted'));
