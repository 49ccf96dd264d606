/**
 * Goal: whoever opens the page in the middle of anything, or loses the connection there, sees what one sees who watched from the
 * beginning: nothing missing, nothing twice. Method: random histories, cut at random places; what the gateway answers at a cut is made
 * by a model of its own.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StreamEvent } from '../../../web/api/answers.js';
import { apply, isNext } from '../../../web/talk/apply.js';
import { fromPage, withEarlier, withTurn } from '../../../web/talk/pages.js';
import { joinLive, type Talk } from '../../../web/talk/talk.js';
import { runs } from '../../support/properties.js';
import { snapshotOf } from './support/gateway-model.js';
import { toFrames, worlds, type Frame } from './support/world.js';

const EMPTY = fromPage({ items: [], next: null, events: '0' });

const fold = (talk: Talk, events: readonly StreamEvent[]): Talk => events.reduce(apply, talk);
const eventsOf = (frames: readonly Frame[]): StreamEvent[] => frames.map(({ event }) => event);

/** What a reader sees, prompts known. */
function seen(talk: Talk, frames: readonly Frame[]): unknown {
  const told = snapshotOf(frames).turns.reduce(withTurn, talk);
  const shown = new Set([...told.entries, ...told.waiting].map(({ turnId }) => turnId));
  const { answer } = told;
  const isRunning = (turnId: string | null): boolean => turnId !== null && told.turns.get(turnId)?.state === 'running';
  const isAnswering =
    answer !== null && joinLive(answer.text) + answer.calls.map((call) => call.argumentsJson).join('') !== '';
  return {
    entries: told.entries.map(({ kind, turnId, step, text, at, calls }) => ({
      ...{ kind, turnId, step, at, text: kind === 'note' ? null : text },
      // Live text of what is over has served; who came when is no part of what there is.
      calls: calls.map(({ live, isWatched: _isWatched, ...call }) => ({
        ...call,
        live: isRunning(turnId) && call.outcome === null ? joinLive(live) : '',
      })),
    })),
    waiting: told.waiting,
    statuses: [...told.turns].filter(([turnId]) => shown.has(turnId)).sort(([one], [other]) => (one < other ? -1 : 1)),
    answer: isAnswering ? { ...answer, text: joinLive(answer.text) } : null,
  };
}

/** A world with two places in its frames, the first not behind the second. */
const cutWorlds = fc.tuple(worlds.map(toFrames), fc.nat(), fc.nat()).map(([frames, one, other]) => {
  const places = [one % (frames.length + 1), other % (frames.length + 1)].sort((a, b) => a - b);
  return { frames, cut: places[0] ?? 0, end: places[1] ?? 0 };
});

describe('a talk', () => {
  it('is the same for who came in the middle and for who was there from the beginning', () => {
    fc.assert(
      fc.property(cutWorlds, ({ frames, cut, end }) => {
        const { page, turns, live } = snapshotOf(frames.slice(0, cut));
        const late = fold(turns.reduce(withTurn, fromPage(page)), [...live, ...eventsOf(frames.slice(cut, end))]);
        const whole = fold(EMPTY, eventsOf(frames.slice(0, end)));
        expect(seen(late, frames.slice(0, end))).toEqual(seen(whole, frames.slice(0, end)));
      }),
      runs(400),
    );
  });

  it('does not change by events that were heard before, and takes each that is next', () => {
    fc.assert(
      fc.property(cutWorlds, ({ frames, cut, end }) => {
        const whole = fold(EMPTY, eventsOf(frames.slice(0, end)));
        const again = eventsOf(frames.slice(cut, end)).filter((event) => 'seq' in event);
        expect(fold(whole, again)).toEqual(whole);
        let talk = EMPTY;
        for (const event of eventsOf(frames)) {
          expect(isNext(talk, event)).toBe(true);
          talk = apply(talk, event);
        }
        const missing = eventsOf(frames.slice(end)).find((event) => 'seq' in event && event.seq > whole.seq + 1);
        if (missing !== undefined) expect(isNext(whole, missing)).toBe(false);
      }),
      runs(200),
    );
  });

  it('is the same by many pages as by one', () => {
    fc.assert(
      fc.property(cutWorlds, fc.integer({ min: 1, max: 4 }), ({ frames }, size) => {
        const { page } = snapshotOf(frames);
        let talk = fromPage({ ...page, items: page.items.slice(0, size), next: 'more' });
        for (let from = size; from < page.items.length; from += size) {
          talk = withEarlier(talk, { ...page, items: page.items.slice(from, from + size) });
        }
        expect(seen(talk, frames)).toEqual(seen(fromPage(page), frames));
      }),
      runs(100),
    );
  });
});
