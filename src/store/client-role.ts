/**
 * The limited role `innkeeper_client`: admission and reads, for backends that use the client library. It cannot log in by itself:
 *
 *   create role chat_backend login password '…';
 *   grant innkeeper_client to chat_backend;
 *
 * and the backend's DATABASE_URL names `chat_backend`. It may admit and cancel turns, create users and ask for their destruction,
 * and read everything except idempotency keys and owner nonces. It cannot touch machines, answers, tool calls or metering.
 */
import pg from 'pg';

export const CLIENT_ROLE = 'innkeeper_client';

const INSUFFICIENT_PRIVILEGE = '42501';
/** Another database of the cluster was migrated at the same moment: roles belong to the cluster. */
const ROLE_EXISTS = new Set(['42710', '23505']);

/** One at a time per database: two grants on one table at once fail. */
const LOCK = `select pg_advisory_xact_lock(hashtext('innkeeper client role'))`;

const MACHINE_COLUMNS = [
  ...[
    'user_id',
    'generation',
    'machine_id',
    'phase',
    'vcpu',
    'memory_mib',
    'storage_gib',
    'boot_id',
    'home',
    'missing',
  ],
  ...['slept_at', 'woken_at', 'replaced_reason', 'lost_reason', 'existed_from', 'existed_until', 'created_at'],
].join(', ');

const FINDING_COLUMNS = [
  ...['finding_id', 'kind', 'subject', 'user_id', 'action', 'reason', 'outcome', 'code', 'times_seen', 'reconcile_id'],
  ...['first_seen_at', 'last_seen_at', 'acted_at', 'resolved_at'],
].join(', ');

/** Privileges of older releases that the list no longer has go first. */
const GRANTS = `
  revoke all on all tables in schema public from ${CLIENT_ROLE};
  grant usage on schema public to ${CLIENT_ROLE};
  grant select on users, turns, steps, tool_calls, transcript, turn_events, turn_deltas, awake_intervals, machine_leases,
    schema_migrations to ${CLIENT_ROLE};
  grant select (${MACHINE_COLUMNS}) on machines to ${CLIENT_ROLE};
  grant select (${FINDING_COLUMNS}) on reconcile_findings to ${CLIENT_ROLE};
  grant insert (user_id, workflow_id, idle_ms), update (state, workflow_id, position, event_seq, idle_ms, destroyed_at,
    last_error_code) on users to ${CLIENT_ROLE};
  grant insert (user_id, turn_id, position, body_hash, prompt, given_tool, given_arguments, origin),
    update (state, error_code, cancel_requested_at, ended_at) on turns to ${CLIENT_ROLE};
  grant insert (user_id, seq, turn_key, body) on turn_events to ${CLIENT_ROLE};
`;

/** Makes the role where it is missing, and gives it its rights in this database. Where that is not allowed it says what to do. */
export async function grantClientRole(client: pg.Client, log: { warn(message: string): void }): Promise<void> {
  const known = await client.query('select 1 from pg_roles where rolname = $1', [CLIENT_ROLE]);
  if (known.rowCount === 0 && !(await createRole(client))) {
    log.warn(
      `This database user may not create roles, so the limited role for backends is missing. If you want it, let a user with ` +
        `CREATEROLE run "create role ${CLIENT_ROLE} nologin", then migrate again.`,
    );
    return;
  }
  await client.query('begin');
  try {
    await client.query(LOCK);
    await client.query(GRANTS);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined); // The connection broke; the first error says it.
    if (!hasState(error, INSUFFICIENT_PRIVILEGE)) throw error;
    log.warn(
      `This database user may not grant rights on the tables, so the limited role ${CLIENT_ROLE} keeps what it had. Migrate as ` +
        `the tables' owner.`,
    );
  }
}

/** False where this user may not. */
async function createRole(client: pg.Client): Promise<boolean> {
  try {
    await client.query(`create role ${CLIENT_ROLE} nologin`);
    return true;
  } catch (error) {
    if (hasState(error, INSUFFICIENT_PRIVILEGE)) return false;
    if (error instanceof pg.DatabaseError && ROLE_EXISTS.has(error.code ?? '')) return true;
    throw error;
  }
}

function hasState(error: unknown, state: string): boolean {
  return error instanceof pg.DatabaseError && error.code === state;
}
