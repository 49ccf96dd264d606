/**
 * Tests the fault suite itself: each planted bug is a patch of the product that must apply, and that a small plan must catch; the same
 * plan passes without it. Prints `8/8 planted bugs caught`. `npm run chaos:planted [-- --json FILE] [--only NAME]`
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { runProgram, say } from './program.js';
import type { Report } from './report/report.js';

interface PlantedBug {
  /** Name of its patch in planted/. */
  readonly name: string;
  /** Checks of which at least one must be broken: it is caught for what it is. */
  readonly caughtBy: readonly string[];
}

const BUGS: readonly PlantedBug[] = [
  // First: its run takes longest, since somebody waits for what was lost.
  { name: 'acknowledged-before-commit', caughtBy: ['P1'] },
  { name: 'lock-removed', caughtBy: ['P2', 'P4'] },
  { name: 'random-idempotency-key', caughtBy: ['P5', 'P6'] },
  { name: 'claim-before-detach', caughtBy: ['P2', 'P4'] },
  { name: 'id-not-bound-to-body', caughtBy: ['P8 forged'] },
  { name: 'owner-unchecked', caughtBy: ['P8 forged'] },
  { name: 'unknown-retried', caughtBy: ['P2'] },
  { name: 'event-sequence-reset', caughtBy: ['P10'] },
];

/** Small, and rich in what the bugs are vulnerable to. */
const PLAN = [
  ...['--seed', 'planted', '--turns', '18', '--users', '6', '--count', '32', '--untimed'],
  ...['--faults', 'create-unanswered,guest-runner-killed,guest-shell-killed,frame-duplicated,commit-lost'],
];
const COPIED = ['src', 'web', 'test', 'bench', 'scripts', 'migrations', 'dist', 'package.json', 'package-lock.json'];
const SETTINGS = ['tsconfig.json', 'tsconfig.build.json', 'tsconfig.scripts.json'];
/** They wait more than they work; nine of them are three rounds of three. */
const RUNS_AT_ONCE = 3;
/** Of a run that broke off. */
const OUTPUT_TOLD_CHARS = 3_000;

/** A copy of the tree, built, with the patch applied. */
function copyTree(folder: string, patch: string | undefined): void {
  for (const name of [...COPIED, ...SETTINGS])
    cpSync(join(PROJECT_ROOT, name), join(folder, name), { recursive: true });
  symlinkSync(join(PROJECT_ROOT, 'node_modules'), join(folder, 'node_modules'));
  mkdirSync(join(folder, '.cache'));
  cpSync(join(PROJECT_ROOT, '.cache', 'tools.json'), join(folder, '.cache', 'tools.json'));
  if (patch === undefined) return;
  execFileSync('git', ['apply', '--whitespace=nowarn', patch], { cwd: folder, stdio: 'pipe' });
  execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: folder, stdio: 'pipe' });
}

/** A bug's run that breaks off is no verdict on the suite: it is said, and begun once more. */
async function runSurely(name: string, patch: string): Promise<Report> {
  try {
    return await runCopy(patch);
  } catch (error) {
    say(`${name}: ${String(error)}`);
    return runCopy(patch);
  }
}

/** Runs the plan in a copy. @throws Error with the end of its output where there is no report of it */
async function runCopy(patch: string | undefined): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), `innkeeper-planted-`));
  try {
    copyTree(folder, patch);
    const report = join(folder, 'report.json');
    const args = ['--import', 'tsx', 'test/chaos/main.ts', ...PLAN, '--json', report];
    // A file and no pipe: what it says last is there when it has ended.
    const log = join(folder, 'output.log');
    const output = openSync(log, 'w');
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', output, output] });
    closeSync(output);
    const stop = (): void => void child.kill('SIGINT');
    process.once('exit', stop);
    const ended = await new Promise((done) => child.once('exit', (code, signal) => done(signal ?? code)));
    process.off('exit', stop);
    try {
      return JSON.parse(readFileSync(report, 'utf8')) as Report;
    } catch (cause) {
      const end = readFileSync(log, 'utf8').slice(-OUTPUT_TOLD_CHARS);
      throw new Error(`ended with ${String(ended)} and without a report\n${end}`, { cause });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function brokenOf(report: Report): string[] {
  return report.checks.filter(({ kept }) => !kept).map(({ name }) => name);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: 'string' }, only: { type: 'string', multiple: true } } });
  const bugs = BUGS.filter(({ name }) => values.only?.includes(name) ?? true);
  const broken: string[] = [];
  // A run that breaks off is no verdict on the others.
  const judge = (name: string, run: () => Promise<string | undefined>) => async (): Promise<void> => {
    const complaint = await run().catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    if (complaint === undefined) return;
    broken.push(name);
    say(`${name}: ${complaint}`);
  };
  const work = [
    judge('unpatched', async () => {
      const report = await runCopy(undefined);
      if (!report.passed) return report.checks.flatMap(({ violations }) => violations).join('\n        ');
      say('passed  the same plan without any of them');
      return undefined;
    }),
    ...bugs.map(({ name, caughtBy }) =>
      judge(name, async () => {
        const found = brokenOf(await runSurely(name, join(PROJECT_ROOT, 'test', 'chaos', 'planted', `${name}.patch`)));
        if (!found.some((check) => caughtBy.includes(check)))
          return `MISSED: ${found.join(', ') || 'nothing was broken'}`;
        say(`caught  ${name}: ${found.join(', ')}`);
        return undefined;
      }),
    ),
  ];
  const queue = [...work];
  const next = async (): Promise<void> => {
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) await one();
  };
  await Promise.all(Array.from({ length: RUNS_AT_ONCE }, next));
  const missed = broken.filter((name) => name !== 'unpatched').length;
  say(`${bugs.length - missed}/${bugs.length} planted bugs caught`);
  if (values.json !== undefined) {
    writeFileSync(resolve(values.json), JSON.stringify({ passed: work.length - broken.length, broken }));
  }
  process.exitCode = broken.length === 0 ? 0 : 1;
}

runProgram(
  main,
  `Usage: npm run chaos:planted [-- --json FILE] [--only NAME]
  --json FILE  writes the verdicts there too
  --only NAME  this bug alone; may be repeated: ${BUGS.map(({ name }) => name).join(', ')}`,
);
