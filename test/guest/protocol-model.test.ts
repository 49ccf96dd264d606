/**
 * Goal: whatever befalls a command on its way, it runs at most once, is told as it was recorded, and is called unknown only where its
 * runner or its machine died. Method: a reference model beside the real runner in a real shell (support/protocol-world.ts); every pair
 * of mishaps at three moments of one command, then sequences at random over two. A failure prints its steps, and the seed and path
 * to repeat them. Runners that are broken on purpose prove that the model would notice.
 */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadRunner, type RunnerSource } from '../../src/guest/runner-source.js';
import { modelRuns } from '../support/properties.js';
import { COMMANDS, ProtocolWorld, STEP_KINDS, type Step } from './support/protocol-world.js';

/** Machines that are tried at once. */
const WORLDS_AT_ONCE = 4;
const STEPS_MAX = 12;
const RANDOM_RUNS = 4;
const TEST_MS = 3_600_000;
/** Two copies of a line meet each other only where both find a runner that is ready. */
const PLAYS_OF_BROKEN = 5;

type Kind = Step['kind'];
const NO_MISHAPS: readonly Kind[] = ['send', 'release', 'await start', 'await end'];
const MISHAPS = STEP_KINDS.filter((kind) => !NO_MISHAPS.includes(kind));

const MOMENTS: Readonly<Record<string, (first: Kind, second: Kind) => readonly Kind[]>> = {
  'around its submission': (first, second) => [first, 'send', second, 'send'],
  'while it runs': (first, second) => ['send', 'await start', first, second, 'send'],
  'when it is over': (first, second) => ['send', 'await end', first, 'send', second, 'send'],
};

/** How commands ended, over all tests. */
const ends = new Map<string, number>();

async function play(steps: readonly Step[], runner?: RunnerSource): Promise<void> {
  const world = new ProtocolWorld(runner);
  try {
    for (const step of steps) await world.take(step);
    for (const end of await world.check()) ends.set(end, (ends.get(end) ?? 0) + 1);
  } catch (error) {
    const told = steps.map(({ kind, target }) => `${kind} ${target}`).join(', ');
    throw new Error(`after: ${told}\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`, {
      cause: error,
    });
  } finally {
    await world.dispose();
  }
}

/** Plays every sequence, some at once; fails with the first that fails. */
async function playAll(sequences: readonly (readonly Step[])[]): Promise<void> {
  const left = [...sequences];
  await Promise.all(
    Array.from({ length: WORLDS_AT_ONCE }, async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) await play(next);
    }),
  );
}

const ofOne = (kinds: readonly Kind[]): Step[] => kinds.map((kind) => ({ kind, target: 0 }));

describe('a command', () => {
  test.each(Object.entries(MOMENTS))(
    'survives any two mishaps %s',
    async (_moment, sequence) => {
      await playAll(MISHAPS.flatMap((first) => MISHAPS.map((second) => ofOne(sequence(first, second)))));
    },
    TEST_MS,
  );

  test(
    'survives any mishaps in any order, beside another command',
    async () => {
      const kind = fc.oneof(
        { weight: 2, arbitrary: fc.constant<Kind>('send') },
        { weight: 5, arbitrary: fc.constantFrom(...STEP_KINDS) },
      );
      const step: fc.Arbitrary<Step> = fc.record({ kind, target: fc.integer({ min: 0, max: 2 * COMMANDS }) });
      const sequence = fc.array(step, { minLength: 3, maxLength: STEPS_MAX });
      const sequences = fc.array(sequence, { minLength: WORLDS_AT_ONCE, maxLength: WORLDS_AT_ONCE });
      await fc.assert(fc.asyncProperty(sequences, playAll), modelRuns(RANDOM_RUNS));
    },
    TEST_MS,
  );

  test('met every end that there is', () => {
    const all = ['finished', 'stopped', 'stopped_before_start', 'runner_died', 'boot_changed', 'disk_rolled_back'];
    expect(all.filter((end) => !ends.has(end))).toEqual([]);
  });
});

describe('a runner that is broken on purpose', () => {
  const shipped = loadRunner();

  function broken(from: string, to: string): RunnerSource {
    expect(shipped.text.split(from), `"${from}" stands once in the runner`).toHaveLength(2);
    const text = shipped.text.replace(from, to);
    const hash = createHash('sha256').update(text).digest('hex');
    return { text, hash, path: `~/.innkeeper/runner-${hash}.sh` };
  }

  test.each<[string, string, string, readonly Kind[]]>([
    [
      'takes no lock and looks for no record',
      'take_lock "$id" || return\n  #@ locked\n  [[ -e $JOURNAL/$id.void || -e $JOURNAL/$id.result || -e $JOURNAL/$id.started ]] && return 1\n',
      '',
      ['double', 'send', 'await end'],
    ],
    [
      'runs again what it does not know the end of',
      '[[ $STATE == started ]] && settle "$1" runner_died\n',
      '[[ $STATE == started ]] && rm -f "$JOURNAL/$1.started"\n',
      ['send', 'await start', 'crash runner', 'send', 'await end'],
    ],
    [
      'tells another exit code than it records',
      'emit_record "$STATE" "$id"\n        unset',
      'LINE=${LINE/exit=11/exit=0}; emit_record "$STATE" "$id"\n        unset',
      ['send', 'await end'],
    ],
  ])('and %s is noticed', async (_what, from, to, kinds) => {
    const plays = async (): Promise<void> => {
      for (let turn = 0; turn < PLAYS_OF_BROKEN; turn += 1) await play(ofOne(kinds), broken(from, to));
    };
    await expect(plays()).rejects.toThrow(/after: /);
  });
});
