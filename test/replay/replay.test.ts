/**
 * Goal: a release never strands a lane that an older one began: today's workflow code accepts every history that was ever
 * recorded. Method: replays the committed histories. The manifest proves that they are whole, unedited and cover every state;
 * replaying against code with a changed order of commands proves that the replay would notice.
 */
import { DefaultLogger, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import { beforeAll, describe, expect, it } from 'vitest';
import { bundleChanged } from '../workflow/support/changed-bundle.js';
import { bundleWorkflows } from '../workflow/support/lane-harness.js';
import * as workflows from '../../src/workflows/index.js';
import { coverageOf, requiredCoverage, workflowOf } from './coverage.js';
import { FAULT_SUITE, hashOf, listHistoryFiles, readHistoryFile, readManifest } from './corpus.js';
import { RECONCILE_SCENARIOS } from './reconcile-scenarios.js';
import { SCENARIOS } from './scenarios.js';

const { histories } = readManifest();

beforeAll(() => {
  Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
});

/** Replays every history; answers the files that the code does not accept, and why. */
async function replay(workflowBundle: WorkflowBundle): Promise<Map<string, string>> {
  const inputs = histories.map(({ file, workflowId }) => ({ workflowId, history: readHistoryFile(file).json }));
  const refused = new Map<string, string>();
  let at = 0;
  for await (const { error } of Worker.runReplayHistories({ workflowBundle, replayName: 'corpus' }, inputs)) {
    const { file } = histories[at] ?? { file: '' };
    if (error !== undefined) refused.set(file, error.message);
    at += 1;
  }
  expect(at).toBe(histories.length);
  return refused;
}

describe('the corpus', () => {
  it('is not empty, and the manifest lists exactly the files that are there', () => {
    expect(histories.length).toBeGreaterThan(0);
    expect(histories.map(({ file }) => file).sort()).toEqual(listHistoryFiles().sort());
  });

  it('has a history for every scenario, and of the fault suite', () => {
    const recorded = new Set(histories.map(({ scenario }) => scenario));
    const names = [...SCENARIOS, ...RECONCILE_SCENARIOS].map(({ name }) => name);
    expect([...names, FAULT_SUITE].filter((name) => !recorded.has(name))).toEqual([]);
  });

  it.each(histories)('$file is as it was recorded', ({ file, sha256, covers }) => {
    const { text, events } = readHistoryFile(file);
    expect(hashOf(text)).toBe(sha256);
    expect(coverageOf(events)).toEqual(covers);
  });

  it('covers every phase, signal, activity, failure, timer, end and patch of the workflow', () => {
    const covered = new Set(histories.flatMap(({ covers }) => covers));
    expect(requiredCoverage().filter((line) => !covered.has(line))).toEqual([]);
  });

  it('has a history of every workflow that is exported, and of no other', () => {
    const recorded = new Set(histories.map(({ file }) => workflowOf(readHistoryFile(file).events)));
    expect([...recorded].sort()).toEqual(Object.keys(workflows).sort());
  });

  it('tells nothing of where it was recorded', () => {
    for (const { file } of histories) expect(readHistoryFile(file).text).not.toMatch(/node_modules|\.ts:\d|@[\w-]+"/);
  });
});

describe("today's workflow", () => {
  it('accepts every history', async () => {
    expect(Object.fromEntries(await replay(await bundleWorkflows()))).toEqual({});
  });
});

describe('a workflow that was changed without a patch', () => {
  it.each([
    [
      'asks for the model before the machine',
      'turn.ts',
      '? host.machine.ensure()',
      '? Promise.resolve().then(() => host.machine.ensure())',
    ],
    ['leaves the search attributes out', 'board.ts', 'if (pairs.length > 0) upsert', 'if (pairs.length > 99) upsert'],
    ['has no timer', 'alarm.ts', 'void run(scope', 'if (delayless) void run(scope'],
    [
      'looks twice',
      'lane.ts',
      'store.openNextTurn(isContact)',
      'store.openNextTurn(isContact).then(() => store.openNextTurn(isContact))',
    ],
    ['reconciles users before machines', 'reconcile.ts', "stage: 'provider',", "stage: 'users',"],
  ])('and %s is refused', async (_what, file, from, to) => {
    const bundle = await bundleChanged(file, { [from]: to.replace('delayless', 'dueAtMs < 0') });
    const refused = await replay(bundle);
    expect(refused.size).toBeGreaterThan(0);
    for (const message of refused.values()) expect(message).toMatch(/nondeterminism|TMPRL1100/i);
  });
});
