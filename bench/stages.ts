/**
 * Where the time of a turn goes: the stages between the time stamps that Temporal's history, Postgres and the guest keep anyway.
 * One clock: everything runs on one machine.
 */
import { Client, Connection } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import pg from 'pg';
import { laneWorkflowId } from '../src/contracts/ids.js';
import { median } from './statistics.js';

const MS_PER_S = 1_000;
const NS_PER_MS = 1_000_000;

type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

/** A turn as its caller saw it, ms since the epoch. */
export interface SeenTurn {
  readonly turnId: string;
  readonly calledAt: number;
  readonly resultAt: number;
  /** First instruction of the command. */
  readonly commandAt: number;
}

interface StoredTurn {
  readonly turn_id: string;
  readonly created: number;
  readonly opened: number;
  readonly answered: number;
  readonly submitted: number;
  readonly guest_started: number;
  readonly guest_ended: number;
  readonly settled: number;
  readonly last_began: number;
  readonly ended: number;
}

const epochMs = (column: string): string => `extract(epoch from ${column})::float8 * ${MS_PER_S}`;
const STORED = `
  select t.turn_id, ${epochMs('t.created_at')} created, ${epochMs('t.started_at')} opened, ${epochMs('t.ended_at')} ended,
    ${epochMs('s.answered_at')} answered, ${epochMs('l.started_at')} last_began,
    ${epochMs('c.submitted_at')} submitted, ${epochMs('c.guest_started_at')} guest_started,
    ${epochMs('c.guest_ended_at')} guest_ended, ${epochMs('c.settled_at')} settled
  from turns t
  join steps s on s.turn_key = t.turn_key and s.step = 0
  join steps l on l.turn_key = t.turn_key and l.step = 1
  join tool_calls c on c.turn_key = t.turn_key and c.step = 0 and c.index = 0
  where t.user_id = $1 and t.turn_id = any($2)`;

/** Prints the median of each stage of these turns: one command each, all of one user and one run of its lane. */
export async function describeStages(
  servers: { readonly temporalAddress: string; readonly databaseUrl: string },
  userId: string,
  turns: readonly SeenTurn[],
): Promise<string[]> {
  const stored = await readStored(servers.databaseUrl, userId, turns);
  const events = await readEvents(servers.temporalAddress, userId);
  const stages = new Map<string, number[]>();
  for (const turn of turns) {
    const row = stored.find((candidate) => candidate.turn_id === turn.turnId);
    const marks = row === undefined ? undefined : marksOf(turn, row, events);
    // A turn whose events lie in another run of the lane is left out.
    if (marks === undefined) continue;
    let before = turn.calledAt;
    for (const [stage, at] of marks) {
      stages.set(stage, [...(stages.get(stage) ?? []), at - before]);
      before = at;
    }
  }
  let total = 0;
  return [...stages].map(([stage, took]) => {
    total += median(took);
    return `${stage.padEnd(62)} ${median(took).toFixed(1).padStart(7)} ms  → ${total.toFixed(1).padStart(6)}`;
  });
}

/** Instants in order; each ends the stage that it names. */
function marksOf(turn: SeenTurn, row: StoredTurn, events: readonly HistoryEvent[]): [string, number][] | undefined {
  const first = events.findIndex(
    (event) => event.workflowExecutionSignaledEventAttributes && at(event) >= row.created - 1,
  );
  const signalled = events[first];
  if (signalled === undefined || at(signalled) > row.opened) return undefined;
  const after = events.slice(first, first + 40);
  const nth = (kind: keyof HistoryEvent, index: number): number => {
    const event = after.filter((candidate) => candidate[kind])[index];
    return event === undefined ? Number.NaN : at(event);
  };
  const marks: [string, number][] = [
    ['submitTurn: connection, lock, up to the turn’s row', row.created],
    ['… its commit, and the signal as far as the server stored it', nth('workflowExecutionSignaledEventAttributes', 0)],
    ['signal → worker has the workflow task', nth('workflowTaskStartedEventAttributes', 0)],
    ['workflow task done, think 0 scheduled', nth('activityTaskScheduledEventAttributes', 0)],
    ['think 0: up to the turn being open', row.opened],
    ['think 0: its commit, model, answer stored', row.answered],
    ['think 0: its commit, activity completed at the server', nth('activityTaskCompletedEventAttributes', 0)],
    ['… → worker has the second workflow task', nth('workflowTaskStartedEventAttributes', 1)],
    ['workflow task done, act scheduled', nth('activityTaskScheduledEventAttributes', 1)],
    ['act: up to its submission stored', row.submitted],
    ['… its commit, terminal, runner: start journalled', row.guest_started],
    ['runner: journal on disk, shell released → FIRST INSTRUCTION', turn.commandAt],
    ['command runs and ends', row.guest_ended],
    ['result journalled, read, stored', row.settled],
    ['act: its commit, activity completed at the server', nth('activityTaskCompletedEventAttributes', 1)],
    ['… → worker has the third workflow task', nth('workflowTaskStartedEventAttributes', 2)],
    ['workflow task done, think 1 scheduled', nth('activityTaskScheduledEventAttributes', 2)],
    ['think 1: up to its row', row.last_began],
    ['think 1: context, model, turn closed', row.ended],
    ['… its commit, notification, result read: RESULT', turn.resultAt],
  ];
  return marks.some(([, instant]) => Number.isNaN(instant)) ? undefined : marks;
}

function at(event: HistoryEvent): number {
  return Number(event.eventTime?.seconds ?? Number.NaN) * MS_PER_S + (event.eventTime?.nanos ?? 0) / NS_PER_MS;
}

async function readStored(url: string, userId: string, turns: readonly SeenTurn[]): Promise<StoredTurn[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<StoredTurn>(STORED, [userId, turns.map((turn) => turn.turnId)]);
    return rows;
  } finally {
    await client.end();
  }
}

async function readEvents(address: string, userId: string): Promise<readonly HistoryEvent[]> {
  const connection = await Connection.connect({ address });
  try {
    const client = new Client({ connection });
    return (await client.workflow.getHandle(laneWorkflowId(userId)).fetchHistory()).events ?? [];
  } finally {
    await connection.close();
  }
}
