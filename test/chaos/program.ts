/** How each program of the suite begins and ends: whatever it started is ended too when it is interrupted or fails. */
import { abandonAll } from './rig.js';

export const say = (line: string): void => void process.stdout.write(`${line}\n`);

export function runProgram(main: () => Promise<void>, usage = ''): void {
  process.stdout.on('error', () => undefined); // Whoever read it, such as `head`, has enough.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      abandonAll();
      process.exit(130);
    });
  }
  main().catch((error: unknown) => {
    abandonAll();
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${message}\n${usage}\n`);
    process.exit(1); // Whatever is still open belongs to what failed.
  });
}

/** Prints what was not as it must be, and makes it the program's verdict. */
export function conclude(problems: readonly string[]): void {
  for (const problem of problems) say(`BROKEN ${problem}`);
  say(problems.length === 0 ? 'PASSED' : 'FAILED');
  process.exitCode = problems.length === 0 ? 0 : 1;
}
