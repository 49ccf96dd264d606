/**
 * `npm run chaos -- --seed S [options]`: the fault suite. The same seed and numbers make the same plan; only the timing of processes
 * differs between two runs of it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { describePlan } from './plan/describe.js';
import { FAULT_KINDS, parseKinds } from './plan/kinds.js';
import { makePlan, type Plan } from './plan/plan.js';
import { runProgram, say, UsageError } from './program.js';
import { printReport } from './report/report.js';
import { runPlan } from './run.js';

const USAGE = `Usage: npm run chaos -- --seed S [--turns N] [--faults LIST] [--count K] [--users U] [--full] [--untimed] [--plan] [--keep] [--histories D] [--json FILE]
  --seed S       any text; the plan follows from it
  --turns N      turns of all users together; default 300
  --count K      faults; default 1.8 for each turn
  --faults LIST  kinds of faults, separated by commas; a beginning stands for all that begin so: ${FAULT_KINDS.join(', ')}
  --users U      users that live through the whole run; default 20
  --full         2,600 turns and about 5,700 faults of 24 users
  --plan         prints the plan and runs nothing
  --untimed      tells recovery times and judges none, for machines that do other things as well
  --keep         keeps the data and the logs of the run
  --histories D  folder for the history of every workflow, which \`npm run replay:record -- --from D\` chooses from
  --json FILE    writes the report there too`;

const TURNS_DEFAULT = 300;
const FAULTS_PER_TURN = 1.8;
const USERS_DEFAULT = 20;
/** Killed workers are fewer than their share (plan/kinds.ts): about 5,700 faults come of it. */
const FULL = { turns: 2_600, faults: 6_200, users: 24 };

interface Options {
  readonly plan: Plan;
  readonly printsPlan: boolean;
  readonly keepsData: boolean;
  readonly judgesTimes: boolean;
  readonly jsonFile: string | undefined;
  readonly historiesDir: string | undefined;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      turns: { type: 'string' },
      count: { type: 'string' },
      faults: { type: 'string' },
      users: { type: 'string' },
      full: { type: 'boolean', default: false },
      plan: { type: 'boolean', default: false },
      untimed: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      json: { type: 'string' },
      histories: { type: 'string' },
    },
  });
  if (values.seed === undefined) throw new UsageError('--seed is missing.');
  const turns = whole('turns', values.turns) ?? (values.full ? FULL.turns : TURNS_DEFAULT);
  const faults = whole('count', values.count) ?? (values.full ? FULL.faults : Math.round(turns * FAULTS_PER_TURN));
  const users = whole('users', values.users) ?? (values.full ? FULL.users : USERS_DEFAULT);
  const kinds = values.faults === undefined ? FAULT_KINDS : parseKinds(values.faults);
  return {
    plan: makePlan({ seed: values.seed, turns, faults, users, kinds }),
    printsPlan: values.plan,
    keepsData: values.keep,
    judgesTimes: !values.untimed,
    jsonFile: values.json,
    historiesDir: values.histories,
  };
}

function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`--${name} must be a whole number from 1.`);
  return Number(text);
}

async function main(): Promise<void> {
  const { plan, printsPlan, jsonFile, ...options } = readOptions();
  if (printsPlan) return describePlan(plan).forEach(say);
  if (options.historiesDir !== undefined) mkdirSync(options.historiesDir, { recursive: true });
  const report = await runPlan(plan, { ...options, say });
  printReport(report).forEach(say);
  if (jsonFile !== undefined) writeFileSync(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  process.exitCode = report.passed ? 0 : 1;
}

runProgram(main, USAGE);
