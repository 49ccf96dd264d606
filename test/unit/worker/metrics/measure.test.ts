/** Goal: a part that is watched answers and throws as it would alone, whatever becomes of its figures. Method: figures that always throw. */
import { describe, expect, it, vi } from 'vitest';
import { InnkeeperError } from '../../../../src/contracts/errors.js';
import type { MachineProvider } from '../../../../src/machines/provider.js';
import type { ChatAnswer, ChatModel, ChatRequest } from '../../../../src/model/chat-model.js';
import { createFigures, type Figures } from '../../../../src/worker/metrics/figures.js';
import {
  measureActivities,
  measureLiveText,
  measureModel,
  measureProvider,
} from '../../../../src/worker/metrics/measure.js';

const throwing = new Proxy(createFigures(), {
  get: () => () => {
    throw new Error('no figure');
  },
});
const refused = new InnkeeperError('REVISION_CONFLICT', 'no');

describe.each([
  ['that works', createFigures()],
  ['that fails', throwing],
] as const)('a watch %s', (_what, figures: Figures) => {
  it('leaves the provider as it is', async () => {
    const port = {
      takesAutosleep: true,
      hasTerminals: () => true,
      find: () => Promise.resolve(undefined),
      wake: () => Promise.reject(refused),
    } as unknown as MachineProvider;
    const watched = measureProvider(figures, port);
    expect([watched.takesAutosleep, watched.hasTerminals(), await watched.find('m')]).toEqual([true, true, undefined]);
    await expect(watched.wake('m', { idempotencyKey: 'k', ifMatch: '1' })).rejects.toBe(refused);
  });

  it('leaves the model as it is', async () => {
    const answer: ChatAnswer = { content: 'x', toolCalls: [], finish: 'stop', usage: undefined, model: 'm' };
    const complete = vi.fn<ChatModel['complete']>(() => Promise.resolve(answer));
    const request: ChatRequest = { messages: [], tools: [], signal: new AbortController().signal };
    expect(await measureModel(figures, { complete }).complete(request)).toBe(answer);
    expect(complete).toHaveBeenCalledExactlyOnceWith(request);
  });

  it('leaves an activity as it is', async () => {
    const info = { activityType: 'reconcileUsers', scheduledTimestampMs: 0 };
    const { inbound } = measureActivities(figures)({ info } as Parameters<ReturnType<typeof measureActivities>>[0]);
    const run = (next: () => Promise<unknown>): Promise<unknown> | undefined =>
      inbound?.execute?.({ args: [], headers: {} }, next);
    expect(await run(() => Promise.resolve('a result'))).toBe('a result');
    await expect(run(() => Promise.reject(refused))).rejects.toBe(refused);
  });
});

it('live text that is refused is not heard', async () => {
  const figures = createFigures();
  const told = vi.spyOn(figures, 'told');
  const said = { turnKey: '1', step: 0, index: 0, try: 1, deltas: [] };
  for (const isTaken of [false, true]) {
    expect(await measureLiveText(figures, { append: () => Promise.resolve(isTaken) }).append(said)).toBe(isTaken);
  }
  expect(told).toHaveBeenCalledExactlyOnceWith('1');
});
