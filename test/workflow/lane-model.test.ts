/**
 * Goal: whatever is asked of a lane and befalls it, every admitted turn ends once, in order, one at a time; the machine never goes to
 * sleep under anything that needs it; asleep, the lane goes on in a fresh run without a timer; and all that it did replays. Method: a
 * reference model beside the real workflow on the real server (support/lane-world.ts), over sequences at random. A failure prints the
 * steps, and the seed and path to repeat them.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { modelRuns } from '../support/properties.js';
import { testTemporal } from '../support/servers.js';
import { startLaneHarness, type LaneHarness } from './support/lane-harness.js';
import type { LaneSettings } from './support/lane-record.js';
import { FAILURES, HELD, LaneWorld, type Step } from './support/lane-world.js';

/** Lanes that are tried at once. */
const LANES_AT_ONCE = 6;
const STEPS_MAX = 14;
const RANDOM_RUNS = 8;
const TEST_MS = 3_600_000;

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
// It replays the histories of every lane.
afterAll(() => harness.close(), TEST_MS);

/** So that a failure prints steps as they are written. */
const PLAIN = { noNullPrototype: true } as const;

interface Life {
  readonly settings: LaneSettings;
  readonly steps: readonly Step[];
}

const target = fc.integer({ min: 0, max: 40 });
const tools = fc.array(fc.constantFrom('bash', 'read_file'), { minLength: 1, maxLength: 2 });
const plan = fc.array(tools, { maxLength: 3 });
const turn: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record(
      { kind: fc.constantFrom('submit' as const, 'submit' as const, 'submit unheard' as const), plan },
      PLAIN,
    ),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('inline' as const) }, PLAIN) },
);
const ofTurn: fc.Arbitrary<Step> = fc.record(
  {
    kind: fc.constantFrom('again', 'announce', 'announce', 'cancel', 'cancel by signal', 'reuse'),
    target,
  },
  PLAIN,
);
const trouble: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('fail' as const), target: fc.nat(FAILURES.length - 1) }, PLAIN),
  fc.record({ kind: fc.constant('hold' as const), target: fc.nat(HELD.length - 1) }, PLAIN),
);
const plain: fc.Arbitrary<Step> = fc.record(
  {
    kind: fc.constantFrom(
      ...(['sleepNow', 'sleepNow', 'wakeNow', 'machineLost', 'machine gone', 'fell asleep', 'boot lost'] as const),
      ...(['nonsense', 'release', 'rest', 'rest', 'terminate'] as const),
    ),
  },
  PLAIN,
);
const end: fc.Arbitrary<Step> = fc.record({ kind: fc.constantFrom('destroy', 'create again') }, PLAIN);

const life: fc.Arbitrary<Life> = fc.record(
  {
    settings: fc.record(
      {
        idleMs: fc.constantFrom(200, 3_600_000),
        stepsMax: fc.constantFrom(3, 50, 50),
        wallMs: fc.constantFrom(700, 1_800_000, 1_800_000),
      },
      PLAIN,
    ),
    steps: fc.array(
      fc.oneof(
        { weight: 6, arbitrary: turn },
        { weight: 3, arbitrary: ofTurn },
        { weight: 3, arbitrary: trouble },
        { weight: 5, arbitrary: plain },
        { weight: 1, arbitrary: end },
      ),
      { minLength: 4, maxLength: STEPS_MAX },
    ),
  },
  PLAIN,
);

async function live({ settings, steps }: Life): Promise<void> {
  const world = await LaneWorld.start(harness, settings);
  try {
    for (const step of steps) await world.take(step);
    await world.check();
  } catch (error) {
    const told = steps.map((step) => JSON.stringify(step)).join('\n  ');
    throw new Error(
      `with ${JSON.stringify(settings)} after:\n  ${told}\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      { cause: error },
    );
  } finally {
    world.abandon();
  }
}

test(
  'a lane keeps its promises, whatever is asked of it and befalls it',
  async () => {
    const lives = fc.array(life, { minLength: LANES_AT_ONCE, maxLength: LANES_AT_ONCE });
    await fc.assert(
      fc.asyncProperty(lives, async (all) => {
        await Promise.all(all.map(live));
        expect(harness.violations()).toEqual([]);
      }),
      modelRuns(RANDOM_RUNS),
    );
  },
  TEST_MS,
);
