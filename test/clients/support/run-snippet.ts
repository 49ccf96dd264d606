/** Runs what docs/clients.md shows as a person would: with the settings of the stack, for a user of the test's own. */
import { PROJECT_ROOT } from '../../../src/dev/paths.js';
import { runProgram, type ProgramEnd } from '../../support/run-program.js';

export interface SnippetSettings {
  readonly env: Readonly<Record<string, string>>;
  /** In place of the documentation's. */
  readonly userId: string;
  readonly timeoutMs: number;
}

/** A script of a shell, or a module in JavaScript. */
export function runSnippet(language: 'sh' | 'ts', code: string, settings: SnippetSettings): Promise<ProgramEnd> {
  const { env, userId, timeoutMs } = settings;
  // Quoted in JSON and in modules, between slashes in paths.
  const own = code.replaceAll(/(["'/])ada\b/g, `$1${userId}`);
  const args = language === 'sh' ? ['-e', '-c', own] : ['--input-type=module', '--eval', own];
  return runProgram(language === 'sh' ? 'sh' : process.execPath, args, { cwd: PROJECT_ROOT, env, timeoutMs });
}
