/**
 * The tools of a machine: what callers are told of them, and which calls are taken. One table for the model, for a backend and for other
 * agents. How a call becomes a script for the machine is src/guest/tools.ts.
 */
import { InnkeeperError } from './errors.js';
import { utf8Bytes } from './ids.js';
import {
  COMMAND_TIMEOUT_MS_DEFAULT,
  COMMAND_TIMEOUT_MS_MAX,
  MODEL_OUTPUT_BYTES_MAX,
  TOOL_ARGUMENTS_BYTES_MAX,
} from './limits.js';

/** Lines that `read_file` shows when it is not told how many. */
export const READ_LINES_DEFAULT = 2_000;
const TITLE_CHARACTERS_MAX = 120;
const PATH_BYTES_MAX = 4_096;
export const TIMEOUT_SECONDS_DEFAULT = COMMAND_TIMEOUT_MS_DEFAULT / 1_000;
const TIMEOUT_SECONDS_MAX = COMMAND_TIMEOUT_MS_MAX / 1_000;

/** A call of a tool. */
export type ToolCall =
  | { readonly tool: 'bash'; readonly arguments: BashArguments }
  | { readonly tool: 'write_file'; readonly arguments: WriteFileArguments }
  | { readonly tool: 'read_file'; readonly arguments: ReadFileArguments };
export type ToolName = ToolCall['tool'];

export interface BashArguments {
  readonly command: string;
  /** Time limit in seconds. */
  readonly timeout?: number;
}
export interface WriteFileArguments {
  readonly path: string;
  readonly content: string;
}
export interface ReadFileArguments {
  readonly path: string;
  /** First line to show, counted from 1. */
  readonly offset?: number;
  /** Number of lines. */
  readonly limit?: number;
}

export interface ToolDefinition {
  readonly name: ToolName;
  readonly description: string;
  /** JSON Schema of the arguments. */
  readonly parameters: {
    readonly type: 'object';
    readonly properties: Readonly<Record<string, { readonly type: string; readonly description: string }>>;
    readonly required: string[];
    readonly additionalProperties: false;
  };
}

export const toolDefinitions: readonly ToolDefinition[] = [
  {
    name: 'bash',
    description:
      'Runs a command with bash on your machine and returns its output and exit code. The directory and exported variables ' +
      'carry over from command to command. There is no terminal: standard input is empty, so use flags that answer prompts. ' +
      'Start servers in the background with their output sent to a file. Long output is shortened in the middle.',
    parameters: {
      type: 'object',
      properties: {
        command: { type: 'string', description: 'The command or script to run.' },
        timeout: {
          type: 'number',
          description: `Time limit in seconds; ${TIMEOUT_SECONDS_DEFAULT} when left out, at most ${TIMEOUT_SECONDS_MAX}.`,
        },
      },
      required: ['command'],
      additionalProperties: false,
    },
  },
  {
    name: 'write_file',
    description:
      'Writes a text file on your machine, whole: it is created with its folders, or replaced. The content is taken as it is.',
    parameters: {
      type: 'object',
      properties: {
        path: { type: 'string', description: 'Absolute, relative to the current directory, or beginning with ~/.' },
        content: { type: 'string', description: 'The complete content of the file.' },
      },
      required: ['path', 'content'],
      additionalProperties: false,
    },
  },
  {
    name: 'read_file',
    description: `Reads a text file on your machine. At most ${MODEL_OUTPUT_BYTES_MAX / 1024} KiB are shown at once: use offset and limit for more.`,
    parameters: {
      type: 'object',
      properties: {
        path: { type: 'string', description: 'Absolute, relative to the current directory, or beginning with ~/.' },
        offset: { type: 'integer', description: 'First line to show, counted from 1.' },
        limit: { type: 'integer', description: `Number of lines to show; ${READ_LINES_DEFAULT} when left out.` },
      },
      required: ['path'],
      additionalProperties: false,
    },
  },
];

export type CheckedCall =
  | {
      readonly ok: true;
      /** Without what was left out, its arguments in the order of the schema. */
      readonly call: ToolCall;
      /** One short line that tells a person what the call does. */
      readonly title: string;
    }
  | Refused;
/** `problem` is a sentence for whoever called. */
export interface Refused {
  readonly ok: false;
  readonly problem: string;
}

/** Why so much is not taken of anybody; undefined: it fits. */
export function sizeProblemOf(argumentsJson: string): string | undefined {
  if (utf8Bytes(argumentsJson) <= TOOL_ARGUMENTS_BYTES_MAX) return undefined;
  return `The arguments are larger than ${TOOL_ARGUMENTS_BYTES_MAX} bytes: write large files in parts.`;
}

/** Checks a call, its arguments as JSON text of any size; never throws. */
export function checkToolCall(name: string, argumentsJson: string): CheckedCall {
  const definition = toolDefinitions.find((tool) => tool.name === name);
  if (definition === undefined) {
    const known = toolDefinitions.map((tool) => tool.name).join(', ');
    return refuse(`There is no tool named ${JSON.stringify(name.slice(0, 100))}. The tools are: ${known}.`);
  }
  const parsed = parseArguments(argumentsJson);
  if (typeof parsed === 'string') return refuse(parsed);
  const allowed = Object.keys(definition.parameters.properties);
  const extra = Object.keys(parsed).find((key) => !allowed.includes(key));
  if (extra !== undefined) {
    return refuse(`${name} has no argument ${JSON.stringify(extra)}. Its arguments are: ${allowed.join(', ')}.`);
  }
  if (definition.name === 'bash') return checkBash(parsed);
  return definition.name === 'write_file' ? checkWrite(parsed) : checkRead(parsed);
}

/** The same of a call that nothing is known of yet. @throws InnkeeperError INVALID_INPUT, in words for whoever called */
export function parseToolCall(name: string, values: unknown): Omit<Extract<CheckedCall, { ok: true }>, 'ok'> {
  const json = toJsonText(values);
  const sizeProblem = sizeProblemOf(json);
  const checked = sizeProblem === undefined ? checkToolCall(name, json) : refuse(sizeProblem);
  if (!checked.ok) throw new InnkeeperError('INVALID_INPUT', checked.problem);
  return checked;
}

function toJsonText(values: unknown): string {
  try {
    return JSON.stringify(values ?? {});
  } catch (error) {
    throw new InnkeeperError('INVALID_INPUT', `The arguments are no JSON: ${(error as Error).message}.`);
  }
}

type Arguments = Readonly<Record<string, unknown>>;

function checkBash({ command, timeout }: Arguments): CheckedCall {
  if (typeof command !== 'string' || command.trim() === '') {
    return refuse('The argument "command" must be text that is not empty.');
  }
  if (command.includes('\0')) return refuse('A command cannot contain the NUL character.');
  const seconds = timeout ?? undefined;
  if (seconds !== undefined && (typeof seconds !== 'number' || !(seconds > 0))) {
    return refuse('The argument "timeout" must be a number of seconds greater than 0.');
  }
  const values = { command, ...(seconds === undefined ? {} : { timeout: Math.min(seconds, TIMEOUT_SECONDS_MAX) }) };
  return { ok: true, call: { tool: 'bash', arguments: values }, title: toTitle(command) };
}

function checkWrite({ path, content }: Arguments): CheckedCall {
  if (!isText(path)) return refuse(PATH_MISSING);
  const pathProblem = checkPath(path);
  if (pathProblem !== undefined) return refuse(pathProblem);
  if (!isText(content)) return refuse('The argument "content" must be text.');
  return { ok: true, call: { tool: 'write_file', arguments: { path, content } }, title: toTitle(`write ${path}`) };
}

function checkRead({ path, ...range }: Arguments): CheckedCall {
  if (!isText(path)) return refuse(PATH_MISSING);
  const pathProblem = checkPath(path);
  if (pathProblem !== undefined) return refuse(pathProblem);
  const values: { path: string; offset?: number; limit?: number } = { path };
  for (const key of ['offset', 'limit'] as const) {
    const value = range[key];
    if (value === undefined || value === null) continue;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
      return refuse(`The argument "${key}" must be a whole number of at least 1.`);
    }
    values[key] = value;
  }
  return { ok: true, call: { tool: 'read_file', arguments: values }, title: toTitle(`read ${path}`) };
}

function parseArguments(json: string): Arguments | string {
  let value: unknown;
  try {
    value = JSON.parse(json.trim() === '' ? '{}' : json);
  } catch (error) {
    return `The arguments are not valid JSON (${(error as Error).message.slice(0, 200)}). Send one JSON object.`;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return 'The arguments must be one JSON object.';
  }
  return value as Arguments;
}

const PATH_MISSING = 'The argument "path" must be text that is not empty.';

function checkPath(path: string): string | undefined {
  if (path === '') return PATH_MISSING;
  if (path.includes('\0')) return 'A path cannot contain the NUL character.';
  return utf8Bytes(path) > PATH_BYTES_MAX ? `A path has at most ${PATH_BYTES_MAX} bytes.` : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function toTitle(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is replaced
  const line = text.trim().replace(/[\u0000-\u001f\u007f-\u009f\s]+/gu, ' ');
  const characters = [...line];
  return characters.length <= TITLE_CHARACTERS_MAX
    ? line
    : `${characters.slice(0, TITLE_CHARACTERS_MAX - 1).join('')}…`;
}

function refuse(problem: string): Refused {
  return { ok: false, problem };
}
