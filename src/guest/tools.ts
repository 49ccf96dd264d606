/**
 * The tools that the model is given, and how a call of one becomes a script for the machine. Compiling is pure and stable: a
 * stored call compiles to the same script on every attempt, or its body hash would conflict.
 */
import { COMMAND_TIMEOUT_MS_DEFAULT, COMMAND_TIMEOUT_MS_MAX, MODEL_OUTPUT_BYTES_MAX } from '../contracts/limits.js';
import { readFileScript, writeFileScript } from './file-scripts.js';

export { bodyHash } from './body-hash.js';
export { renderStatus } from './render-output.js';

/** Lines that `read_file` shows when the model does not say how many. */
const READ_LINES_DEFAULT = 2_000;
const READ_LINES_MAX = 1_000_000;
const TITLE_CHARACTERS_MAX = 120;
const PATH_BYTES_MAX = 4_096;
const TIMEOUT_SECONDS_DEFAULT = COMMAND_TIMEOUT_MS_DEFAULT / 1_000;
const TIMEOUT_SECONDS_MAX = COMMAND_TIMEOUT_MS_MAX / 1_000;

export interface ToolDefinition {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of the arguments. */
  readonly parameters: Readonly<Record<string, unknown>>;
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

export type CompiledCall =
  | {
      readonly ok: true;
      readonly script: string;
      /** Line for ~/.bash_history; undefined for tools that are not commands of the user's shell. */
      readonly historyLine: string | undefined;
      readonly timeoutMs: number;
      /** One short line that tells a person what the call does. */
      readonly title: string;
    }
  /** `problem` is a sentence for the model. */
  | { readonly ok: false; readonly problem: string };

/** Checks a call of the model and makes it a script; never throws. */
export function compileToolCall(name: string, argumentsJson: string): CompiledCall {
  const definition = toolDefinitions.find((tool) => tool.name === name);
  if (definition === undefined) {
    const known = toolDefinitions.map((tool) => tool.name).join(', ');
    return problem(`There is no tool named ${JSON.stringify(name.slice(0, 100))}. The tools are: ${known}.`);
  }
  const parsed = parseArguments(argumentsJson);
  if (typeof parsed === 'string') return problem(parsed);
  const allowed = Object.keys(definition.parameters['properties'] as object);
  const extra = Object.keys(parsed).find((key) => !allowed.includes(key));
  if (extra !== undefined) {
    return problem(`${name} has no argument ${JSON.stringify(extra)}. Its arguments are: ${allowed.join(', ')}.`);
  }
  if (name === 'bash') return compileBash(parsed);
  return name === 'write_file' ? compileWrite(parsed) : compileRead(parsed);
}

type Arguments = Readonly<Record<string, unknown>>;

function compileBash({ command, timeout }: Arguments): CompiledCall {
  if (typeof command !== 'string' || command.trim() === '') {
    return problem('The argument "command" must be text that is not empty.');
  }
  if (command.includes('\0')) return problem('A command cannot contain the NUL character.');
  const seconds = timeout ?? TIMEOUT_SECONDS_DEFAULT;
  if (typeof seconds !== 'number' || !(seconds > 0)) {
    return problem('The argument "timeout" must be a number of seconds greater than 0.');
  }
  const timeoutMs = Math.min(COMMAND_TIMEOUT_MS_MAX, Math.max(1, Math.round(seconds * 1_000)));
  return { ok: true, script: command, historyLine: command, timeoutMs, title: toTitle(command) };
}

function compileWrite({ path, content }: Arguments): CompiledCall {
  const pathProblem = checkPath(path);
  if (pathProblem !== undefined) return problem(pathProblem);
  if (typeof content !== 'string') return problem('The argument "content" must be text.');
  return {
    ok: true,
    script: writeFileScript(path as string, content),
    historyLine: undefined,
    timeoutMs: COMMAND_TIMEOUT_MS_DEFAULT,
    title: toTitle(`write ${path as string}`),
  };
}

function compileRead({ path, offset, limit }: Arguments): CompiledCall {
  const pathProblem = checkPath(path);
  if (pathProblem !== undefined) return problem(pathProblem);
  for (const [key, value] of Object.entries({ offset, limit })) {
    if (value === undefined || value === null) continue;
    if (!Number.isSafeInteger(value) || (value as number) < 1) {
      return problem(`The argument "${key}" must be a whole number of at least 1.`);
    }
  }
  const lines = Math.min((limit as number | null | undefined) ?? READ_LINES_DEFAULT, READ_LINES_MAX);
  return {
    ok: true,
    script: readFileScript(path as string, { offset: (offset as number | null | undefined) ?? 1, lines }),
    historyLine: undefined,
    timeoutMs: COMMAND_TIMEOUT_MS_DEFAULT,
    title: toTitle(`read ${path as string}`),
  };
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

function checkPath(path: unknown): string | undefined {
  if (typeof path !== 'string' || path === '') return 'The argument "path" must be text that is not empty.';
  if (path.includes('\0')) return 'A path cannot contain the NUL character.';
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) return `A path has at most ${PATH_BYTES_MAX} bytes.`;
  return undefined;
}

function toTitle(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is replaced
  const line = text.trim().replace(/[\u0000-\u001f\u007f-\u009f\s]+/gu, ' ');
  const characters = [...line];
  return characters.length <= TITLE_CHARACTERS_MAX
    ? line
    : `${characters.slice(0, TITLE_CHARACTERS_MAX - 1).join('')}…`;
}

function problem(text: string): CompiledCall {
  return { ok: false, problem: text };
}
