-- Up Migration

-- A turn that is one tool call, given with it in place of a message for the model: the tool, its arguments as JSON text (which `jsonb`
-- could not hold with every content of a file), and which way it came in. All null: a message.
alter table turns
  add column given_tool text,
  add column given_arguments text,
  add column origin text check (origin in ('backend', 'mcp')),
  add constraint turns_given_whole check (num_nulls(given_tool, given_arguments, origin) in (0, 3));
