/**
 * Goal: a follower misses nothing and is told nothing twice, wherever it breaks off and goes on, and is told what nobody has any more.
 * Method: a lane that talks and works on real Postgres, followers that break off at random and resume by the id that they saw last, and
 * the text as it was said to compare with. The listening connection is ended and the live text lost in between.
 */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { formatPosition, parsePosition, type EventPosition } from '../../src/contracts/events.js';
import { createEventFeed, type EventFeed, type FeedItem } from '../../src/client/event-feed.js';
import { removeWaiting } from '../../src/store/admission.js';
import { beginCall } from '../../src/store/calls.js';
import { ANSWER_PART, appendDeltas } from '../../src/store/deltas.js';
import { readEvents } from '../../src/store/events.js';
import { settleCall } from '../../src/store/settle.js';
import { beginStep, storeAnswer } from '../../src/store/steps.js';
import { createTurnListener, type TurnListener } from '../../src/store/turn-listener.js';
import { waitFor } from '../support/wait-for.js';
import { bash, makeReady, openLane, openStore, type TestLane, type TestStore } from './support/lanes.js';

let test: TestStore;
let listener: TurnListener;
let feed: EventFeed;
let stop: AbortController;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());
beforeEach(() => {
  listener = createTurnListener({ url: test.url, store: test.store });
  feed = createEventFeed({ store: test.store, listener });
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort(new Error('over'));
  await listener.close();
});

/** What a follower was handed, checked item by item. */
class Heard {
  readonly faults: string[] = [];
  readonly types: string[] = [];
  resyncs = 0;
  /** As an event stream would hand it over. */
  id = '0';
  #seq = 0;
  #folded = new Set<string>();
  #part = { name: '', try: 0, n: 0, text: '' };
  /** Whole text of each part that the follower has seen the end of, beside what it heard of it live. */
  readonly parts: { readonly name: string; readonly live: string; readonly whole: string }[] = [];

  /** What it heard of the part that is being made. */
  get live(): string {
    return this.#part.text;
  }

  take(item: FeedItem): void {
    this.id = formatPosition(item.position);
    if ('event' in item) this.#takeEvent(item.event);
    else this.#takeDelta(item);
  }

  #takeEvent({ seq, turnId, body }: Extract<FeedItem, { event: unknown }>['event']): void {
    if (seq !== this.#seq + 1) this.faults.push(`event ${seq} after ${this.#seq}`);
    this.#seq = seq;
    this.types.push(body.type);
    if (body.type !== 'step.answered' && body.type !== 'command.ended') return;
    const whole = body.type === 'step.answered' ? body.text : body.output;
    const name = `${turnId} ${body.step} ${body.type === 'step.answered' ? ANSWER_PART : body.index}`;
    this.#folded.add(name);
    if (this.#part.name === name) this.parts.push({ name, live: this.#part.text, whole });
    this.#part = { name: '', try: 0, n: 0, text: '' };
  }

  #takeDelta({ position, delta }: Extract<FeedItem, { delta: unknown }>): void {
    const { turnId, step, index, body } = delta;
    const { try: by, n } = position;
    const name = `${turnId} ${step} ${index ?? ANSWER_PART}`;
    if (this.#folded.has(name)) this.faults.push(`live text of ${name} after its end`);
    if (body.type === 'part.restarted') {
      this.#part = { ...this.#part, try: by, n, text: '' };
      return;
    }
    if (body.type === 'part.resync') {
      this.resyncs += 1;
      this.#part = { name, try: by, n, text: '' };
      return;
    }
    const isFirst = this.#part.name === '' || this.#part.try !== by;
    const expected = isFirst ? 1 : this.#part.n + 1;
    if (n !== expected) this.faults.push(`delta ${by}:${n} of ${name} in place of ${expected}`);
    const text = 'text' in body ? body.text : body.argumentsJson;
    this.#part = { name, try: by, n, text: (isFirst ? '' : this.#part.text) + text };
  }
}

/** Follows until the user's turn `last` has ended; breaks off after so many items and resumes by id, where `pieces` says so. */
async function followTo(
  userId: string,
  last: string,
  { pieces = () => Infinity, heard = new Heard() }: { pieces?: () => number; heard?: Heard } = {},
): Promise<Heard> {
  for (;;) {
    const own = new AbortController();
    const after = parsePosition(heard.id) as EventPosition;
    let left = pieces();
    for await (const item of feed.follow({ userId, after, signal: AbortSignal.any([own.signal, stop.signal]) })) {
      heard.take(item);
      if ('event' in item && item.event.turnId === last && item.event.body.type === 'turn.ended') return heard;
      if ((left -= 1) <= 0) break;
    }
  }
}

const WORDS = 'Let me see what there is, and tell you all about it in the end.'.split(/(?<= )/);

/**
 * One turn: an answer in pieces, with a second try where asked for, a command that prints, and a last answer. `listener`: no part is
 * completed before it has heard all of it, since a part's end leaves out whatever has not been handed over by then. `beforeEnd`: of
 * the first part.
 */
async function talk(
  lane: TestLane,
  turnId: string,
  more: { retry?: boolean; after?: () => Promise<void>; listener?: Heard; beforeEnd?: () => Promise<void> } = {},
): Promise<void> {
  const turn = await lane.run(turnId);
  const { turnKey } = turn;
  const say = async (step: number, attempt: number, words: readonly string[]): Promise<void> => {
    for (const [at, text] of words.entries()) {
      const part = { turnKey, step, index: ANSWER_PART, try: attempt };
      await appendDeltas(test.store, { ...part, deltas: [{ n: at + 1, body: { type: 'answer.delta', text } }] });
      if (at === 3) await more.after?.();
    }
  };
  const isHeard = async (text: string): Promise<void> => {
    const { listener: by } = more;
    if (by !== undefined) await waitFor('the live text is heard', () => by.live === text);
  };
  const answer = async (step: number, attempt: number, calls: Parameters<TestLane['answer']>[2]): Promise<void> => {
    await isHeard(WORDS.join(''));
    await storeAnswer(test.store, {
      ...{ ...lane, turnKey, step, try: attempt, calls },
      answer: { text: WORDS.join(''), finish: 'stop', model: 'm', usage: undefined },
      close: calls.length === 0 ? { outcome: 'completed', code: null } : null,
    });
  };
  await beginStep(test.store, { ...lane, turnKey, step: 0 });
  await say(0, 1, more.retry === true ? ['Something ', 'else'] : WORDS);
  if (more.retry === true) {
    await beginStep(test.store, { ...lane, turnKey, step: 0 });
    await say(0, 2, WORDS);
  }
  await more.beforeEnd?.();
  await answer(0, more.retry === true ? 2 : 1, [bash('make')]);
  const key = { turnKey, step: 0, index: 0 };
  await beginCall(test.store, { ...lane, ...key, boot: { generation: 1, bootId: 'boot-1' } });
  for (const [at, text] of ['one\n', 'two\n', 'three\n'].entries()) {
    const deltas = [{ n: at + 1, body: { type: 'output.delta', text } as const }];
    await appendDeltas(test.store, { ...key, try: 1, deltas });
  }
  await isHeard('one\ntwo\nthree\n');
  const result = { outcome: 'exited', reason: null, result: { exitCode: 0 }, shown: 'one\ntwo\nthree\n' } as const;
  await settleCall(test.store, { ...lane, ...key, try: 1, ...result });
  await beginStep(test.store, { ...lane, turnKey, step: 1 });
  await say(1, 1, WORDS);
  await answer(1, 1, []);
}

async function newLane(userId: string): Promise<TestLane> {
  const lane = openLane(test.store, userId);
  await lane.admit('first');
  await lane.open();
  await makeReady(test.store, lane);
  await lane.close('first');
  return lane;
}

describe('a follower', () => {
  it('hears every event and all live text, in order and once', async () => {
    const lane = await newLane('whole');
    const heard = new Heard();
    const hearing = followTo('whole', 't2', { heard });
    await talk(lane, 't1', { listener: heard });
    await talk(lane, 't2', { retry: true, listener: heard });
    await hearing;
    expect(heard.faults).toEqual([]);
    expect(heard.resyncs).toBe(0);
    expect(heard.parts).toHaveLength(6);
    for (const { live, whole } of heard.parts) expect(live).toBe(whole);
    expect(feed.users).toBe(0);
  });

  it('that breaks off a thousand times at random points and resumes by id hears the same', async () => {
    const lane = await newLane('broken');
    let breaks = 0;
    let seed = 7;
    const pieces = (): number => {
      breaks += 1;
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return 1 + (seed % 5);
    };
    const turns = Array.from({ length: 30 }, (_, index) => `t${index}`);
    const hearing = Promise.all(Array.from({ length: 10 }, () => followTo('broken', 't29', { pieces })));
    for (const [index, turnId] of turns.entries()) await talk(lane, turnId, { retry: index % 3 === 0 });
    const all = await hearing;
    expect(breaks).toBeGreaterThan(1_000);
    for (const heard of all) {
      expect(heard.faults).toEqual([]);
      expect(heard.resyncs).toBe(0);
      for (const { live, whole } of heard.parts) expect(whole.startsWith(live)).toBe(true);
    }
    expect(feed.users).toBe(0);
  });

  it('hears the same while the listening connection is ended again and again', async () => {
    const lane = await newLane('unheard');
    const admin = new pg.Client({ connectionString: test.url });
    await admin.connect();
    try {
      const end = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'innkeeper-listener'
        and datname = current_database()`;
      const hearing = followTo('unheard', 't5');
      for (let index = 0; index <= 5; index += 1) {
        await talk(lane, `t${index}`, { after: async () => void (await admin.query(end)) });
      }
      const heard = await hearing;
      expect(heard.faults).toEqual([]);
      for (const { live, whole } of heard.parts) expect(whole.startsWith(live)).toBe(true);
    } finally {
      await admin.end();
    }
  });

  it('hears nothing twice when a turn that waits is removed in the middle of a part', async () => {
    const lane = await newLane('removed');
    const remove = async (): Promise<void> => {
      const turnId = `waits-${(removed += 1)}`;
      await lane.admit(turnId);
      await removeWaiting(test.store, { userId: 'removed', turnId });
    };
    let removed = 0;
    const hearing = Promise.all([followTo('removed', 't2'), followTo('removed', 't2', { pieces: () => 2 })]);
    await waitFor('the followers listen', () => feed.users === 1);
    await talk(lane, 't1', { after: remove });
    await talk(lane, 't2', { after: remove });
    for (const heard of await hearing) {
      expect(heard.faults).toEqual([]);
      for (const { live, whole } of heard.parts) expect(whole.startsWith(live)).toBe(true);
    }
    expect(removed).toBe(4);
  });

  it('that comes when a part’s beginning is lost is told so, and hears the rest and the whole', async () => {
    const lane = await newLane('lost');
    const heard = new Heard();
    let late: Promise<Heard> | undefined;
    const lose = async (): Promise<void> => {
      await test.store.query({ name: 'lose', text: `delete from turn_deltas where user_id = 'lost'` }, []);
      if (late !== undefined) return;
      late = followTo('lost', 't1', { heard });
      await waitFor('the late follower has looked', () => heard.types.includes('turn.started'));
    };
    const isToldSo = async (): Promise<void> => {
      await waitFor('it is told so', () => heard.resyncs > 0);
    };
    await talk(lane, 't1', { after: lose, beforeEnd: isToldSo });
    await late;
    expect(heard.faults).toEqual([]);
    expect(heard.resyncs).toBeGreaterThan(0);
    expect(heard.types.at(-1)).toBe('turn.ended');
  });

  it('of one turn hears nothing of the others; from the end, nothing that was', async () => {
    const lane = await newLane('filtered');
    await talk(lane, 't1');
    const signal = stop.signal;
    const seen: FeedItem[] = [];
    const ends = feed.follow({ userId: 'filtered', turnId: 't3', after: 'end', signal });
    const hearing = (async () => {
      for await (const item of ends) {
        seen.push(item);
        if ('event' in item && item.event.body.type === 'turn.ended') return;
      }
    })();
    await waitFor('the follower listens', () => feed.users === 1);
    await talk(lane, 't2');
    await talk(lane, 't3');
    await hearing;
    expect(new Set(seen.map((item) => ('event' in item ? item.event.turnId : item.delta.turnId)))).toEqual(
      new Set(['t3']),
    );
    expect(seen.map((item) => ('event' in item ? item.event.body.type : undefined))).toContain('turn.queued');
  });

  it('goes on from what was heard at another process, though this one has not been told of it yet', async () => {
    const { signal } = stop;
    const deaf = createEventFeed({
      store: test.store,
      listener: { subscribe: () => () => undefined, subscribeDeltas: () => () => undefined },
    });
    const lane = await newLane('behind');
    const other = new AbortController();
    const waiting = deaf.follow({ userId: 'behind', after: 'end', signal: other.signal }).next();
    await waitFor('the feed is open', () => deaf.users === 1);
    await talk(lane, 't1');
    const events = await readEvents(test.store, { userId: 'behind', after: 0, limit: 1_000 });
    const last = events.at(-1)?.seq ?? 0;
    const { value } = await deaf.follow({ userId: 'behind', after: { seq: last - 1, try: 0, n: 0 }, signal }).next();
    expect(value.position.seq).toBe(last);
    other.abort(new Error('enough'));
    await waiting.catch(() => undefined);
  });

  it('of nobody, or from a position that lies ahead, is refused; one that is stopped leaves nothing behind', async () => {
    const { signal } = stop;
    const first = (options: Parameters<EventFeed['follow']>[0]): Promise<unknown> => feed.follow(options).next();
    await expect(first({ userId: 'nobody', signal })).rejects.toMatchObject({ code: 'USER_UNKNOWN' });
    await newLane('ahead');
    const ahead = { userId: 'ahead', after: { seq: 10_000, try: 0, n: 0 }, signal };
    await expect(first(ahead)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    const own = new AbortController();
    const waiting = first({ userId: 'ahead', after: 'end', signal: own.signal });
    await waitFor('the follower listens', () => feed.users === 1);
    own.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    expect(feed.users).toBe(0);
  });
});

describe('ids of events', () => {
  it.each(['0', '7', '7:1:3', '7:2:0'])('%s is read as it is written', (id) => {
    expect(formatPosition(parsePosition(id) as EventPosition)).toBe(id);
  });
  it.each(['', 'x', '-1', '1:2', '1:2:3:4', '1.5', ' 1', '1'.repeat(16)])('"%s" is none', (id) => {
    expect(parsePosition(id)).toBeUndefined();
  });
});
