/** The record in Postgres, read by SQL of the story's own. */
import pg from 'pg';

export interface TurnRow {
  readonly turnKey: string;
  readonly turnId: string;
  readonly position: number;
  readonly state: string;
  readonly errorCode: string | null;
  readonly answer: string | null;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  /** Events that say that it ended. */
  readonly ends: number;
}

export interface CallRow {
  readonly cmdId: string;
  readonly outcome: string | null;
  readonly exitCode: number | null;
  readonly outputHash: string | null;
  readonly tries: number;
  readonly shown: string;
}

export interface MachineRow {
  readonly machineId: string;
  readonly generation: number;
  readonly phase: string;
  readonly bootId: string | null;
  readonly missing: readonly string[];
  readonly sleptAt: Date | null;
  readonly wokenAt: Date | null;
}

export interface DatabaseRecord {
  turns(userId: string): Promise<TurnRow[]>;
  /** Tool calls of one turn, in order. */
  calls(turn: { userId: string; turnId: string }): Promise<CallRow[]>;
  /** The live machine; undefined where there is none. */
  machine(userId: string): Promise<MachineRow | undefined>;
  /** Phases that the user's machine went through, in order. */
  phases(userId: string): Promise<string[]>;
  /** Requests of one kind that were sent to the provider for a machine: each has its stored key. */
  requestKeys(userId: string, kind: string): Promise<string[]>;
  close(): Promise<void>;
}

export function openDatabaseRecord(url: string): DatabaseRecord {
  const pool = new pg.Pool({ connectionString: url, max: 2, application_name: 'innkeeper-story' });
  pool.on('error', () => undefined); // An idle connection broke: the next question opens another.
  const rows = async <R extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<R[]> =>
    (await pool.query<R>(text, values)).rows;
  return {
    turns: (userId) =>
      rows<TurnRow>(
        `select t.turn_key::text as "turnKey", t.turn_id as "turnId", t.position::int as position, t.state, t.answer,
           t.error_code as "errorCode", t.created_at as "createdAt", t.started_at as "startedAt", t.ended_at as "endedAt",
           (select count(*)::int from turn_events e where e.turn_key = t.turn_key and e.body->>'type' = 'turn.ended') as ends
         from turns t where t.user_id = $1 order by t.position`,
        [userId],
      ),
    calls: ({ userId, turnId }) =>
      rows<CallRow>(
        `select c.cmd_id as "cmdId", c.outcome, c.exit_code as "exitCode", c.output_hash as "outputHash", c.try as tries,
           coalesce(c.shown, '') as shown
         from tool_calls c join turns t using (turn_key) where t.user_id = $1 and t.turn_id = $2 order by c.step, c.index`,
        [userId, turnId],
      ),
    machine: async (userId) =>
      (
        await rows<MachineRow>(
          `select machine_id as "machineId", generation, phase, boot_id as "bootId", missing, slept_at as "sleptAt",
             woken_at as "wokenAt"
           from machines where user_id = $1 and phase <> 'destroyed'`,
          [userId],
        )
      )[0],
    phases: async (userId) =>
      (
        await rows<{ phase: string }>(
          `select body->>'phase' as phase from turn_events
           where user_id = $1 and body->>'type' = 'machine.phase' order by seq`,
          [userId],
        )
      ).map(({ phase }) => phase),
    requestKeys: async (userId, kind) =>
      (
        await rows<{ key: string }>(
          `select idempotency_key as key from machine_requests where user_id = $1 and kind = $2 order by created_at`,
          [userId, kind],
        )
      ).map(({ key }) => key),
    close: () => pool.end(),
  };
}
