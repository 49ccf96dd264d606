/**
 * Goal: what is done for a message carries the trace that the message came in, across runs of the lane too, and nothing else does; and no
 * history depends on it. Method: signals with headers as a traced client sends them; what the server recorded of the activities; histories
 * replayed by a bundle that knows nothing of traces.
 */
import { Client } from '@temporalio/client';
import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { USER_MACHINE_WORKFLOW } from '../../src/contracts/ids.js';
import { TRACED_TURNS_MAX } from '../../src/contracts/limits.js';
import { TRACE_HEADER, TURN_TRACE_HEADER_PREFIX } from '../../src/contracts/tracing.js';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { failedTasks, type HistoryEvent } from './support/history.js';
import { bundleWorkflows, startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';
import type { TurnRecord } from './support/lane-record.js';

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

const headerOf = (name: string, trace: string): Headers => ({ [name]: defaultPayloadConverter.toPayload(trace) });

/** Signal-with-start, as a client that is traced sends it. */
async function sendTraced(lane: TestLane, message: object, headers: Headers): Promise<void> {
  const client = new Client({
    connection: harness.client.connection,
    interceptors: { workflow: [{ signalWithStart: (input, next) => next({ ...input, headers }) }] },
  });
  await client.workflow.signalWithStart(USER_MACHINE_WORKFLOW, {
    ...{ workflowId: lane.workflowId, taskQueue: harness.taskQueue, signal: 'enqueueTurn' },
    signalArgs: [message],
  });
}

const toMessage = ({ turnId, turnKey, position }: TurnRecord): object => ({
  turnId,
  admitted: { turnKey, position },
});

async function submitTraced(
  lane: TestLane,
  { turnId, plan, trace }: { turnId: string; plan?: string[][]; trace: string },
): Promise<TurnRecord> {
  const turn = lane.record.admit(turnId, plan);
  await sendTraced(lane, toMessage(turn), headerOf(TRACE_HEADER, trace));
  await lane.ended(turnId);
  return turn;
}

type Fields = Readonly<Record<string, Parameters<typeof defaultPayloadConverter.fromPayload>[0]>>;

const textIn = (fields: Fields | null | undefined, name: string): string => {
  const payload = fields?.[name];
  return payload === undefined ? '-' : defaultPayloadConverter.fromPayload<string>(payload);
};

/** `think first`: the activity, and the trace that it carries. */
function tracesOf(events: readonly HistoryEvent[]): string[] {
  return events.flatMap(({ activityTaskScheduledEventAttributes: scheduled }) =>
    scheduled ? [`${scheduled.activityType?.name} ${textIn(scheduled.header?.fields as Fields, TRACE_HEADER)}`] : [],
  );
}

const ofSteps = (traces: readonly string[]): string[] => traces.filter((trace) => /^(think|act) /.test(trace));

/** Headers that a run was started with, by name. */
function startedWith([started]: readonly HistoryEvent[]): Record<string, string> {
  const fields = (started?.workflowExecutionStartedEventAttributes?.header?.fields ?? {}) as Fields;
  return Object.fromEntries(Object.keys(fields).map((name) => [name, textIn(fields, name)]));
}

/** Has the machine sleep; answers the events of the run that comes after. */
async function nextRun(lane: TestLane, runId: string): Promise<HistoryEvent[]> {
  await lane.send('sleepNow');
  return waitFor('the next run', async () => (await lane.chain(runId))[1]);
}

describe('a lane', () => {
  it('hands the trace of each message on to what is done for it, and to the next run', async () => {
    const lane = harness.newLane();
    const runId = await lane.start();
    const first = await submitTraced(lane, { turnId: 'a', plan: [['bash']], trace: 'first' });
    const second = await submitTraced(lane, { turnId: 'b', trace: 'second' });
    await lane.submit('c');
    await lane.ended('c');
    const next = await nextRun(lane, runId);

    const [events = []] = await lane.chain(runId);
    const traces = tracesOf(events);
    expect(ofSteps(traces)).toEqual(['think first', 'act first', 'think first', 'think second', 'think -']);
    expect(traces).toContain('provisionMachine first');
    expect(traces).toContain('sleepMachine -');
    expect(startedWith(next)).toEqual({
      [TURN_TRACE_HEADER_PREFIX + first.turnKey]: 'first',
      [TURN_TRACE_HEADER_PREFIX + second.turnKey]: 'second',
    });
    expect(failedTasks(events)).toEqual([]);

    const plain = await bundleWorkflows(undefined, undefined, []);
    const histories = [{ workflowId: lane.workflowId, history: { events } }];
    for await (const { error } of Worker.runReplayHistories({ workflowBundle: plain }, histories)) {
      expect(error).toBeUndefined();
    }
  });

  it('goes on with what the run before handed on, and hands on no more than the latest', async () => {
    const lane = harness.newLane();
    const turn = lane.record.admit('a');
    const names = Array.from({ length: TRACED_TURNS_MAX + 5 }, (_, index) => `${TURN_TRACE_HEADER_PREFIX}${index}`);
    const handedOn = Object.assign({}, ...names.map((name) => headerOf(name, 'of another'))) as Headers;
    await sendTraced(lane, toMessage(turn), {
      ...handedOn,
      ...headerOf(TURN_TRACE_HEADER_PREFIX + turn.turnKey, 'handed on'),
    });
    await lane.ended('a');
    const { runId } = await lane.handle.describe();
    expect(ofSteps(tracesOf(await lane.events()))).toEqual(['think handed on']);
    const next = startedWith(await nextRun(lane, runId));
    // The server gives headers back in no order.
    const latest = [TURN_TRACE_HEADER_PREFIX + turn.turnKey, ...names.slice(1 - TRACED_TURNS_MAX)];
    expect(new Set(Object.keys(next))).toEqual(new Set(latest));
  });

  it('hands on the trace of a prompt that came inside its signal', async () => {
    const lane = harness.newLane();
    await lane.start();
    await sendTraced(lane, { turnId: 'a', prompt: 'hello' }, headerOf(TRACE_HEADER, 'by signal'));
    await waitFor('the turn', () => lane.record.find('a'));
    await lane.ended('a');
    const traces = tracesOf(await lane.events());
    expect(traces).toContain('admitPrompt by signal');
    expect(ofSteps(traces)).toEqual(['think by signal']);
  });

  it('is not disturbed by headers that are none', async () => {
    const lane = harness.newLane();
    await lane.start();
    await submitTraced(lane, { turnId: 'a', trace: 'x'.repeat(10_000) });
    await lane.send('enqueueTurn', 7);
    await lane.send('sleepNow', { turnKey: 'x' });
    await waitFor('the sleep', async () => (await lane.state()).phase === 'asleep');
    expect(lane.record.turn('a')).toMatchObject({ state: 'completed' });
  });
});
