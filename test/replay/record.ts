/**
 * Records the scenarios that have no history yet, with scripted activities on a Temporal server of its own. What is recorded stays
 * as it is: it stands for the lanes that a release left behind. `--again` records everything anew, for the time before the first
 * release.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { readTools } from '../../src/dev/paths.js';
import { pickFreePorts } from '../../src/dev/ports.js';
import { startTemporal } from '../../src/dev/temporal.js';
import { startLaneHarness, type LaneHarness } from '../workflow/support/lane-harness.js';
import type { Recordable } from '../workflow/support/runs.js';
import { coverageOf, requiredCoverage } from './coverage.js';
import {
  hashOf,
  HISTORIES_DIR,
  listHistoryFiles,
  readManifest,
  writeManifest,
  type RecordedHistory,
} from './corpus.js';
import { RECONCILE_SCENARIOS, type ReconcileScenario } from './reconcile-scenarios.js';
import { SCENARIOS, type Scenario } from './scenarios.js';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Stack traces tell where the recorder's files lie, and nothing about the lane. */
function withoutPlaces(json: string): string {
  return JSON.stringify(JSON.parse(json, (key, value: unknown) => (key === 'stackTrace' ? '' : value)));
}

async function play(harness: LaneHarness, scenario: Scenario | ReconcileScenario): Promise<Recordable> {
  if ('play' in scenario) {
    const lane = harness.newLane();
    await scenario.play(lane, harness);
    return lane;
  }
  const reconcile = harness.newReconcile();
  await scenario.reconcile(reconcile);
  return reconcile;
}

async function record(harness: LaneHarness, scenario: Scenario | ReconcileScenario): Promise<RecordedHistory[]> {
  const played = await play(harness, scenario);
  const { workflowId } = played;
  // A history that stops where a task was due says nothing of what that task does, and one without any cannot be replayed.
  await played.settles();
  const recorded: RecordedHistory[] = [];
  for (const [index, runId] of (await played.allRuns()).entries()) {
    const history = await harness.client.workflow.getHandle(workflowId, runId).fetchHistory();
    const file = `${scenario.name}-${index + 1}.json`;
    const text = withoutPlaces(historyToJSON(history));
    writeFileSync(join(HISTORIES_DIR, file), text);
    const covers = coverageOf(history.events ?? []);
    recorded.push({ file, scenario: scenario.name, workflowId, sha256: hashOf(text), covers });
  }
  return recorded;
}

async function main(): Promise<void> {
  const isAgain = process.argv.includes('--again');
  const kept = isAgain || listHistoryFiles().length === 0 ? [] : readManifest().histories;
  if (isAgain) for (const file of listHistoryFiles()) rmSync(join(HISTORIES_DIR, file));
  const missing = [...SCENARIOS, ...RECONCILE_SCENARIOS].filter(
    ({ name }) => !kept.some(({ scenario }) => scenario === name),
  );
  const executable = readTools().temporal;
  if (executable === undefined) throw new Error('the Temporal CLI is missing: type `npm run setup`');
  const dataDir = mkdtempSync(join(tmpdir(), 'innkeeper-record-'));
  const [port = 0, uiPort = 0] = await pickFreePorts(2);
  const temporal = await startTemporal({ executable, dataDir, port, uiPort });
  try {
    const harness = await startLaneHarness(temporal.address, { taskQueue: 'innkeeper', identity: 'recorder' });
    const histories: RecordedHistory[] = [...kept];
    for (const scenario of missing) {
      const recorded = await record(harness, scenario);
      histories.push(...recorded);
      say(`${scenario.name}: ${recorded.length} ${recorded.length === 1 ? 'run' : 'runs'}`);
    }
    const violations = harness.violations();
    await harness.close();
    if (violations.length > 0) throw new Error(`the lane did what it must not: ${violations.join(', ')}`);
    const { version } = createRequire(import.meta.url)('@temporalio/worker/package.json') as { version: string };
    writeManifest({ sdk: version, histories });
    const covered = new Set(histories.flatMap(({ covers }) => covers));
    const uncovered = requiredCoverage().filter((line) => !covered.has(line));
    for (const line of uncovered) say(`not covered: ${line}`);
    if (uncovered.length > 0) process.exitCode = 1;
  } finally {
    await temporal.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

await main();
