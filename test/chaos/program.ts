/** How each program of the suite begins and ends: whatever it started is ended too when it is interrupted or fails. */
import { abandonAll } from './rig.js';

export const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** What was typed cannot be done. */
export class UsageError extends Error {}

/** @param usage printed for `--help`, and below what was wrong with the options */
export function runProgram(main: () => Promise<void>, usage: string): void {
  if (process.argv.includes('--help')) {
    say(usage);
    return;
  }
  process.stdout.on('error', () => undefined); // Whoever read it, such as `head`, has enough.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      abandonAll();
      process.exit(130);
    });
  }
  main().catch((error: unknown) => {
    abandonAll();
    process.stderr.write(isOfUsage(error) ? `${error.message}\n\n${usage}\n` : `${toText(error)}\n`);
    process.exit(1); // Whatever is still open belongs to what failed.
  });
}

function isOfUsage(error: unknown): error is Error {
  const { code } = error as { code?: unknown };
  return error instanceof UsageError || (typeof code === 'string' && code.startsWith('ERR_PARSE_ARGS'));
}

const toText = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

/** Prints what was not as it must be, and makes it the program's verdict. */
export function conclude(problems: readonly string[]): void {
  for (const problem of problems) say(`BROKEN ${problem}`);
  say(problems.length === 0 ? 'PASSED' : 'FAILED');
  process.exitCode = problems.length === 0 ? 0 : 1;
}
