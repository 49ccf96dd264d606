/** The schema as text, from Postgres's own catalog, in an order that does not depend on how it came about. */
import pg from 'pg';

const TABLES = `
  select c.relname as name, coalesce(array_to_string(c.reloptions, ', '), '') as options
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'public' and c.relkind in ('r', 'p') order by 1`;
const COLUMNS = `
  select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required,
    a.attidentity <> '' as is_identity, pg_get_expr(d.adbin, d.adrelid) as fallback
  from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = ('public.' || $1)::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum`;
const CONSTRAINTS = `
  select conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
  where conrelid = ('public.' || $1)::regclass and contype <> 'n' order by 1`;
const INDEXES = `
  select pg_get_indexdef(i.indexrelid) as definition from pg_index i
  where i.indrelid = ('public.' || $1)::regclass
    and not exists (select from pg_constraint c where c.conindid = i.indexrelid and c.contype in ('p', 'u')) order by 1`;
const GRANTS = `
  select privilege_type as privilege, grantee, null as columns from information_schema.role_table_grants
  where table_schema = 'public' and table_name = $1 and grantee = $2
  union all
  select privilege_type, grantee, string_agg(column_name, ', ' order by column_name) from information_schema.column_privileges p
  where table_schema = 'public' and table_name = $1 and grantee = $2
    and not exists (select from information_schema.role_table_grants t
                    where t.table_schema = 'public' and t.table_name = $1 and t.grantee = $2
                      and t.privilege_type = p.privilege_type)
  group by 1, 2 order by 1`;
const OTHERS = `
  select 'function ' || p.oid::regprocedure as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public'
  union all
  select 'view ' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public' and c.relkind in ('v', 'm')
  union all
  select 'trigger ' || t.tgname from pg_trigger t where not t.tgisinternal
  order by 1`;

interface Column {
  name: string;
  type: string;
  required: boolean;
  is_identity: boolean;
  fallback: string | null;
}

/** `role`: the one whose grants are shown. */
export async function dumpSchema(url: string, role: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const tables = await client.query<{ name: string; options: string }>(TABLES);
    const parts: string[] = [];
    for (const table of tables.rows) parts.push(await dumpTable(client, table, role));
    const others = await client.query<{ name: string }>(OTHERS);
    parts.push(...others.rows.map(({ name }) => `-- also: ${name}\n`));
    return parts.join('\n');
  } finally {
    await client.end();
  }
}

async function dumpTable(client: pg.Client, table: { name: string; options: string }, role: string): Promise<string> {
  const { name, options } = table;
  const columns = await client.query<Column>(COLUMNS, [name]);
  const constraints = await client.query<{ name: string; definition: string }>(CONSTRAINTS, [name]);
  const indexes = await client.query<{ definition: string }>(INDEXES, [name]);
  const grants = await client.query<{ privilege: string; columns: string | null }>(GRANTS, [name, role]);
  const lines = [
    ...columns.rows.map(toLine),
    ...constraints.rows.map(({ name: constraint, definition }) => `  constraint ${constraint} ${definition}`),
  ];
  return [
    `create table ${name} (\n${lines.join(',\n')}\n)${options === '' ? '' : ` with (${options})`};`,
    ...indexes.rows.map(({ definition }) => `${definition};`),
    ...grants.rows.map(({ privilege, columns: only }) => {
      return `grant ${privilege.toLowerCase()}${only === null ? '' : ` (${only})`} on ${name} to ${role};`;
    }),
    '',
  ].join('\n');
}

function toLine({ name, type, required, is_identity: isIdentity, fallback }: Column): string {
  const parts = [
    `  ${name} ${type}`,
    isIdentity ? ' generated always as identity' : '',
    fallback === null ? '' : ` default ${fallback}`,
    required ? ' not null' : '',
  ];
  return parts.join('');
}
