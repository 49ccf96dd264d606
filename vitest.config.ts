/**
 * Four groups, one after the other: what needs nothing; what needs servers but shares them well; lanes over scripted activities; and
 * whole stacks, which mostly wait. Postgres and Temporal start with the first test that asks for them
 * (test/support/global-setup.ts).
 */
import { defineConfig } from 'vitest/config';

const SERVER_TEST_MS = 60_000;
const STARTERS = ['test/support/global-setup.ts'];

export default defineConfig({
  test: {
    pool: 'forks',
    globalSetup: STARTERS,
    dangerouslyIgnoreUnhandledErrors: false,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          // They leave nothing behind, and half of their time went into loading the same modules for each file.
          isolate: false,
          testTimeout: 20_000,
          hookTimeout: 20_000,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
          pool: 'forks',
        },
      },
      {
        test: {
          name: 'parts',
          include: ['test/{store,contract,guest,emulator}/**/*.test.ts'],
          testTimeout: SERVER_TEST_MS,
          hookTimeout: SERVER_TEST_MS,
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          pool: 'forks',
        },
      },
      {
        test: {
          name: 'lanes',
          include: ['test/{workflow,replay}/**/*.test.ts'],
          // Each file's lanes have a worker of their own; loading the SDK for each file was a third of the time.
          isolate: false,
          testTimeout: 3 * SERVER_TEST_MS,
          hookTimeout: 3 * SERVER_TEST_MS,
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
          pool: 'forks',
        },
      },
      {
        test: {
          name: 'stacks',
          include: ['test/{e2e,chaos}/**/*.test.ts'],
          testTimeout: 3 * SERVER_TEST_MS,
          hookTimeout: 3 * SERVER_TEST_MS,
          maxWorkers: 3,
          sequence: { groupOrder: 3 },
          pool: 'forks',
        },
      },
    ],
  },
});
