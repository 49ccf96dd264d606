/** Goal: live text goes out soon, in order and without gaps, and never holds its step up. Method: fake timers and a port that answers as told. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openLivePart, type LivePart } from '../../../src/activities/live-text.js';
import type { TurnDeltaBody } from '../../../src/contracts/events.js';
import { LIVE_BATCH_BYTES, LIVE_BATCH_MS, LIVE_RETRY_MS } from '../../../src/contracts/limits.js';
import { silentLogger } from '../../../src/log.js';
import type { PlacedDelta } from '../../../src/store/deltas.js';

let written: (readonly PlacedDelta[])[];
let answer: () => Promise<boolean>;
let part: LivePart;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  written = [];
  answer = () => Promise.resolve(true);
  const live = {
    append: ({ deltas }: { readonly deltas: readonly PlacedDelta[] }): Promise<boolean> => {
      written.push(deltas);
      return answer();
    },
  };
  part = openLivePart({ live, log: silentLogger() }, { turnKey: '1', step: 0, index: -1, try: 1 });
});
afterEach(() => vi.useRealTimers());

const say = (text: string): TurnDeltaBody => ({ type: 'answer.delta', text });
const call = (index: number, argumentsJson: string): TurnDeltaBody => {
  return { type: 'call.delta', index, tool: 'bash', argumentsJson };
};
const elapse = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe('live text', () => {
  it('is written in batches, like pieces joined, each with the next place', async () => {
    for (const text of ['a', 'b', 'c']) part.push(say(text));
    expect(written).toEqual([]);
    await elapse(LIVE_BATCH_MS);
    part.push(say('d'));
    part.push(call(0, '{"com'));
    part.push(call(0, 'mand":'));
    part.push(call(1, '{}'));
    await elapse(LIVE_BATCH_MS);
    expect(written).toEqual([
      [{ n: 1, body: say('abc') }],
      [
        { n: 2, body: say('d') },
        { n: 3, body: call(0, '{"command":') },
        { n: 4, body: call(1, '{}') },
      ],
    ]);
  });

  it('that is long is written at once', () => {
    part.push(say('x'.repeat(LIVE_BATCH_BYTES)));
    expect(written).toHaveLength(1);
  });

  it('waits for the write before it, then goes out as one', async () => {
    let done = (): void => undefined;
    answer = () => new Promise((resolve) => (done = () => resolve(true)));
    part.push(say('a'));
    await elapse(LIVE_BATCH_MS);
    for (const text of ['b', 'c']) {
      part.push(say(text));
      await elapse(5 * LIVE_BATCH_MS);
    }
    expect(written).toHaveLength(1);
    done();
    await elapse(LIVE_BATCH_MS);
    expect(written[1]).toEqual([{ n: 2, body: say('bc') }]);
  });

  it('is kept while Postgres is away, and leaves no gap', async () => {
    answer = () => Promise.reject(new Error('away'));
    part.push(say('a'));
    await elapse(LIVE_BATCH_MS);
    part.push(say('b'));
    await elapse(2 * LIVE_RETRY_MS);
    expect(written.length).toBeGreaterThan(1);
    answer = () => Promise.resolve(true);
    const before = written.length;
    await elapse(LIVE_RETRY_MS + LIVE_BATCH_MS);
    expect(written.slice(before)).toEqual([[{ n: 1, body: say('a') }], [{ n: 2, body: say('b') }]]);
  });

  it('ends for good where the part is complete, or another try owns it', async () => {
    answer = () => Promise.resolve(false);
    part.push(say('a'));
    await elapse(LIVE_BATCH_MS);
    part.push(say('b'));
    await elapse(10 * LIVE_BATCH_MS);
    expect(written).toHaveLength(1);
  });
});

describe('closing', () => {
  it('drops what waits, and waits for what is being written', async () => {
    let done = (): void => undefined;
    answer = () => new Promise((resolve) => (done = () => resolve(true)));
    part.push(say('a'));
    await elapse(LIVE_BATCH_MS);
    part.push(say('b'));
    let isClosed = false;
    const closed = part.close().then(() => (isClosed = true));
    await elapse(LIVE_BATCH_MS);
    expect(isClosed).toBe(false);
    done();
    await closed;
    await elapse(10 * LIVE_BATCH_MS);
    expect(written).toHaveLength(1);
  });

  it('does not wait for a Postgres that is away', async () => {
    answer = () => Promise.reject(new Error('away'));
    part.push(say('a'));
    await elapse(LIVE_BATCH_MS);
    await part.close();
    await elapse(2 * LIVE_RETRY_MS);
    expect(written).toHaveLength(1);
  });
});
