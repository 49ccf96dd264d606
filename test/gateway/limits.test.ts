/**
 * Goal: nobody takes more of the gateway than they may, pages of other sites take nothing, and its end loses nothing. Method: real
 * connections to gateways with small bounds.
 */
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { GatewayParts } from '../../src/gateway/parts.js';
import { statement } from '../../src/store/sql.js';
import { getTurn } from '../../src/store/turns.js';
import { openLane } from '../store/support/lanes.js';
import { waitFor } from '../support/wait-for.js';
import { openGateway, type TestGateway } from './support/gateway.js';

const manyEvents = statement(
  'many_events',
  `with made as (
     insert into turn_events (user_id, seq, body)
     select $1, event_seq + n, jsonb_build_object('type', 'step.answered', 'step', 0, 'text', repeat('x', $3), 'calls', '[]'::jsonb)
     from users, generate_series(1, $2::integer) as n where user_id = $1
   )
   update users set event_seq = event_seq + $2::integer where user_id = $1`,
);

const open: TestGateway[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((gateway) => gateway.close()));
});

async function start(parts: Partial<GatewayParts> = {}): Promise<TestGateway> {
  const gateway = await openGateway(parts);
  open.push(gateway);
  return gateway;
}

describe('requests', () => {
  it('of a key above its rate are refused with when to come back; another key is not', async () => {
    const { ask, keys } = await start({ rates: { keyPerMinute: 3, userPerMinute: 100 } });
    const statuses = await inTurn(4, async () => (await ask('/v1/users/limits-ada')).status);
    expect(statuses).toEqual([404, 404, 404, 429]);
    const refused = await ask('/v1/users/limits-bea');
    expect(refused).toMatchObject({ status: 429, json: { code: 'RATE_LIMITED' } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await ask('/v1/users', { key: keys.operator })).status).toBe(200);
  });

  it('about a user above the rate are refused whoever asks; about another user they are not', async () => {
    const { ask, keys } = await start({ rates: { keyPerMinute: 100, userPerMinute: 2 } });
    expect(await inTurn(3, async () => (await ask('/v1/users/limits-ada')).status)).toEqual([404, 404, 429]);
    expect((await ask('/v1/users/limits-ada', { key: keys.operator })).status).toBe(429);
    expect((await ask('/v1/users/limits-bea')).status).toBe(404);
  });

  it('without a valid key count for nobody', async () => {
    const { ask } = await start({ rates: { keyPerMinute: 1, userPerMinute: 1 } });
    expect(await inTurn(3, async () => (await ask('/v1/users/limits-ada', { key: null })).status)).toEqual([
      401, 401, 401,
    ]);
    expect((await ask('/v1/users/limits-ada')).status).toBe(404);
  });
});

describe('pages', () => {
  it('of other sites are refused before anything is done; the own page is not', async () => {
    const { ask, submit, base, test } = await start();
    const foreign = { headers: { origin: 'https://evil.example' } };
    expect(await submit('limits-ada', { prompt: 'x', turnId: 't1' }, foreign)).toMatchObject({
      ...{ status: 403, json: { code: 'ORIGIN_REFUSED' } },
    });
    await expect(getTurn(test.store, { userId: 'limits-ada', turnId: 't1' })).rejects.toMatchObject({
      code: 'USER_UNKNOWN',
    });
    const own = await ask('/v1/users/limits-ada', { headers: { origin: base } });
    expect(own.status).toBe(404);
    expect(own.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('that the deployment names may ask, and browsers are told so', async () => {
    const origin = 'https://chat.example';
    const { ask, submit } = await start({ origins: [origin] });
    const preflight = await ask('/v1/users/limits-ada/turns', {
      ...{ method: 'OPTIONS', key: null },
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(origin);
    const done = await submit('limits-ada', { prompt: 'x' }, { headers: { origin } });
    expect([done.status, done.headers.get('access-control-allow-origin')]).toEqual([202, origin]);
    expect((await ask('/v1/users/limits-ada', { headers: { origin: 'https://other.example' } })).status).toBe(403);
  });
});

describe('event streams', () => {
  const bounds = { max: 3, ofUserMax: 2, heartbeatMs: 15_000, stallMs: 30_000 };

  it('of one user and of all are bounded, and one that ends makes room', async () => {
    const { ask, base, keys, test } = await start({ streams: bounds });
    for (const user of ['limits-ada', 'limits-bea']) await openLane(test.store, user).admit('t1');
    const [ada, bea] = ['limits-ada', 'limits-bea'].map((user) => `/v1/users/${user}/events`);
    const opened = [await openStream(base + ada, keys.service), await openStream(base + ada, keys.service)];
    expect(await ask(ada ?? '')).toMatchObject({ status: 429, json: { code: 'STREAMS_EXCEEDED' } });
    opened.push(await openStream(base + bea, keys.service));
    expect(await ask(bea ?? '')).toMatchObject({ status: 429, json: { code: 'STREAMS_EXCEEDED' } });
    opened[0]?.();
    await waitFor('room for another', async () => {
      try {
        opened.push(await openStream(base + bea, keys.service));
        return true;
      } catch {
        return false;
      }
    });
    opened.forEach((end) => end());
  });

  it('that are quiet say so all the same', async () => {
    const { base, keys, test } = await start({ streams: { ...bounds, heartbeatMs: 20 } });
    await openLane(test.store, 'limits-quiet').admit('t1');
    let heard = '';
    const end = await openStream(`${base}/v1/users/limits-quiet/events`, keys.service, (text) => (heard += text));
    await waitFor('some heartbeats', () => heard.split(':\n\n').length > 5);
    end();
  });

  it('whose reader takes nothing are given up', async () => {
    const { base, keys, test } = await start({ streams: { ...bounds, ofUserMax: 1, stallMs: 300 } });
    await openLane(test.store, 'limits-slow').admit('t1');
    // More than both ends of a connection hold by themselves.
    await test.store.query(manyEvents, ['limits-slow', 150, 200_000]);
    const url = `${base}/v1/users/limits-slow/events`;
    const end = await openStream(url, keys.service, 'takes nothing');
    await expect(openStream(url, keys.service)).rejects.toThrow('429');
    await waitFor('the only place is free again', async () => {
      try {
        (await openStream(url, keys.service))();
        return true;
      } catch {
        return false;
      }
    });
    end();
  });
});

describe('the end of the gateway', () => {
  it('answers what it holds, ends the streams, and loses no turn', async () => {
    const gateway = await start();
    const { submit, read, test, app } = gateway;
    await submit('limits-ada', { prompt: 'hello', turnId: 't1' });
    const reader = read('/v1/users/limits-ada/events');
    await waitFor('the stream runs', () => reader.seen.length > 0);
    const held = gateway.ask('/v1/users/limits-ada/turns?wait=60', {
      method: 'POST',
      body: { prompt: 'more', turnId: 't2' },
    });
    await waitFor('the second turn is admitted', async () => {
      return (await getTurn(test.store, { userId: 'limits-ada', turnId: 't2' }).catch(() => undefined)) !== undefined;
    });
    await app.close();
    await reader.ended;
    expect(await held).toMatchObject({ status: 202, json: { turnId: 't2', state: 'queued' } });
    // Kept for another request, the connection would be waited for.
    expect((await held).headers.get('connection')).toBe('close');
  });

  // Below the minute that Node itself gives a connection to ask for something.
  it('waits for no connection on which nothing is asked', { timeout: 20_000 }, async () => {
    const { app, base } = await start();
    const socket = connect(Number(new URL(base).port), '127.0.0.1');
    await once(socket, 'connect');
    const closed = once(socket, 'close');
    await app.close();
    await closed;
  });
});

async function inTurn<T>(times: number, work: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let n = 0; n < times; n += 1) results.push(await work());
  return results;
}

/** Opens a stream; answers how to leave it. Rejects where it is refused. */
function openStream(
  url: string,
  key: string,
  onText: ((text: string) => void) | 'takes nothing' = () => undefined,
): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers: { authorization: `Bearer ${key}` } }, (answer) => {
      answer.on('error', () => undefined); // Left.
      if (answer.statusCode === 200) {
        if (onText !== 'takes nothing') answer.setEncoding('utf8').on('data', onText);
        resolve(() => asked.destroy());
      } else {
        asked.destroy();
        reject(new Error(`the stream was refused: ${answer.statusCode}`));
      }
    });
    asked.on('error', reject);
    asked.end();
  });
}
