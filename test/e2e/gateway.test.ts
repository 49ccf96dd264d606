/**
 * Goal: whoever follows over HTTP misses nothing and sees nothing twice, whatever becomes of gateways, and what they acknowledged is
 * answered. Method: replicas of the gateway as processes that are killed under many followers, each compared with `turn_events`.
 */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRssBytes } from '../../bench/processes.js';
import { createPool, type Store } from '../../src/store/pool.js';
import { follow, readStream, type Follower, type Sent } from '../support/event-stream.js';
import { waitFor } from '../support/wait-for.js';
import { TURN_MS } from './support/actions.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';

const FOLLOWERS = 200;
const USERS = 8;
const BREAKS = 1_000;

let stage: Stage;
let store: Store;
let key = '';
beforeAll(async () => {
  stage = await openStage();
  store = createPool({ url: stage.databaseUrl, poolMax: 2, applicationName: 'test' });
  key = await stage.createKey();
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await store.end();
  await stage.close();
});

const isEndOf =
  (turnId: string) =>
  ({ event, data }: Sent): boolean =>
    event === 'turn.ended' && data['turnId'] === turnId;

/** The durable events of the user, as the table has them up to the turn's end. */
async function stored(userId: string, turnId: string): Promise<string[]> {
  const rows = await stage.sql<{ seq: number; type: string; turn_id: string | null }>(
    `select e.seq::integer, e.body ->> 'type' as type, t.turn_id from turn_events e left join turns t using (turn_key)
     where e.user_id = $1 order by e.seq`,
    [userId],
  );
  const end = rows.findIndex(({ type, turn_id: id }) => type === 'turn.ended' && id === turnId);
  return rows.slice(0, end + 1).map(({ seq, type }) => `${seq} ${type}`);
}

/** What a follower saw that is durable; live text comes between and is checked on its own. */
const durable = (seen: readonly Sent[]): string[] =>
  seen.filter(({ data }) => 'seq' in data).map(({ data, event }) => `${Number(data['seq'])} ${event}`);

/** Output of the command as it was seen live since its last beginning. */
function printed(seen: readonly Sent[]): string {
  let text = '';
  for (const { event, data } of seen) {
    if (event === 'part.restarted') text = '';
    if (event === 'output.delta') text += String(data['text']);
  }
  return text;
}

async function submit(base: string, userId: string, body: { turnId: string; prompt: string }): Promise<number> {
  const answer = await fetch(`${base}/v1/users/${userId}/turns`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  await answer.text();
  return answer.status;
}

describe('followers', () => {
  it(
    `${FOLLOWERS} of ${USERS} users, on two replicas of which one is killed and one is ended, see every event once and in order`,
    { timeout: 2 * TURN_MS },
    async () => {
      const [first, second] = await Promise.all([stage.stack.startGateway(), stage.stack.startGateway()]);
      const users = Array.from({ length: USERS }, (_, n) => `crowd-${n}`);
      const prompt = '$ for i in 1 2 3 4 5 6; do echo "line $i"; sleep 0.4; done';
      await Promise.all(users.map((userId) => submit(second.url, userId, { turnId: 't1', prompt })));
      const gateways = [first.url, second.url];
      const signal = AbortSignal.timeout(2 * TURN_MS);
      const followers: { userId: string; follower: Follower }[] = Array.from({ length: FOLLOWERS }, (_, n) => {
        const userId = users[n % USERS] ?? '';
        const follower = follow({
          // Half of them begin at each.
          gateways: n % 2 === 0 ? gateways : gateways.toReversed(),
          ...{ path: `/v1/users/${userId}/events`, key, isLast: isEndOf('t1'), signal },
        });
        return { userId, follower };
      });
      await waitFor('live output at a follower', () =>
        followers.some(({ follower }) => follower.seen.some(({ event }) => event === 'output.delta')),
      );
      first.process.signal('SIGKILL');
      await first.process.exited;
      const third = await stage.stack.startGateway({ GATEWAY_PORT: new URL(first.url).port });
      second.process.signal('SIGTERM');
      expect(await second.process.exited).toMatchObject({ code: 0 });
      await Promise.all(followers.map(({ follower }) => follower.ended));
      for (const { userId, follower } of followers) {
        expect(durable(follower.seen)).toEqual(await stored(userId, 't1'));
        expect('line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n').toContain(printed(follower.seen));
      }
      // Those of a turn that was over by then had no reason to come back.
      expect(followers.filter(({ follower }) => follower.connections() > 1).length).toBeGreaterThan(FOLLOWERS / 4);
      await third.process.stop();
    },
  );

  it(
    `who breaks off ${BREAKS} times at random places misses nothing and sees nothing twice`,
    { timeout: 2 * TURN_MS },
    async () => {
      const gateway = await stage.stack.startGateway({ GATEWAY_USER_REQUESTS_PER_MINUTE: '100000' });
      for (const turnId of ['t1', 't2', 't3']) {
        await submit(gateway.url, 'breaker', { turnId, prompt: `$ echo ${turnId}\n$ echo more` });
      }
      const ended = follow({
        ...{ gateways: [gateway.url], path: '/v1/users/breaker/events', key, isLast: isEndOf('t3') },
        signal: AbortSignal.timeout(TURN_MS),
      });
      await ended.ended;
      const expected = await stored('breaker', 't3');
      let seen: string[] = [];
      let lastId: string | undefined;
      for (let breaks = 0; breaks < BREAKS; breaks += 1) {
        // From the beginning again where the end was reached.
        if (seen.length === expected.length) {
          expect(seen).toEqual(expected);
          seen = [];
          lastId = undefined;
        }
        const take = 1 + Math.floor(Math.random() * (expected.length - seen.length));
        const left = new AbortController();
        const got: Sent[] = [];
        const onEvent = (sent: Sent): void => {
          if (got.length < take) got.push(sent);
          if (got.length === take) left.abort();
        };
        await readStream(`${gateway.url}/v1/users/breaker/events`, { key, lastId, signal: left.signal, onEvent }).catch(
          () => undefined, // Broken off, as is meant.
        );
        seen.push(...durable(got));
        lastId = got.at(-1)?.id;
        expect(seen).toEqual(expected.slice(0, seen.length));
      }
      await gateway.process.stop();
    },
  );

  it(
    'who takes nothing holds nobody up, and costs the gateway no memory of its own',
    { timeout: TURN_MS },
    async () => {
      const gateway = await stage.stack.startGateway();
      const { hostname, port } = new URL(gateway.url);
      await submit(gateway.url, 'slow', { turnId: 't1', prompt: '$ echo begun' });
      const socket = connect(Number(port), hostname);
      socket.pause();
      socket.write(`GET /v1/users/slow/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n\r\n`);
      const before = readRssBytes(gateway.process.pid);
      await submit(gateway.url, 'slow', { turnId: 't2', prompt: '$ seq 1 400000; sleep 1' });
      const quick = follow({
        ...{ gateways: [gateway.url], path: '/v1/users/slow/events', key, isLast: isEndOf('t2') },
        signal: AbortSignal.timeout(TURN_MS),
      });
      await quick.ended;
      expect(durable(quick.seen)).toEqual(await stored('slow', 't2'));
      expect(readRssBytes(gateway.process.pid) - before).toBeLessThan(64 * 1024 * 1024);
      socket.destroy();
      await gateway.process.stop();
    },
  );
});

describe('a submit', () => {
  it(
    'that a replica acknowledged before it was killed is answered, and repeated at another is the same turn',
    { timeout: TURN_MS },
    async () => {
      const [first, second] = await Promise.all([stage.stack.startGateway(), stage.stack.startGateway()]);
      const turn = { turnId: 't1', prompt: '$ echo once >> ~/once.txt' };
      expect(await submit(first.url, 'acked', turn)).toBe(202);
      first.process.signal('SIGKILL');
      expect(await submit(second.url, 'acked', turn)).toBe(202);
      expect(await stage.stack.client.turnResult({ userId: 'acked', turnId: 't1', timeoutMs: TURN_MS })).toMatchObject({
        state: 'completed',
      });
      expect(await stage.lines('acked', 'once.txt')).toEqual(['once']);
      await second.process.stop();
    },
  );
});
