/** What the commands share: their common options, and how they print. */
import { InvalidArgumentError, Option, type Command } from 'commander';
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

/** Reads a whole number of an option. @returns a parser for commander, which reports what it throws */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= min && number <= max) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}
