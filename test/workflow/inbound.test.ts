/**
 * Goal: no inbound payload can fail a workflow task of a lane, and none is lost without a trace.
 * Method: sends what no client of ours would send, by raw gRPC where an SDK would refuse to; after each the next turn completes,
 * the refusal is on record, and the history holds no failed workflow task.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { USER_MACHINE_WORKFLOW } from '../../src/contracts/ids.js';
import { SIGNAL_PROMPT_BYTES_MAX } from '../../src/contracts/limits.js';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { failedTasks } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';
import { sendRaw, type RawPayload } from './support/raw-signal.js';

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

/** The next turn completes, and no workflow task ever failed. */
async function goesOn(lane: TestLane): Promise<void> {
  const turnId = `next-${lane.record.turns.length}`;
  await lane.submit(turnId);
  expect((await lane.ended(turnId)).state).toBe('completed');
  await lane.rests();
  expect(failedTasks(await lane.events())).toEqual([]);
}

const NEARLY_TWO_MIB = 1_900_000;
const json = (value: unknown): RawPayload => ({ encoding: 'json/plain', data: JSON.stringify(value) });

/** What may arrive in place of a payload. */
const HOSTILE: readonly (readonly [string, readonly RawPayload[] | undefined])[] = [
  ['no input', undefined],
  ['an input without payloads', []],
  ['null', [json(null)]],
  ['text', [json('t')]],
  ['a number', [json(7)]],
  ['a list', [json([{ turnId: 't' }])]],
  ['an object without fields', [json({})]],
  ['fields of wrong types', [json({ turnId: 7, prompt: { deep: [] }, generation: '1' })]],
  ['an id with a slash', [json({ turnId: 'a/b', generation: -1 })]],
  ['an unknown encoding', [{ encoding: 'binary/unknown', data: 'x' }]],
  ['broken JSON', [{ encoding: 'json/plain', data: '{"turnId":' }]],
  ['a payload without metadata', [{ data: '{}' }]],
  ['an empty payload', [{}]],
  ['bytes', [{ encoding: 'binary/plain', data: new Uint8Array([0, 255, 254]) }]],
  ['a protobuf message', [{ encoding: 'json/protobuf', data: '{}' }]],
  ['JSON nested a hundred thousand deep', [{ encoding: 'json/plain', data: '['.repeat(100_000) }]],
  ['1.9 MB', [json({ turnId: 'x'.repeat(NEARLY_TWO_MIB), generation: 'x' })]],
];

describe('signals with a payload', () => {
  it.each(HOSTILE)('survive %s', { timeout: 60_000 }, async (what, payloads) => {
    const lane = harness.newLane();
    await lane.start();
    // The big one once is enough: three in one history would be four MB.
    const names = what === '1.9 MB' ? ['enqueueTurn'] : ['enqueueTurn', 'cancelTurn', 'machineLost'];
    for (const name of names) await sendRaw(harness, lane, { name, ...(payloads === undefined ? {} : { payloads }) });
    const { rejections } = lane.record;
    await waitFor('the refusals', () => rejections.length >= names.length);
    expect(rejections.map(({ signal }) => signal)).toEqual(names);
    for (const { code, reason } of rejections) {
      expect(['MESSAGE_INVALID', 'INVALID_TURN_ID']).toContain(code);
      expect(reason.length).toBeLessThan(200);
    }
    await goesOn(lane);
  });

  it('survive a payload that is too many', async () => {
    const lane = harness.newLane();
    lane.record.admit('known');
    await lane.start();
    await sendRaw(harness, lane, {
      name: 'enqueueTurn',
      payloads: [json({ turnId: 'known' }), { encoding: 'binary/unknown' }],
    });
    await lane.ended('known');
    await goesOn(lane);
  });
});

describe('signals without a payload', () => {
  it.each(HOSTILE)('take no notice of %s', { timeout: 60_000 }, async (what, payloads) => {
    const lane = harness.newLane();
    await lane.start();
    const names = what === '1.9 MB' ? ['wakeNow'] : ['sleepNow', 'wakeNow'];
    for (const name of names) await sendRaw(harness, lane, { name, ...(payloads === undefined ? {} : { payloads }) });
    await lane.reaches('the wake', (state) => state.phase === 'ready');
    await goesOn(lane);
    await sendRaw(harness, lane, {
      name: 'destroy',
      ...(what === '1.9 MB' || payloads === undefined ? {} : { payloads }),
    });
    await lane.handle.result();
    expect(failedTasks(await lane.events())).toEqual([]);
  });
});

describe('other mail', () => {
  it('takes no notice of unknown signals', async () => {
    const lane = harness.newLane();
    await lane.start();
    for (const name of ['enqueueturn', '__temporal_signal', '__proto__', 'constructor', 'x'.repeat(900)]) {
      await sendRaw(harness, lane, { name, payloads: [{ encoding: 'binary/unknown', data: 'x' }] });
    }
    await goesOn(lane);
  });

  it('refuses a prompt above the bound inside a signal, and an empty one, and tells neither text', async () => {
    const lane = harness.newLane();
    await lane.send('enqueueTurn', { turnId: 'big', prompt: `secret${'é'.repeat(SIGNAL_PROMPT_BYTES_MAX / 2)}` });
    await lane.send('enqueueTurn', { turnId: 'empty', prompt: ' \n ' });
    // A refusal may be recorded twice, where the server asks for a task of the run to be done once more.
    const codes = (): Set<string> => new Set(lane.record.rejections.map(({ code }) => code));
    await waitFor('both refusals', () => codes().size === 2);
    expect([...codes()]).toEqual(['PROMPT_TOO_LARGE', 'PROMPT_EMPTY']);
    expect(JSON.stringify(lane.record.rejections)).not.toContain('secret');
    await goesOn(lane);
  });

  it.each([
    ['text', ['garbage']],
    ['a carry of another schema', [{ schema: 99, mustLook: true }]],
    ['a carry with a field of a wrong type', [{ schema: 1, mustLook: 'yes' }]],
    ['several arguments', [null, 1, { deep: [] }]],
  ])('starts from Postgres when started with %s', async (_what, args) => {
    const lane = harness.newLane();
    lane.record.admit('waiting');
    await lane.start(...args);
    expect((await lane.ended('waiting')).state).toBe('completed');
    await goesOn(lane);
  });

  it('starts from Postgres when started with an argument that cannot be decoded', async () => {
    const lane = harness.newLane();
    lane.record.admit('waiting');
    await harness.client.workflowService.startWorkflowExecution({
      namespace: harness.client.options.namespace,
      workflowId: lane.workflowId,
      workflowType: { name: USER_MACHINE_WORKFLOW },
      taskQueue: { name: harness.taskQueue },
      requestId: 'undecodable',
      input: { payloads: [{ metadata: { encoding: Buffer.from('binary/unknown') }, data: Buffer.from('x') }] },
    });
    expect((await lane.ended('waiting')).state).toBe('completed');
    await goesOn(lane);
  });

  it('survives a query that does not exist', async () => {
    const lane = await harness.warmLane();
    await expect(lane.handle.query('nothing')).rejects.toThrow();
    await goesOn(lane);
  });
});
