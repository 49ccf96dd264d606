/**
 * Four groups, one after the other: what needs nothing; what needs servers but shares them well; lanes over scripted activities; and
 * whole stacks, which mostly wait. Postgres and Temporal start with the first test that asks for them
 * (test/support/global-setup.ts).
 */
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const SERVER_TEST_MS = 60_000;
const STARTERS = ['test/support/global-setup.ts'];

/** Begun first, or the last minutes would wait for one of them. */
const LONGEST = [
  'worker-killed',
  'bad-input',
  'machine-trouble',
  'reconcile-killed',
  'dev',
  'fencing',
  'story',
  'openapi',
  'taste',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return place === -1 ? LONGEST.length : place;
    };
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other));
  }
}

/** One after the other, files share a process: they leave nothing behind, and loading Temporal's SDK for each was a tenth of the time. */
const PROCESSES = { pool: 'forks', isolate: false } as const;

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    globalSetup: STARTERS,
    dangerouslyIgnoreUnhandledErrors: false,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 20_000,
          hookTimeout: 20_000,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
          ...PROCESSES,
        },
      },
      {
        test: {
          name: 'parts',
          include: ['test/{store,contract,guest,emulator,gateway}/**/*.test.ts'],
          testTimeout: SERVER_TEST_MS,
          hookTimeout: SERVER_TEST_MS,
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          ...PROCESSES,
        },
      },
      {
        test: {
          name: 'lanes',
          include: ['test/{workflow,replay}/**/*.test.ts'],
          testTimeout: 3 * SERVER_TEST_MS,
          hookTimeout: 3 * SERVER_TEST_MS,
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
          ...PROCESSES,
        },
      },
      {
        test: {
          name: 'stacks',
          include: ['test/{e2e,chaos,examples,clients,web}/**/*.test.ts'],
          testTimeout: 3 * SERVER_TEST_MS,
          hookTimeout: 3 * SERVER_TEST_MS,
          maxWorkers: 3,
          sequence: { groupOrder: 3 },
          ...PROCESSES,
        },
      },
    ],
  },
});
