/** Goal: a machine is touched often enough while steps run, and never when nobody works on it. Method: fake timers and a counting provider. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createKeepAwake, type KeepAwake } from '../../../src/activities/keep-awake.js';
import { silentLogger } from '../../../src/log.js';
import type { MachineProvider, MutationOptions } from '../../../src/machines/provider.js';

const INTERVAL_MS = 1_000;
const LANE = 'user-machine/ada';

let touches: { machineId: string; key: string; signal: AbortSignal | undefined }[];
let takesAutosleep: boolean;
let answer: () => Promise<unknown>;
let keepAwake: KeepAwake;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  touches = [];
  takesAutosleep = false;
  answer = () => Promise.resolve({});
  let keys = 0;
  keepAwake = createKeepAwake({
    machines: {
      get takesAutosleep() {
        return takesAutosleep;
      },
      settle: () => Promise.resolve(),
      execute: (machineId: string, _request: unknown, { idempotencyKey: key, signal }: MutationOptions) => {
        touches.push({ machineId, key, signal });
        return answer();
      },
    } as Partial<MachineProvider> as MachineProvider,
    intervalMs: INTERVAL_MS,
    newKey: () => `key-${(keys += 1)}`,
    log: silentLogger(),
  });
});
afterEach(() => vi.useRealTimers());

/** Works for so long, in small pieces of time. */
async function work(forMs: number, target: () => string | undefined = () => 'dm-1', lane = LANE): Promise<void> {
  let done = (): void => undefined;
  const working = keepAwake.during(lane, target, () => new Promise<void>((resolve) => (done = resolve)));
  await vi.advanceTimersByTimeAsync(forMs);
  done();
  await working;
}

it('touches the machine in every interval of a long step, each time under a key of its own', async () => {
  await work(5 * INTERVAL_MS + 10);
  expect(touches.map(({ machineId }) => machineId)).toEqual(Array(5).fill('dm-1'));
  expect(new Set(touches.map(({ key }) => key)).size).toBe(5);
});

it('goes on counting from one short step to the next', async () => {
  for (let step = 0; step < 10; step += 1) await work(INTERVAL_MS / 2);
  expect(touches.length).toBeGreaterThanOrEqual(4);
});

it('touches nothing once the step is over, and ends a touch under way', async () => {
  answer = () => new Promise(() => undefined);
  await work(INTERVAL_MS + 10);
  expect(touches).toHaveLength(1);
  expect(touches[0]?.signal?.aborted).toBe(true);
  await vi.advanceTimersByTimeAsync(10 * INTERVAL_MS);
  expect(touches).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
});

it('does not touch a machine that is not awake, or whose provider has an autosleep of ours', async () => {
  await work(3 * INTERVAL_MS, () => undefined);
  takesAutosleep = true;
  await work(3 * INTERVAL_MS);
  expect(touches).toEqual([]);
});

it('goes on after a touch that failed, without failing the step', async () => {
  answer = () => Promise.reject(new Error('away'));
  await work(3 * INTERVAL_MS + 10);
  expect(touches).toHaveLength(3);
});

it('never touches twice at a time', async () => {
  answer = () => new Promise((resolve) => setTimeout(resolve, 3 * INTERVAL_MS));
  await work(5 * INTERVAL_MS);
  expect(touches).toHaveLength(2);
});

it('passes on what the step answers and throws', async () => {
  expect(
    await keepAwake.during(
      LANE,
      () => 'dm-1',
      () => Promise.resolve(7),
    ),
  ).toBe(7);
  await expect(
    keepAwake.during(
      LANE,
      () => 'dm-1',
      () => Promise.reject(new Error('no')),
    ),
  ).rejects.toThrow('no');
  expect(vi.getTimerCount()).toBe(0);
});
