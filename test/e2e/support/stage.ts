/** A stack with the outside records beside it: what end-to-end tests look at in place of the system's own word. */
import pg from 'pg';
import { openDatabaseRecord, type DatabaseRecord } from '../../../src/story/record/database-record.js';
import { readJournal, readLines, type JournalledCommand } from '../../../src/story/record/guest-record.js';
import {
  openProviderRecord,
  type LedgerEntry,
  type ProviderRecord,
} from '../../../src/story/record/provider-record.js';
import { createApiKey, type KeyScope } from '../../../src/store/api-keys.js';
import { createTestDatabase, testTemporal } from '../../support/servers.js';
import { startStack, type Stack, type StackOptions } from '../../support/stack.js';

export interface TranscriptEntry {
  readonly kind: string;
  readonly step: number | null;
  readonly text: string;
}

export interface Stage {
  readonly stack: Stack;
  readonly provider: ProviderRecord;
  readonly database: DatabaseRecord;
  readonly temporalAddress: string;
  readonly temporalUiUrl: string;
  readonly databaseUrl: string;
  sql<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>;
  /** A new key for a gateway. */
  createKey(scope?: KeyScope): Promise<string>;
  machineId(userId: string): Promise<string>;
  home(userId: string): Promise<string>;
  /** Lines of a file in the user's home. */
  lines(userId: string, file: string): Promise<string[]>;
  journal(userId: string): Promise<JournalledCommand[]>;
  transcript(turn: { userId: string; turnId: string }): Promise<TranscriptEntry[]>;
  /** Create requests that made a machine of this user, by the ledger. */
  creations(userId: string): Promise<LedgerEntry[]>;
  close(): Promise<void>;
}

export type StageOptions = Partial<Omit<StackOptions, 'databaseUrl'>> & {
  /** Servers of the test's own in place of the shared ones. */
  readonly databaseUrl?: string;
};

export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const ownDatabase = options.databaseUrl === undefined ? await createTestDatabase() : undefined;
  const databaseUrl = options.databaseUrl ?? ownDatabase?.url ?? '';
  const shared =
    options.temporalAddress === undefined ? await testTemporal() : { address: options.temporalAddress, uiUrl: '' };
  const stack = await startStack({ ...options, databaseUrl, temporalAddress: shared.address });
  const provider = openProviderRecord(stack.emulator);
  const database = openDatabaseRecord(databaseUrl);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2, application_name: 'innkeeper-test' });
  pool.on('error', () => undefined); // Tests kill servers: the next query opens another connection.

  async function machineId(userId: string): Promise<string> {
    const machine = await database.machine(userId);
    if (machine === undefined) throw new Error(`${userId} has no machine`);
    return machine.machineId;
  }
  const home = async (userId: string): Promise<string> => (await provider.machine(await machineId(userId))).homePath;
  const sql = async <R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> =>
    (await pool.query<R>(text, values)).rows;

  return {
    stack,
    provider,
    database,
    temporalAddress: shared.address,
    temporalUiUrl: shared.uiUrl,
    databaseUrl,
    sql,
    createKey: async (scope = 'service') => (await createApiKey(pool, { name: `test ${scope}`, scope })).key,
    machineId,
    home,
    lines: async (userId, file) => readLines(await home(userId), file),
    journal: async (userId) => readJournal(await home(userId)),
    transcript: ({ userId, turnId }) =>
      sql<{ kind: string; step: number | null; text: string }>(
        `select x.kind, x.step, x.text from transcript x join turns t using (turn_key)
         where t.user_id = $1 and t.turn_id = $2 order by x.seq`,
        [userId, turnId],
      ),
    creations: async (userId) => {
      const rows = await sql<{ id: string }>('select machine_id as id from machines where user_id = $1', [userId]);
      const ids = new Set(rows.map(({ id }) => id));
      return (await provider.ledger(0)).filter(
        ({ kind, machineId: id }) => kind === 'machine.created' && ids.has(id ?? ''),
      );
    },
    async close() {
      await database.close();
      await pool.end();
      await stack.stop();
      await ownDatabase?.drop();
    },
  };
}

/** Machines that the provider made and that no user's ledger row names: leaks. */
export async function leakedMachines(stage: Stage): Promise<string[]> {
  const rows = await stage.sql<{ id: string }>('select machine_id as id from machines');
  const known = new Set(rows.map(({ id }) => id));
  return (await stage.provider.ledger(0))
    .filter(({ kind }) => kind === 'machine.created')
    .map(({ machineId }) => machineId ?? '')
    .filter((id) => !known.has(id));
}
