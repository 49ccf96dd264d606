/** How a command ends when it cannot do what was asked: code, message and advice on stderr, no stack unless asked for. */
import { InnkeeperError } from '../contracts/errors.js';
import { EmulatorStartError } from '../emulator/options.js';

/** Exit codes: 1 the deployment or a part of it, 2 what was typed or set. */
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

export function reportFailure(error: unknown, options: { verbose: boolean }): void {
  const lines = describe(error);
  if (options.verbose && error instanceof Error) lines.push(error.stack ?? '', ...causesOf(error));
  process.stderr.write(`${lines.join('\n')}\n`);
  process.exitCode = InnkeeperError.is(error) && error.kind === 'rejected' ? EXIT_USAGE : EXIT_FAILED;
}

function describe(error: unknown): string[] {
  if (InnkeeperError.is(error)) return [`${error.code}: ${error.message}`, error.advice];
  // Its message says what to do.
  if (error instanceof EmulatorStartError) return [error.message];
  const message = error instanceof Error ? error.message : String(error);
  return [`INTERNAL: ${message}`, 'Type it again with --verbose to see where it comes from.'];
}

function causesOf(error: Error): string[] {
  return error.cause instanceof Error ? [`caused by ${error.cause.stack ?? ''}`, ...causesOf(error.cause)] : [];
}
