/**
 * Goal: a prompt that comes inside a signal is stored at once and in order, or refused on record; the lane keeps a bounded number.
 * Method: signals with prompts, with Postgres (its scripted activity) answering, refusing, or away.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HELD_PROMPTS_MAX, OPEN_TURNS_MAX_DEFAULT } from '../../src/contracts/limits.js';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { failedTasks } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

const prompt = (lane: TestLane, turnId: string, text = `say ${turnId}`): Promise<string> =>
  lane.send('enqueueTurn', { turnId, prompt: text });

describe('a prompt inside a signal', () => {
  it('creates the user and runs', async () => {
    const lane = harness.newLane();
    await prompt(lane, 't');
    expect((await lane.ended('t')).state).toBe('completed');
    expect(lane.record.rejections).toEqual([]);
  });

  it('is stored in mid turn, in order of arrival', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    await lane.submit('running', [['bash']]);
    await command.reached;
    const ids = Array.from({ length: 10 }, (_, index) => `p${index}`);
    for (const id of ids) await prompt(lane, id);
    await waitFor('all in store', () => lane.record.find('p9') !== undefined);
    expect(lane.record.turn('running').state).toBe('running');
    expect(lane.record.turns.slice(2).map(({ turnId }) => turnId)).toEqual(ids);
    command.release();
    for (const id of ids) expect((await lane.ended(id)).state).toBe('completed');
    const order = lane.record.executions.filter(({ name }) => name === 'think').map(({ turnKey }) => Number(turnKey));
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  it('is one turn however often it comes, and refused under another body', async () => {
    const lane = await harness.warmLane();
    await prompt(lane, 't', 'same');
    await prompt(lane, 't', 'same');
    await prompt(lane, 't', 'other');
    expect((await lane.ended('t')).state).toBe('completed');
    await waitFor('the refusal', () => lane.record.rejections.length === 1);
    expect(lane.record.rejections[0]?.code).toBe('TURN_ID_REUSED');
    expect(lane.record.turns).toHaveLength(2);
  });

  it('is refused on record when the queue is full', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    await lane.submit('running', [['bash']]);
    await command.reached;
    for (let index = 0; index < OPEN_TURNS_MAX_DEFAULT; index += 1) await prompt(lane, `p${index}`);
    await waitFor('the refusal', () => lane.record.rejections.length === 1);
    expect(lane.record.rejections[0]?.code).toBe('QUEUE_FULL');
    command.release();
    await lane.ended(`p${OPEN_TURNS_MAX_DEFAULT - 2}`);
  });

  it('is kept while Postgres is away, up to the bound, and stored when it is back', async () => {
    const lane = await harness.warmLane();
    lane.record.fail('admitPrompt', 'STORE_UNAVAILABLE', { times: 1_000 });
    await prompt(lane, 'p0');
    await waitFor('the pause', () => lane.record.count('admitPrompt') === 2);
    for (let index = 1; index <= HELD_PROMPTS_MAX; index += 1) await prompt(lane, `p${index}`);
    lane.record.heal('admitPrompt');
    await waitFor('the refusal', () => lane.record.rejections.length === 1);
    expect(lane.record.rejections[0]).toMatchObject({ signal: 'enqueueTurn', code: 'QUEUE_FULL' });
    const stored = lane.record.turns.slice(1).map(({ turnId }) => turnId);
    expect(stored).toEqual(Array.from({ length: HELD_PROMPTS_MAX }, (_, index) => `p${index}`));
    for (const id of stored) expect((await lane.ended(id)).state).toBe('completed');
  });

  it('does not hold up the turns of others while it cannot be stored', async () => {
    const lane = await harness.warmLane();
    lane.record.fail('admitPrompt', 'INTERNAL', { times: 3 });
    await prompt(lane, 'poison');
    await waitFor('the first tries', () => lane.record.count('admitPrompt') >= 2);
    await lane.submit('t', [['bash']]);
    expect((await lane.ended('t')).state).toBe('completed');
    await lane.reaches('rest', ({ turn }) => turn === null);
    lane.record.heal('admitPrompt');
    expect((await lane.ended('poison')).state).toBe('completed');
    expect(failedTasks(await lane.events())).toEqual([]);
  });
});

describe('a refusal', () => {
  it('that cannot be recorded at once is recorded later, and stops nothing', async () => {
    const lane = await harness.warmLane();
    lane.record.fail('recordRejection', 'STORE_UNAVAILABLE', { times: 2, isRetryable: true });
    lane.record.fail('recordCancel', 'INTERNAL');
    await lane.send('enqueueTurn', 'garbage');
    await lane.send('cancelTurn', { turnId: 'nobody' });
    await lane.submit('t', [['bash']]);
    expect((await lane.ended('t')).state).toBe('completed');
    await waitFor('both refusals', () => lane.record.rejections.length === 2);
    expect(lane.record.rejections.map(({ code }) => code).sort()).toEqual(['MESSAGE_INVALID', 'TURN_UNKNOWN']);
  });
});
