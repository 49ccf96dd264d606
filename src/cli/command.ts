/** What the commands share: their common options, and how they print. */
import { Option, type Command } from 'commander';
import { DATA_DIR_DEFAULT } from './deployment.js';

export interface CommonOptions {
  readonly data: string;
  readonly json?: true;
}

export interface UserOptions extends CommonOptions {
  readonly user: string;
}

export function dataOption(): Option {
  return new Option('--data <dir>', 'data folder of a running `innkeeper dev`').default(DATA_DIR_DEFAULT);
}

/** `--data` and `--json`. */
export function withCommonOptions(command: Command): Command {
  return command.addOption(dataOption()).option('--json', 'print JSON');
}

/** The same, and `--user`. */
export function withUserOptions(command: Command): Command {
  return withCommonOptions(command).requiredOption('--user <id>', "the chat user's id");
}

/** Prints an answer: JSON on one line, or for people. */
export function print(value: unknown, options: { readonly json?: true }, toText: () => string): void {
  process.stdout.write(`${options.json ? JSON.stringify(value) : toText()}\n`);
}
