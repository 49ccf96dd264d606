/**
 * The story: what this product is for, told without a person on a running stack, each step checked against the outside records
 * (the provider's ledger, the guest's journal, Postgres) and never against the system's own word.
 */
import { writeFileSync } from 'node:fs';
import type { RunningStack } from '../dev/stack.js';
import { createPrinter, type Output } from './printer.js';
import { runStep, type Step, type StepResult } from './step.js';
import { costs } from './steps/cost.js';
import { firstMessage, shellContext } from './steps/first-message.js';
import { manyMessages } from './steps/many-messages.js';
import { revisionConflict } from './steps/revision-conflict.js';
import { goesQuiet, threeDaysLater } from './steps/sleep-and-wake.js';
import { twoUsers } from './steps/two-users.js';
import { workerKilled } from './steps/worker-killed.js';
import { openStory, type Story } from './story-context.js';

export interface StoryOptions {
  /** Must run the emulator, its built-in model and a supervised worker: the story kills it. */
  readonly stack: RunningStack;
  readonly out: Output;
  /** Gets every step's result, evidence and times. */
  readonly jsonFile?: string;
  /** Ends the story before its next step. */
  readonly signal?: AbortSignal;
}

const STEPS: readonly Step<Story>[] = [
  firstMessage,
  shellContext,
  goesQuiet,
  threeDaysLater,
  twoUsers,
  workerKilled,
  revisionConflict,
  manyMessages,
  costs,
];

/** @throws Error where the JSON file cannot be written; a step that fails does not throw */
export async function runStory(options: StoryOptions): Promise<{ passed: boolean }> {
  const startedAt = new Date();
  const printer = createPrinter(options.out);
  // New names for each run: a data folder may hold the users of an earlier one.
  const story = openStory(options.stack, startedAt.getTime().toString(36).slice(-6));
  const results: StepResult[] = [];
  printer.title('The story of Ada and her machine');
  try {
    for (const step of STEPS) {
      if (options.signal?.aborted === true) break;
      results.push(await runStep(step, story, printer));
    }
  } finally {
    await story.close();
  }
  printer.table(results);
  const passed = results.length === STEPS.length && results.every((result) => result.passed);
  const seconds = (Date.now() - startedAt.getTime()) / 1_000;
  const checks = results.flatMap(({ findings }) => findings).length;
  printer.title(`${passed ? 'The story holds' : 'The story FAILED'}: ${checks} checks in ${seconds.toFixed(0)} s.`);
  if (options.jsonFile !== undefined) {
    const report = {
      passed,
      startedAt: startedAt.toISOString(),
      durationMs: Math.round(seconds * 1_000),
      steps: results,
    };
    writeFileSync(options.jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  return { passed };
}
