/**
 * Goal: an operator reads from Temporal alone what a lane does: attributes to search by, details, a summary beside every event.
 * Method: reads histories, the description and the metadata query of lanes that went through everything a lane does.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { defaultPayloadConverter } from '@temporalio/common';
import { SEARCH_ATTRIBUTES } from '../../src/contracts/search-attributes.js';
import { testTemporal } from '../support/servers.js';
import { failedTasks, nameOf, ofType, summaryOf, textOf, type HistoryEvent } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

interface Metadata {
  readonly currentDetails: string;
  readonly definition: Record<
    'signalDefinitions' | 'queryDefinitions',
    { readonly name: string; readonly description?: string }[]
  >;
}
const metadata = (lane: TestLane): Promise<Metadata> => lane.handle.query<Metadata>('__temporal_workflow_metadata');

function upserts(events: readonly HistoryEvent[]): Record<string, unknown>[] {
  return ofType(events, 'upsertWorkflowSearchAttributes').map((event) => {
    const { indexedFields } = event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes ?? {};
    return Object.fromEntries(
      Object.entries(indexedFields ?? {}).map(([name, payload]) => [
        name,
        defaultPayloadConverter.fromPayload(payload),
      ]),
    );
  });
}

describe('search attributes', () => {
  it('are written only when they change, and never without one', async () => {
    const lane = harness.newLane();
    await lane.submit('first', [['bash']]);
    await lane.ended('first');
    lane.record.fail('think', 'MODEL_REFUSED');
    for (const turnId of ['a', 'b', 'c']) {
      await lane.submit(turnId, [['bash'], ['bash']]);
      await lane.ended(turnId);
    }
    await lane.rests();
    const written = upserts(await lane.events());
    const known: Record<string, unknown> = {};
    for (const fields of written) {
      expect(Object.keys(fields)).not.toEqual([]);
      for (const [name, value] of Object.entries(fields)) {
        expect(value, name).not.toEqual(known[name]);
        known[name] = value;
      }
    }
    // Provisioning, bootstrapping, ready; then one for each turn.
    expect(written.length).toBeLessThanOrEqual(3 + 4);
    expect(known[SEARCH_ATTRIBUTES.lastErrorCode.name] ?? null).toBeNull();
  });

  it('say what the lane says of itself', async () => {
    const lane = await harness.warmLane();
    lane.record.fail('think', 'MODEL_REFUSED');
    await lane.submit('refused');
    await lane.ended('refused');
    const state = await lane.rests();
    const { typedSearchAttributes } = await lane.handle.describe();
    const values = Object.fromEntries(typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]));
    expect(values).toMatchObject({
      UserMachinePhase: 'ready',
      MachineId: 'machine-1',
      TurnCount: 2,
      LastTurnAt: new Date(state.lastTurnAt ?? 0),
      LastErrorCode: 'MODEL_REFUSED',
    });
  });

  it('are not written again by a run that carries them over', async () => {
    const lane = await harness.warmLane();
    const { runId } = await lane.handle.describe();
    await lane.send('sleepNow');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    await lane.submit('t', [['bash']]);
    await lane.ended('t');
    await lane.rests();
    const [, carried = []] = await lane.chain(runId);
    const written = upserts(carried);
    expect(written.map((fields) => fields[SEARCH_ATTRIBUTES.phase.name]).filter(Boolean)).toEqual(['waking', 'ready']);
    expect(written.some((fields) => SEARCH_ATTRIBUTES.machineId.name in fields)).toBe(false);
  });
});

describe('summaries', () => {
  it('stand beside every activity and timer, and tell no text of a user', async () => {
    const lane = harness.newLane();
    const { runId } = await startedWithSecrets(lane);
    await lane.handle.result();
    const events = (await lane.chain(runId)).flat();
    const named = events.filter((event) =>
      ['activityTaskScheduled', 'timerStarted', 'markerRecorded'].includes(nameOf(event)),
    );
    expect(named.length).toBeGreaterThan(20);
    const bare = named.filter((event) => (summaryOf(event) ?? '') === '');
    expect(bare.map(nameOf)).toEqual([]);
    const summaries = named.map(summaryOf);
    expect(summaries).toContain('turn 1 · step 0 · think');
    expect(summaries).toContain('turn 1 · step 0 · act 0 · bash');
    expect(summaries).toContain('put machine to sleep');
    expect(summaries).toContain('destroy machine');
    expect(textOf(events)).toContain('turn 1 · step 0 · think');
    expect(textOf(events)).not.toContain('secret');
    expect(failedTasks(events)).toEqual([]);
  });

  it('bear a tool name of any length and kind', async () => {
    const lane = await harness.warmLane();
    await lane.submit('t', [['x'.repeat(5_000)], ['💥'.repeat(500)], ['']]);
    expect((await lane.ended('t')).state).toBe('completed');
    expect(failedTasks(await lane.events())).toEqual([]);
  });
});

/** Goes through everything a lane does, with prompts that stay in Postgres. */
async function startedWithSecrets(lane: TestLane): Promise<{ runId: string }> {
  lane.record.admit('one', [['bash']], 'secret');
  const runId = await lane.send('enqueueTurn', { turnId: 'one' });
  await lane.ended('one');
  const command = lane.record.hold('act');
  lane.record.admit('two', [['bash']], 'secret');
  await lane.send('enqueueTurn', { turnId: 'two' });
  await command.reached;
  await lane.send('cancelTurn', { turnId: 'two' });
  await lane.ended('two');
  await lane.send('enqueueTurn', 7);
  await lane.send('sleepNow');
  await lane.reaches('sleep', (state) => state.phase === 'asleep');
  await lane.send('wakeNow');
  await lane.reaches('the wake', (state) => state.phase === 'ready');
  lane.record.isMachineGone = true;
  await lane.send('machineLost', { generation: 1 });
  await lane.reaches('the loss', (state) => state.phase === 'failed');
  await lane.send('destroy');
  return { runId };
}

describe('what a running lane answers', () => {
  it('has details, and a description for every signal and query', async () => {
    const lane = await harness.warmLane();
    const { currentDetails, definition } = await metadata(lane);
    expect(currentDetails).toContain('| phase | ready |');
    expect(currentDetails).toContain('| machine | machine-1 (generation 1) |');
    expect(currentDetails).toContain('| turns so far | 1 |');
    const described = (kind: keyof Metadata['definition']): string[] =>
      definition[kind].filter(({ description }) => (description ?? '') !== '').map(({ name }) => name);
    expect(described('signalDefinitions').sort()).toEqual(
      ['cancelTurn', 'destroy', 'enqueueTurn', 'look', 'machineLost', 'sleepNow', 'wakeNow'].sort(),
    );
    expect(described('queryDefinitions')).toContain('getState');
  });

  it('follows the running turn', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    await lane.submit('t', [['bash']]);
    await command.reached;
    expect(await lane.state()).toMatchObject({
      phase: 'ready',
      generation: 1,
      machineId: 'machine-1',
      turn: { turnId: 't', position: 2, step: 0 },
      idleDueAt: null,
    });
    expect((await metadata(lane)).currentDetails).toContain('| turn | 2, step 0 |');
    command.release();
    await lane.ended('t');
    const state = await lane.rests();
    expect(state).toMatchObject({ turn: null, turnCount: 2 });
    expect(state.idleDueAt).not.toBeNull();
  });

  it('has details in a fresh run too', async () => {
    const lane = await harness.warmLane();
    await lane.send('sleepNow');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    expect((await metadata(lane)).currentDetails).toContain('| phase | asleep |');
    expect((await metadata(lane)).currentDetails).toContain('| sleeps at | not due |');
  });
});
