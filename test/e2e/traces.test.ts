/**
 * Goal: one message is one trace, from the request over the lane to the model and the machine, the next message another, and none of
 * them holds a word of anybody's. Method: a whole stack with a gateway, whose spans a collector of the test's own receives.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSpanCollector, type CollectedSpan, type SpanCollector } from '../support/span-collector.js';
import { waitFor } from '../support/wait-for.js';
import { endOf, say, TURN_MS } from './support/actions.js';
import { sleepNow } from './support/trouble.js';
import { openWatchedStage, type WatchedStage } from './support/watched.js';

const CANARY = 'kanarie51c9';
const USER = `${CANARY}-user`;

let collector: SpanCollector;
let stage: WatchedStage;
beforeAll(async () => {
  collector = await startSpanCollector();
  stage = await openWatchedStage({
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=Bearer%20of-the-test',
    },
  });
});
afterAll(async () => {
  await stage.close();
  await collector.close();
});

const nameOf = ({ name }: CollectedSpan): string => name;

/** The spans of the trace that this turn's submission is part of, once `names` are all there. */
async function traceOf(turnId: string, names: readonly string[]): Promise<CollectedSpan[]> {
  const find = (): CollectedSpan[] => {
    const ofTurn = ({ name, attributes }: CollectedSpan): boolean =>
      name === 'client.submitTurn' && attributes['innkeeper.turn_id'] === turnId;
    const traceId = collector.spans.find(ofTurn)?.traceId;
    return collector.spans.filter((span) => span.traceId === traceId);
  };
  await waitFor(`the spans of ${turnId}`, () => {
    const known = new Set(find().map(nameOf));
    return names.every((name) => known.has(name));
  });
  return find();
}

async function submit(turnId: string, prompt: string, headers: Record<string, string> = {}) {
  const answer = await stage.ask(`/v1/users/${USER}/turns`, { turnId, prompt }, 'POST', headers);
  expect(answer.status).toBe(202);
  return endOf(stage.stack.client, { userId: USER, turnId });
}

const ROOT = 'POST /v1/users/:user/turns';
const ALWAYS = [ROOT, 'client.submitTurn', 'signal enqueueTurn', 'lane enqueueTurn'];
const STEPS = ['activity think', 'model.complete', 'activity act', 'guest.run'];

describe('a message', () => {
  it('is one trace from the request to the model and the machine', { timeout: TURN_MS }, async () => {
    const prompt = `${CANARY}-prompt\n$ echo ${CANARY}-output`;
    expect(await submit('first', prompt)).toMatchObject({ state: 'completed' });
    const made = ['activity provisionMachine', 'provider.create', 'activity bootstrapMachine', 'guest.bootstrap'];
    const spans = await traceOf('first', [...ALWAYS, ...STEPS, ...made]);
    expect(collector.header('x-collector-key')).toBe('Bearer of-the-test');
    const services = (name: string): string[] => [
      ...new Set(spans.filter((span) => span.name === name).map(({ service }) => service)),
    ];
    for (const name of ALWAYS.slice(0, 3)) expect(services(name)).toEqual(['innkeeper-gateway']);
    for (const name of ['lane enqueueTurn', ...STEPS, ...made]) expect(services(name)).toEqual(['innkeeper-worker']);

    const byId = new Map(spans.map((span) => [span.spanId, span]));
    const parentOf = (name: string): string | undefined =>
      byId.get(spans.find((span) => span.name === name)?.parentSpanId ?? '')?.name;
    expect(Object.fromEntries([...ALWAYS, ...STEPS, ...made].map((name) => [name, parentOf(name)]))).toEqual({
      [ROOT]: undefined,
      'client.submitTurn': ROOT,
      'signal enqueueTurn': 'client.submitTurn',
      'lane enqueueTurn': 'signal enqueueTurn',
      'activity think': 'signal enqueueTurn',
      'model.complete': 'activity think',
      'activity act': 'signal enqueueTurn',
      'guest.run': 'activity act',
      'activity provisionMachine': 'signal enqueueTurn',
      'provider.create': 'activity provisionMachine',
      'activity bootstrapMachine': 'signal enqueueTurn',
      'guest.bootstrap': 'activity bootstrapMachine',
    });
    expect(spans.find(({ name }) => name === ROOT)?.attributes).toMatchObject({
      'http.route': '/v1/users/:user/turns',
    });
  });

  it(
    'joins the trace of whoever sent it, and the next one is another, also after a sleep',
    { timeout: TURN_MS },
    async () => {
      await sleepNow(stage, USER);
      const traceId = 'c0ffee'.padEnd(32, '0');
      const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
      expect(await submit('second', '$ echo again', { traceparent })).toMatchObject({ state: 'completed' });
      const second = await traceOf('second', [...ALWAYS, ...STEPS, 'activity wakeMachine', 'provider.wake']);
      expect(second[0]?.traceId).toBe(traceId);
      const first = await traceOf('first', []);
      // What the run of the lane before did for the first message, and its sleep, which nobody asked for in a trace.
      expect(first.map(nameOf)).not.toContain('activity sleepMachine');
      expect(first.filter(({ name }) => name === ROOT)).toHaveLength(1);
    },
  );

  it('that came in no trace begins one with each attempt', { timeout: TURN_MS }, async () => {
    const known = new Set(collector.spans.map(({ traceId }) => traceId));
    const turn = { userId: `${CANARY}-alone`, turnId: 'alone', prompt: '$ echo alone' };
    expect(await say(stage.stack.client, turn)).toMatchObject({ state: 'completed' });
    const roots = await waitFor('its spans', () => {
      const news = collector.spans.filter(({ name, traceId }) => name === 'activity think' && !known.has(traceId));
      return news.length === 2 && news;
    });
    expect(roots.map(({ parentSpanId }) => parentSpanId)).toEqual(['', '']);
  });
});

it('no span holds what was said, or by whom', () => {
  expect(collector.spans.length).toBeGreaterThan(20);
  expect(collector.text().toLowerCase()).not.toContain(CANARY);
});
