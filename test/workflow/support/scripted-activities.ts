/**
 * Activities that behave as the real ones do towards the lane (order, fencing, fall of phases) over a LaneRecord. An execution
 * for an unknown lane, out of order, or beside one that excludes it, is noted as a violation and fails.
 */
import { activityInfo, Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type {
  CallRef,
  LaneActivities,
  MachineActivities,
  OpenTurn,
  StepInput,
  StepResult,
  ThinkResult,
  TurnActivities,
} from '../../../src/contracts/activities.js';
import type { ErrorCode } from '../../../src/contracts/errors.js';
import type { LanePhase } from '../../../src/contracts/lane-state.js';
import type { ActivityName, CallRecord, Execution, LaneRecord, TurnRecord } from './lane-record.js';

const HEARTBEAT_MS = 500;
const STOP_POLL_MS = 5;

/** Of these only one at a time may run for a lane. */
const AGENT: ReadonlySet<ActivityName> = new Set(['think', 'act']);
const MACHINE: ReadonlySet<ActivityName> = new Set([
  'provisionMachine',
  'bootstrapMachine',
  'wakeMachine',
  'sleepMachine',
  'destroyMachine',
]);

function failure(code: ErrorCode): ApplicationFailure {
  return ApplicationFailure.create({ type: code, message: `scripted ${code}`, nonRetryable: true });
}

export type ScriptedActivities = LaneActivities & TurnActivities & MachineActivities;

export function createScriptedActivities(recordOf: (workflowId: string) => LaneRecord | undefined): ScriptedActivities {
  /** Runs the body of one execution: noted, checked against what runs beside it, failing where the script says so. */
  async function perform<T>(
    name: ActivityName,
    input: { readonly turnKey?: string } | undefined,
    body: (record: LaneRecord) => T | Promise<T>,
  ): Promise<T> {
    const { workflowId, runId } = executionOf();
    const record = recordOf(workflowId);
    if (record === undefined) throw failure('INTERNAL');
    const begunAt = record.tick();
    const execution: Execution = {
      ...{ name, input, runId, turnKey: input?.turnKey },
      ...{ isOver: false, begunAt, overAt: undefined },
    };
    forbidCompany(record, execution);
    record.executions.push(execution);
    try {
      // A model call fails after its step has begun, so after it may have opened the turn.
      const scripted = name === 'think' ? undefined : record.takeFailure(name);
      if (scripted !== undefined) throw scripted;
      return await body(record);
    } finally {
      execution.isOver = true;
      execution.overAt = record.tick();
    }
  }

  return {
    openNextTurn: ({ isContact }) =>
      perform('openNextTurn', undefined, async (record) => {
        await passGate(record, 'openNextTurn');
        return openNext(record, isContact);
      }),
    admitPrompt: ({ turnId, prompt }) =>
      perform('admitPrompt', undefined, async (record) => {
        await passGate(record, 'admitPrompt');
        const refused = record.refusalOf(turnId, prompt) ?? null;
        if (refused !== null) record.rejections.push({ signal: 'enqueueTurn', code: refused, reason: 'refused' });
        else if (record.find(turnId) === undefined) record.admit(turnId, [], prompt);
        return { refused };
      }),
    recordCancel: ({ turnId }) =>
      perform('recordCancel', undefined, (record) => {
        if (record.requestCancel(turnId)) return;
        record.rejections.push({ signal: 'cancelTurn', code: 'TURN_UNKNOWN', reason: 'unknown' });
      }),
    recordRejection: (rejection) =>
      perform('recordRejection', undefined, (record) => void record.rejections.push(rejection)),

    think: (input) => perform('think', input, (record) => think(record, input)),
    act: (input) => perform('act', input, (record) => act(record, input)),
    stopCommand: (input) =>
      perform('stopCommand', input, async (record) => {
        const turn = own(record, input);
        await passGate(record, 'stopCommand');
        const unsettled = turn.steps.flat().filter((call) => call.isSubmitted && call.outcome === null);
        if (unsettled.length > 0) needMachine(record);
        for (const call of unsettled) call.outcome = input.as;
        turn.lane = record.lane;
        return { stopped: unsettled.length };
      }),
    closeTurn: (input) =>
      perform('closeTurn', input, (record) => {
        const turn = own(record, input);
        const isUnsettled = turn.steps.flat().some((call) => call.isSubmitted && call.outcome === null);
        if (input.onlySettled === true && isUnsettled) return { closed: false, isUnsettled };
        return { closed: turn.state === 'running' && record.close(turn, input.outcome, input.code) };
      }),

    provisionMachine: () =>
      perform('provisionMachine', undefined, async (record) => {
        fence(record);
        expectPhase(record, 'provision', ['none', 'provisioning', 'failed', 'destroyed']);
        if (record.phase !== 'provisioning') record.generation += 1;
        record.phase = 'provisioning';
        await passGate(record, 'provisionMachine');
        fence(record);
        record.isMachineGone = false;
        record.phase = 'bootstrapping';
        return record.machine;
      }),
    bootstrapMachine: () => perform('bootstrapMachine', undefined, (record) => ready(record, 'bootstrapMachine')),
    wakeMachine: () =>
      perform('wakeMachine', undefined, async (record) => {
        fence(record);
        if (record.generation === 0 || record.isMachineGone) throw failure('MACHINE_LOST');
        record.phase = 'waking';
        record.isAsleepByItself = false;
        await passGate(record, 'wakeMachine');
        if (!record.isBootstrapLost) return ready(record, undefined);
        record.isBootstrapLost = false;
        record.phase = 'bootstrapping';
        return record.machine;
      }),
    sleepMachine: () => perform('sleepMachine', undefined, sleep),
    markMachineLost: ({ generation }) =>
      perform('markMachineLost', undefined, (record) => {
        fence(record);
        if (generation === record.generation && record.isMachineGone) record.phase = 'failed';
        return record.machine;
      }),
    destroyMachine: () =>
      perform('destroyMachine', undefined, async (record) => {
        fence(record);
        record.userState = 'destroying';
        record.phase = 'destroying';
        await passGate(record, 'destroyMachine');
        for (const turn of record.openTurns) record.close(turn, 'failed', 'USER_DESTROYED');
        record.phase = 'destroyed';
        record.userState = 'destroyed';
        return record.machine;
      }),
  };
}

function executionOf(): { workflowId: string; runId: string } {
  const execution = activityInfo().workflowExecution;
  if (execution === undefined) throw failure('INTERNAL');
  return execution;
}

function violate(record: LaneRecord, what: string): ApplicationFailure {
  record.violations.push(what);
  return failure('INTERNAL');
}

function forbidCompany(record: LaneRecord, next: Execution): void {
  const beside = record.executions.filter((other) => !other.isOver && other.runId === next.runId);
  const isOpen = (turnKey: string | undefined): boolean =>
    record.turns.some((turn) => turn.turnKey === turnKey && turn.state === 'running' && !turn.isCancelRequested);
  const clash = beside.find(
    (other) =>
      (MACHINE.has(next.name) && MACHINE.has(other.name)) ||
      // A model call whose turn is over may still be on its way back: it has no effect any more.
      (AGENT.has(next.name) && AGENT.has(other.name) && isOpen(other.turnKey)),
  );
  if (clash !== undefined) throw violate(record, `${next.name} beside ${clash.name}`);
}

/** Waits where a test holds this activity, or `until`; heartbeats meanwhile, and ends early when it is cancelled. */
async function passGate(record: LaneRecord, name: ActivityName, until?: Promise<void>): Promise<void> {
  const gate = record.takeGate(name);
  if (gate === undefined) return;
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat({ phase: name }), HEARTBEAT_MS);
  gate.arrive();
  try {
    await Promise.race([
      gate.released,
      ...(gate.failsWith === undefined ? [context.cancelled] : []),
      ...(until === undefined ? [] : [until]),
    ]);
    if (gate.failsWith !== undefined) throw failure(gate.failsWith);
  } finally {
    clearInterval(beat);
  }
}

/** As Postgres fences: only the run that owns the lane writes. */
function fence(record: LaneRecord): void {
  if (executionOf().runId !== record.laneRunId) throw failure('STALE_LANE');
}

function own(record: LaneRecord, { turnKey }: { readonly turnKey: string }): TurnRecord {
  fence(record);
  const turn = record.turns.find((candidate) => candidate.turnKey === turnKey);
  if (turn === undefined) throw violate(record, `no turn ${turnKey}`);
  return turn;
}

function expectPhase(record: LaneRecord, what: string, phases: readonly LanePhase[]): void {
  if (!phases.includes(record.phase)) throw violate(record, `${what} in phase ${record.phase}`);
}

function needMachine(record: LaneRecord): void {
  if (record.isMachineGone) throw failure('MACHINE_LOST');
  if (record.phase !== 'ready' || record.isAsleepByItself) throw failure('MACHINE_ASLEEP');
}

function openNext(record: LaneRecord, isContact: boolean): Awaited<ReturnType<LaneActivities['openNextTurn']>> {
  const { runId } = executionOf();
  if (record.userState !== 'unknown' && record.laneRunId !== runId) {
    if (!isContact) throw failure('STALE_LANE');
    record.laneRunId = runId;
    record.lane += 1;
  }
  const { userState, turnCount, lastTurnAtMs, settings } = record;
  const lane = { ...record.machine, userState, turnCount, lastTurnAtMs, ...settings };
  if (userState !== 'active') return { lane, turn: null };
  const next = record.openTurns.find((turn) => turn.state === 'running') ?? record.openTurns[0];
  return { lane, turn: next === undefined ? null : takeUp(record, next) };
}

function takeUp(record: LaneRecord, turn: TurnRecord): OpenTurn {
  const isTakenOver = turn.state === 'running' && turn.lane !== record.lane;
  const hasUnsettled = turn.steps.flat().some((call) => call.isSubmitted && call.outcome === null);
  if (turn.state === 'queued') {
    turn.state = 'running';
    turn.openedAt = record.tick();
    turn.deadlineAtMs = Date.now() + record.settings.wallMs;
  }
  if (!isTakenOver || !hasUnsettled) turn.lane = record.lane;
  const { turnKey, turnId, position, step, deadlineAtMs } = turn;
  const calls = turn.steps[step]?.map(refOf) ?? null;
  const mustClose = turn.isCancelRequested ? 'cancelled' : Date.now() >= deadlineAtMs ? 'deadline' : null;
  return { turnKey, turnId, position, step, calls, deadlineAtMs, mustSettle: isTakenOver && hasUnsettled, mustClose };
}

const refOf = (call: CallRecord): CallRef => ({
  index: call.index,
  tool: call.tool,
  isSettled: call.outcome !== null,
});

type Closed = { kind: 'closed'; outcome: 'completed' | 'failed' | 'cancelled'; code: ErrorCode | null };

/** The end of a turn that is over, or whose cancel was asked for; undefined while it goes on. */
function endOf(record: LaneRecord, turn: TurnRecord): Closed | undefined {
  if (turn.isCancelRequested) record.close(turn, 'cancelled', 'CANCELLED');
  if (turn.state === 'running') return undefined;
  if (turn.state === 'queued') throw violate(record, 'a step of a turn that is not open');
  return { kind: 'closed', outcome: turn.state, code: turn.code };
}

type ThinkInput = Parameters<TurnActivities['think']>[0];

async function think(record: LaneRecord, input: ThinkInput): Promise<ThinkResult> {
  const turn = own(record, input);
  if (turn.state !== 'queued' || input.mayOpen !== true) return answer(record, input, turn);
  if (record.userState !== 'active' || record.openTurns[0] !== turn) return { kind: 'not_next' };
  takeUp(record, turn);
  const opened = { ...record.settings, deadlineAtMs: turn.deadlineAtMs };
  return { ...(await answer(record, input, turn)), opened };
}

async function answer(record: LaneRecord, input: StepInput, turn: TurnRecord): Promise<StepResult> {
  const ended = endOf(record, turn);
  if (ended !== undefined) return ended;
  if (turn.lane !== record.lane) throw failure('STALE_LANE');
  const answered = turn.steps[input.step];
  if (answered !== undefined) return { kind: 'calls', calls: answered.map(refOf) };
  const scripted = record.takeFailure('think');
  if (scripted !== undefined) throw scripted;
  if (input.step > 0 && turn.steps[input.step - 1]?.some((call) => call.outcome === null)) {
    throw violate(record, `step ${input.step} before the calls of the one before are settled`);
  }
  await passGate(record, 'think');
  fence(record);
  const endedMeanwhile = endOf(record, turn);
  if (endedMeanwhile !== undefined) return endedMeanwhile;
  turn.step = input.step;
  const tools = turn.plan[input.step];
  if (tools === undefined) {
    record.close(turn, 'completed', null);
    const isQueueEmpty = record.openTurns.length === 0;
    return { kind: 'closed', outcome: 'completed', code: null, ...(isQueueEmpty ? { isQueueEmpty } : {}) };
  }
  turn.steps[input.step] = tools.map((tool, index) => ({ index, tool, isSubmitted: false, runs: 0, outcome: null }));
  return { kind: 'calls', calls: turn.steps[input.step]?.map(refOf) ?? [] };
}

async function act(
  record: LaneRecord,
  input: StepInput & { readonly index: number },
): Promise<Awaited<ReturnType<TurnActivities['act']>>> {
  const turn = own(record, input);
  const call = turn.steps[input.step]?.[input.index];
  if (call === undefined) throw violate(record, `no call ${input.step}/${input.index}`);
  if (call.outcome !== null) return { kind: 'settled', outcome: call.outcome, exitCode: null };
  if (turn.state !== 'running' || turn.isCancelRequested) return { kind: 'closed' };
  if (turn.lane !== record.lane) throw failure('STALE_LANE');
  needMachine(record);
  if (!call.isSubmitted) {
    call.isSubmitted = true;
    call.runs += 1;
  }
  await runCommand(record, call);
  fence(record);
  if (record.isMachineGone) throw failure('MACHINE_LOST');
  call.outcome ??= 'exited';
  return { kind: 'settled', outcome: call.outcome, exitCode: call.outcome === 'exited' ? 0 : null };
}

/** A held command goes on until the test releases it or somebody stops it. */
async function runCommand(record: LaneRecord, call: CallRecord): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const stopped = new Promise<void>((resolve) => {
    timer = setInterval(() => (call.outcome === null ? undefined : resolve()), STOP_POLL_MS);
  });
  try {
    await passGate(record, 'act', stopped);
  } finally {
    clearInterval(timer);
  }
}

async function ready(
  record: LaneRecord,
  gate: ActivityName | undefined,
): Promise<Awaited<ReturnType<MachineActivities['wakeMachine']>>> {
  fence(record);
  expectPhase(record, 'ready', ['bootstrapping', 'waking']);
  if (gate !== undefined) await passGate(record, gate);
  fence(record);
  record.phase = 'ready';
  return record.machine;
}

async function sleep(record: LaneRecord): Promise<Awaited<ReturnType<MachineActivities['sleepMachine']>>> {
  fence(record);
  if (record.isMachineGone) throw failure('MACHINE_LOST');
  if (record.phase !== 'sleeping') {
    const { leasedUntilMs } = record;
    const untilMs = leasedUntilMs !== null && leasedUntilMs > Date.now() ? leasedUntilMs : null;
    if (record.openTurns.length > 0 || untilMs !== null) return { kind: 'busy', untilMs, machine: record.machine };
  }
  record.phase = 'sleeping';
  await passGate(record, 'sleepMachine');
  fence(record);
  record.phase = 'asleep';
  return { kind: record.isSleepClosed ? 'left_to_autosleep' : 'asleep', machine: record.machine };
}
