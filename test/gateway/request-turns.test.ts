/**
 * Goal: the same request is one turn while that is open, however many send it at once, and again one when it is over; a client's own
 * retry finds the turn that has just ended. Method: many at once on a real Postgres, and a turn whose end is put back in time.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RETRY_JOINS_MS_MAX } from '../../src/contracts/limits.js';
import { turnIdOf } from '../../src/gateway/request-turns.js';
import { statement } from '../../src/store/sql.js';
import { listTurns } from '../../src/store/turns.js';
import { openLane, openStore, type TestLane, type TestStore } from '../store/support/lanes.js';

const AT_ONCE = 40;

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

interface Sender {
  readonly lane: TestLane;
  send(more?: { body?: unknown; route?: string; isRetry?: boolean }): Promise<string>;
  end(turnId: string): Promise<void>;
  turns(): Promise<string[]>;
}

function openSender(userId: string): Sender {
  const lane = openLane(test.store, userId);
  return {
    lane,
    async send({ body = { say: 'hello' }, route = '/chat', isRetry = false } = {}) {
      const turnId = await turnIdOf(test.store, { userId, route, body, isRetry });
      await lane.admit(turnId);
      return turnId;
    },
    async end(turnId) {
      await lane.open();
      await lane.close(turnId);
    },
    turns: async () => (await listTurns(test.store, { userId, limit: 10 })).map(({ turnId }) => turnId),
  };
}

it('many at once are one turn, and one more each time that it is over', async () => {
  const { send, end, turns } = openSender('oai-race');
  const seen: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    const ids = new Set(await Promise.all(Array.from({ length: AT_ONCE }, () => send())));
    expect(ids.size).toBe(1);
    seen.unshift(...ids);
    expect(await turns()).toEqual(seen);
    await end(seen[0] ?? '');
  }
});

it('joins a turn that waits or runs', async () => {
  const { lane, send, turns } = openSender('oai-joins');
  const turnId = await send();
  await lane.open();
  expect(await send()).toBe(turnId);
  expect(await turns()).toEqual([turnId]);
});

it('a retry finds a turn again that has just ended; long after it is a new message, as is one that is no retry', async () => {
  const { send, end } = openSender('oai-retries');
  const first = await send();
  await end(first);
  expect(await send({ isRetry: true })).toBe(first);
  const second = await send();
  expect(second).not.toBe(first);
  await end(second);
  expect(await send({ isRetry: true })).toBe(second);
  await putBack(second, RETRY_JOINS_MS_MAX + 60_000);
  expect(await send({ isRetry: true })).not.toBe(second);
});

it('another body, route or user is another request', async () => {
  const [{ send }, other] = [openSender('oai-one'), openSender('oai-other')];
  const ids = [
    await send(),
    await send({ body: { say: 'hello!' } }),
    await send({ route: '/other' }),
    await other.send(),
  ];
  expect(new Set(ids).size).toBe(ids.length);
});

async function putBack(turnId: string, ms: number): Promise<void> {
  const back = statement('put_back', `update turns set ended_at = ended_at - $2 * interval '1 ms' where turn_id = $1`);
  await test.store.query(back, [turnId, ms]);
}
