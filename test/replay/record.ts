/**
 * Records the scenarios that have no history yet, with scripted activities on a Temporal server of its own. What is recorded stays
 * as it is: it stands for the lanes that a release left behind. `--again` records everything anew, for the time before the first
 * release. `--from D` adds a choice of the histories that a run of the fault suite wrote to D.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { readTools } from '../../src/dev/paths.js';
import { pickFreePorts } from '../../src/dev/ports.js';
import { startTemporal } from '../../src/dev/temporal.js';
import { startLaneHarness, type LaneHarness } from '../workflow/support/lane-harness.js';
import type { Recordable } from '../workflow/support/runs.js';
import { chooseFrom } from './choose.js';
import { coverageOf, requiredCoverage } from './coverage.js';
import {
  FAULT_SUITE,
  hashOf,
  HISTORIES_DIR,
  listHistoryFiles,
  readHistoryFile,
  readManifest,
  writeManifest,
  type RecordedHistory,
} from './corpus.js';
import { RECONCILE_SCENARIOS, type ReconcileScenario } from './reconcile-scenarios.js';
import { SCENARIOS, type Scenario } from './scenarios.js';
import { scrub } from './scrub.js';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Writes a run's history down; `number` tells the runs of a scenario apart. */
function keep(scenario: string, number: number, workflowId: string, json: unknown): RecordedHistory {
  const file = `${scenario}-${number}.json`;
  const text = scrub(json);
  writeFileSync(join(HISTORIES_DIR, file), text);
  const covers = coverageOf(historyFromJSON(json).events ?? []);
  return { file, scenario, workflowId, sha256: hashOf(text), covers };
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
    recorded.push(keep(scenario.name, index + 1, workflowId, JSON.parse(historyToJSON(history))));
  }
  return recorded;
}

/** Plays scenarios on a server of their own. */
async function recordScenarios(scenarios: readonly (Scenario | ReconcileScenario)[]): Promise<RecordedHistory[]> {
  const executable = readTools().temporal;
  if (executable === undefined) throw new Error('the Temporal CLI is missing: type `npm run setup`');
  const dataDir = mkdtempSync(join(tmpdir(), 'innkeeper-record-'));
  const [port = 0, uiPort = 0] = await pickFreePorts(2);
  const temporal = await startTemporal({ executable, dataDir, port, uiPort });
  try {
    const harness = await startLaneHarness(temporal.address, { taskQueue: 'innkeeper', identity: 'recorder' });
    const histories: RecordedHistory[] = [];
    for (const scenario of scenarios) {
      const recorded = await record(harness, scenario);
      histories.push(...recorded);
      say(`${scenario.name}: ${recorded.length} ${recorded.length === 1 ? 'run' : 'runs'}`);
    }
    const violations = harness.violations();
    await harness.close();
    if (violations.length > 0) throw new Error(`the lane did what it must not: ${violations.join(', ')}`);
    return histories;
  } finally {
    await temporal.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Keeps those of a real run that cover what no earlier one of a real run does. */
function keepReal(folder: string, kept: readonly RecordedHistory[]): RecordedHistory[] {
  const earlier = kept.filter(({ scenario }) => scenario === FAULT_SUITE);
  const chosen = chooseFrom(folder, new Set(earlier.flatMap(({ covers }) => covers)));
  say(`${FAULT_SUITE}: ${chosen.length} of a real run`);
  return chosen.map(({ workflowId, json }, index) => keep(FAULT_SUITE, earlier.length + index + 1, workflowId, json));
}

/** What was recorded, and what it covers as it is read today. */
function readKept(): RecordedHistory[] {
  if (listHistoryFiles().length === 0) return [];
  return readManifest().histories.map((entry) => ({
    ...entry,
    covers: coverageOf(readHistoryFile(entry.file).events),
  }));
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { again: { type: 'boolean', default: false }, from: { type: 'string' } } });
  const { again, from } = values;
  // Those of real runs can only be had by another real run.
  const isKept = ({ scenario }: RecordedHistory): boolean => !again || (scenario === FAULT_SUITE && from === undefined);
  const before = readKept();
  const kept = before.filter(isKept);
  for (const { file } of before.filter((history) => !isKept(history))) rmSync(join(HISTORIES_DIR, file));
  const missing = [...SCENARIOS, ...RECONCILE_SCENARIOS].filter(
    ({ name }) => !kept.some(({ scenario }) => scenario === name),
  );
  const recorded = missing.length === 0 ? [] : await recordScenarios(missing);
  const real = from === undefined ? [] : keepReal(from, kept);
  const histories = [...kept, ...recorded, ...real];
  const { version } = createRequire(import.meta.url)('@temporalio/worker/package.json') as { version: string };
  writeManifest({ sdk: version, histories });
  const covered = new Set(histories.flatMap(({ covers }) => covers));
  const uncovered = requiredCoverage().filter((line) => !covered.has(line));
  for (const line of uncovered) say(`not covered: ${line}`);
  if (uncovered.length > 0) process.exitCode = 1;
}

await main();
