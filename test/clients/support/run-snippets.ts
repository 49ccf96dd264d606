/** Runs what docs/clients.md shows as a person would: with the settings of the stack, for a user of the test's own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../../src/dev/paths.js';
import { TURN_MS } from '../../e2e/support/actions.js';
import { runProgram, type ProgramEnd } from '../../support/run-program.js';
import type { At } from './scenarios.js';
import { snippetsOf } from './snippets.js';

const TIMEOUT_MS = TURN_MS - 10_000;

/** A heading's blocks of one language, one after the other, as one program. @throws Error with what it said, where it fails */
export async function runSnippets(heading: string, language: 'sh' | 'ts', at: At): Promise<ProgramEnd> {
  const { url, key, user } = at;
  // In place of the documentation's user: quoted in JSON and in modules, between slashes in paths.
  const code = snippetsOf(heading, language)
    .join('\n')
    .replaceAll(/(["'/])ada\b/g, `$1${user}`);
  const env = { INNKEEPER_URL: url, INNKEEPER_KEY: key };
  const end = language === 'sh' ? await runShell(code, env) : await runModule(code, env);
  if (end.code !== 0) throw new Error(`${heading}: ${end.stdout}${end.stderr}`);
  return end;
}

function runShell(code: string, env: Record<string, string>): Promise<ProgramEnd> {
  return runProgram('sh', ['-e', '-c', code], { cwd: PROJECT_ROOT, env, timeoutMs: TIMEOUT_MS });
}

async function runModule(code: string, env: Record<string, string>): Promise<ProgramEnd> {
  // Below the project, so that its packages are found.
  const cache = join(PROJECT_ROOT, '.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'snippets-'));
  try {
    const file = join(folder, 'main.mts');
    writeFileSync(file, code);
    const tsx = join(PROJECT_ROOT, 'node_modules', '.bin', 'tsx');
    return await runProgram(tsx, [file], { cwd: folder, env, timeoutMs: TIMEOUT_MS });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
