/** Runs what docs/clients.md shows below a heading: its blocks of TypeScript, one after the other, as one program. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../../src/dev/paths.js';
import { TURN_MS } from '../../e2e/support/actions.js';
import { runProgram, type ProgramEnd } from '../../support/run-program.js';
import type { At } from './scenarios.js';
import { snippetsOf } from './snippets.js';

/** @throws Error with what it said, where it fails */
export async function runSnippets(heading: string, { url, key, user }: At): Promise<ProgramEnd> {
  // Below the project, so that its packages are found.
  const cache = join(PROJECT_ROOT, '.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'snippets-'));
  try {
    const file = join(folder, 'main.mts');
    writeFileSync(file, snippetsOf(heading, 'ts').join('\n').replaceAll("'ada'", `'${user}'`));
    const tsx = join(PROJECT_ROOT, 'node_modules', '.bin', 'tsx');
    const env = { INNKEEPER_URL: url, INNKEEPER_KEY: key };
    const end = await runProgram(tsx, [file], { cwd: folder, env, timeoutMs: TURN_MS - 10_000 });
    if (end.code !== 0) throw new Error(`${heading}: ${end.stdout}${end.stderr}`);
    return end;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
