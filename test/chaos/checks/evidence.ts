/** All that the checks look at, read once after the run: the client's log, Postgres, the provider's ledger and the guests' own files. */
import { existsSync } from 'node:fs';
import { readJournal, readLines, type JournalledCommand } from '../../../src/story/record/guest-record.js';
import type { LedgerEntry } from '../../../src/story/record/provider-record.js';
import type { RunJournal } from '../journal.js';
import { EFFECTS_FILE, expectAll, type ExpectedTurn } from '../plan/expectation.js';
import type { Plan } from '../plan/plan.js';
import type { MachineTruth } from '../run-context.js';
import type { Rig } from '../rig.js';
import type { EventReader } from '../load/event-reader.js';

export interface TurnRow {
  readonly userId: string;
  readonly turnId: string;
  readonly state: string;
  readonly errorCode: string | null;
  readonly position: number;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  /** Events that say that it ended, and that another lane took it up. */
  readonly ends: number;
  readonly resumes: number;
  /** Entries of the transcript that hold what the user said. */
  readonly messages: number;
  /** Model calls and tool calls that were begun more often than once. */
  readonly repeats: number;
  /** Model calls among them. */
  readonly modelRepeats: number;
  readonly answer: string | null;
  /** What the agent said in its steps, by the transcript. */
  readonly said: string;
}

export interface CallRow {
  readonly userId: string;
  readonly turnId: string;
  readonly cmdId: string;
  readonly step: number;
  readonly index: number;
  readonly argumentsJson: string;
  readonly outcome: string | null;
  readonly reason: string | null;
  readonly exitCode: number | null;
  readonly outputHash: string | null;
  readonly submittedAtMs: number | null;
  readonly settledAtMs: number | null;
}

export interface MachineRow {
  readonly userId: string;
  readonly machineId: string | null;
  readonly phase: string;
}

/** What one home of a guest holds, one that it had before included. */
export interface Home {
  readonly userId: string;
  readonly machineId: string;
  readonly path: string;
  readonly journal: readonly JournalledCommand[];
  /** Lines of the file of side effects. */
  readonly effects: readonly string[];
}

/** What the reconciler found, by kind and what became of it. */
export interface FindingCount {
  readonly kind: string;
  readonly action: string;
  readonly outcome: string;
  readonly count: number;
}

export interface EventTime {
  readonly userId: string;
  readonly atMs: number;
}

export interface Evidence {
  readonly plan: Plan;
  readonly expected: ReadonlyMap<string, ExpectedTurn>;
  readonly journal: RunJournal;
  readonly turns: readonly TurnRow[];
  readonly calls: readonly CallRow[];
  readonly machines: readonly MachineRow[];
  readonly ledger: readonly LedgerEntry[];
  readonly provider: readonly MachineTruth[];
  readonly homes: readonly Home[];
  /** Instants at which a user's record went on, in order. */
  readonly events: readonly EventTime[];
  readonly readers: readonly EventReader[];
  readonly findings: readonly FindingCount[];
}

/** The user of each machine that a row ever named. */
export function ownersOf(machines: readonly MachineRow[]): ReadonlyMap<string | null, string> {
  return new Map(machines.map(({ machineId, userId }) => [machineId, userId]));
}

export async function collectEvidence(of: {
  plan: Plan;
  rig: Rig;
  journal: RunJournal;
  readers: readonly EventReader[];
}): Promise<Evidence> {
  const { rig } = of;
  const [turns, calls, machines, events, findings, ledger, provider] = await Promise.all([
    rig.sql<TurnRow>(TURNS),
    rig.sql<CallRow>(CALLS),
    rig.sql<MachineRow>(
      `select user_id as "userId", machine_id as "machineId", phase from machines order by 1, generation`,
    ),
    rig.sql<EventTime>(EVENTS),
    rig.sql<FindingCount>(
      `select kind, action, outcome, count(*)::int as count from reconcile_findings group by 1, 2, 3 order by 1, 2, 3`,
    ),
    readLedger(rig),
    rig.stack.emulator.get<{ machines: MachineTruth[] }>('/_emulator/machines').then((answer) => answer.machines),
  ]);
  const owners = ownersOf(machines);
  const homes = provider.flatMap(({ machineId, homePath, lostHomes }) =>
    [...lostHomes, homePath]
      .filter((path) => existsSync(path))
      .map((path) => ({
        userId: owners.get(machineId) ?? '',
        machineId,
        path,
        journal: readJournal(path),
        effects: readLines(path, EFFECTS_FILE),
      })),
  );
  const expected = expectAll(of.plan);
  return { ...of, expected, turns, calls, machines, events, findings, ledger, provider, homes };
}

async function readLedger({ stack }: Rig): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  for (;;) {
    const page = (await stack.emulator.ledger(entries.at(-1)?.seq ?? 0)) as unknown as LedgerEntry[];
    if (page.length === 0) return entries;
    entries.push(...page);
  }
}

const ms = (column: string): string => `(extract(epoch from ${column}) * 1000)::float8`;

const TURNS = `
  select t.user_id as "userId", t.turn_id as "turnId", t.state, t.error_code as "errorCode", t.position::int as position,
    ${ms('t.started_at')} as "startedAtMs", ${ms('t.ended_at')} as "endedAtMs",
    (select count(*)::int from turn_events e where e.turn_key = t.turn_key and e.body->>'type' = 'turn.ended') as ends,
    (select count(*)::int from turn_events e where e.turn_key = t.turn_key and e.body->>'type' = 'turn.resumed') as resumes,
    (select count(*)::int from transcript x where x.turn_key = t.turn_key and x.kind = 'user') as messages,
    m.repeats + (select count(*)::int from tool_calls c where c.turn_key = t.turn_key and c.try > 1) as repeats,
    m.repeats as "modelRepeats", t.answer,
    (select coalesce(string_agg(x.text, E'\\n\\n' order by x.seq), '') from transcript x
     where x.turn_key = t.turn_key and x.kind = 'assistant' and x.text ~ '\\S') as said
  from turns t, lateral (select count(*)::int as repeats from steps s where s.turn_key = t.turn_key and s.try > 1) m
  order by t.user_id, t.position`;

const CALLS = `
  select t.user_id as "userId", t.turn_id as "turnId", c.cmd_id as "cmdId", c.step, c.index, c.arguments_json as "argumentsJson", c.outcome,
    c.reason, c.exit_code as "exitCode", c.output_hash as "outputHash", ${ms('c.submitted_at')} as "submittedAtMs",
    ${ms('c.settled_at')} as "settledAtMs"
  from tool_calls c join turns t using (turn_key) order by t.user_id, t.position, c.step, c.index`;

const EVENTS = `
  select user_id as "userId", ${ms('at')} as "atMs" from turn_events
  where body->>'type' <> 'turn.queued' order by at`;
