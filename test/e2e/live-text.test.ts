/**
 * Goal: whoever follows sees output while it is printed, in whole and once, and nothing is left of live text when a turn is over.
 * Method: a real turn on a whole stack, followed by the client library; a worker that is killed while its command prints.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FeedItem } from '../../src/client.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';
import { TURN_MS, untilWritten } from './support/actions.js';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
});

/** Everything until the turn's end. */
async function follow(userId: string, turnId: string, client = stage.stack.client): Promise<FeedItem[]> {
  const items: FeedItem[] = [];
  const signal = AbortSignal.timeout(TURN_MS);
  for await (const item of client.followEvents({ userId, after: { beginningOf: turnId }, signal })) {
    items.push(item);
    if ('event' in item && item.event.turnId === turnId && item.event.body.type === 'turn.ended') break;
  }
  return items;
}

/** Live output since it last began anew. */
function printed(items: readonly FeedItem[]): string {
  let text = '';
  for (const item of items) {
    if (!('delta' in item)) continue;
    if (item.delta.body.type === 'part.restarted') text = '';
    if (item.delta.body.type === 'output.delta') text += item.delta.body.text;
  }
  return text;
}

const COUNTING = '$ for i in 1 2 3 4; do echo "line $i" | tee -a ~/counted.txt; sleep 0.5; done';
const COUNTED = [1, 2, 3, 4].map((line) => `line ${line}\n`).join('');

describe('live text', () => {
  it('of a command comes before its end, in order, and leaves nothing behind', { timeout: TURN_MS }, async () => {
    const turn = { userId: 'watched', turnId: 't1' };
    await stage.stack.client.submitTurn({ ...turn, prompt: COUNTING });
    const items = await follow(turn.userId, turn.turnId);
    const types = items.map((item) => ('event' in item ? item.event.body.type : item.delta.body.type));
    expect(types.indexOf('output.delta')).toBeGreaterThan(types.indexOf('command.started'));
    expect(types.lastIndexOf('output.delta')).toBeLessThan(types.indexOf('command.ended'));
    expect(printed(items).length).toBeGreaterThan(0);
    expect(COUNTED.startsWith(printed(items))).toBe(true);
    expect(await stage.sql('select from turn_deltas')).toEqual([]);
  });

  it('goes on when the worker dies, by the next one, from its beginning', { timeout: TURN_MS }, async () => {
    const branch = stage.stack.openBranch();
    const turn = { userId: 'taken-over', turnId: 't1' };
    const first = await branch.startWorker();
    try {
      await branch.client.submitTurn({ ...turn, prompt: COUNTING.replace('0.5', '3') });
      const following = follow(turn.userId, turn.turnId, branch.client);
      await untilWritten(stage, turn.userId, 'counted.txt', 2);
      first.signal('SIGKILL');
      await branch.startWorker();
      const items = await following;
      expect(items.some((item) => 'delta' in item && item.delta.body.type === 'part.restarted')).toBe(true);
      expect(printed(items).length).toBeGreaterThan(0);
      expect(COUNTED.startsWith(printed(items))).toBe(true);
      expect(await stage.lines(turn.userId, 'counted.txt')).toHaveLength(4);
      expect(await stage.sql('select from turn_deltas')).toEqual([]);
    } finally {
      await branch.stop();
    }
  });
});
