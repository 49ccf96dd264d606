/** The last words of a process that could not start or go on: code, message and what to do, on stderr. */
import { InnkeeperError } from '../contracts/errors.js';

export function failStart(error: unknown): void {
  process.stderr.write(
    InnkeeperError.is(error)
      ? `${error.code}: ${error.message}\n${error.advice}\n`
      : `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 1;
}
