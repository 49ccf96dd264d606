/**
 * Tests the fault suite itself: each planted bug is a patch of the product that must apply, and that a small plan must catch; the same
 * plan passes without it. Prints `8/8 planted bugs caught`. `npm run chaos:planted [-- --json FILE] [--only NAME]`
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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
/** They wait more than they work. */
const RUNS_AT_ONCE = 4;

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

/** Runs the plan in a copy. @throws Error where there is no report of it */
async function runCopy(name: string, patch: string | undefined): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), `innkeeper-planted-`));
  try {
    copyTree(folder, patch);
    const report = join(folder, 'report.json');
    const args = ['--import', 'tsx', 'test/chaos/main.ts', ...PLAN, '--json', report];
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    const stop = (): void => void child.kill('SIGINT');
    process.once('exit', stop);
    await new Promise((done) => child.once('exit', done));
    process.off('exit', stop);
    try {
      return JSON.parse(readFileSync(report, 'utf8')) as Report;
    } catch (cause) {
      throw new Error(`${name}: no report\n${output.slice(-3_000)}`, { cause });
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
  let caught = 0;
  let isSound = false;
  const work: (() => Promise<void>)[] = [
    async () => {
      const report = await runCopy('unpatched', undefined);
      isSound = report.passed;
      say(
        `${isSound ? 'passed' : 'FAILED'}  the same plan without any of them ${isSound ? '' : brokenOf(report).join(', ')}`,
      );
      if (!isSound) for (const { violations } of report.checks) violations.forEach((text) => say(`        ${text}`));
    },
    ...bugs.map(({ name, caughtBy }) => async () => {
      const report = await runCopy(name, join(PROJECT_ROOT, 'test', 'chaos', 'planted', `${name}.patch`));
      const broken = brokenOf(report);
      const isCaught = broken.some((check) => caughtBy.includes(check));
      if (isCaught) caught += 1;
      say(`${isCaught ? 'caught' : 'MISSED'}  ${name}: ${broken.join(', ') || 'nothing was broken'}`);
    }),
  ];
  const next = async (): Promise<void> => {
    for (let one = work.shift(); one !== undefined; one = work.shift()) await one();
  };
  await Promise.all(Array.from({ length: RUNS_AT_ONCE }, next));
  say(`${caught}/${bugs.length} planted bugs caught`);
  const passed = caught + (isSound ? 1 : 0);
  if (values.json !== undefined) {
    writeFileSync(resolve(values.json), JSON.stringify({ passed, failed: bugs.length + 1 - passed }));
  }
  process.exitCode = caught === bugs.length && isSound ? 0 : 1;
}

runProgram(
  main,
  `Usage: npm run chaos:planted [-- --json FILE] [--only NAME]
  --json FILE  writes the verdicts there too
  --only NAME  this bug alone; may be repeated: ${BUGS.map(({ name }) => name).join(', ')}`,
);
