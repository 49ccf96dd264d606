/** The tools that the model is offered, and their compilation to scripts that the runner journals like any command (pure). */
import {
  COMMAND_TIMEOUT_MS_DEFAULT,
  COMMAND_TIMEOUT_MS_MAX,
  READ_FILE_BYTES_MAX,
  TOOL_ARGUMENTS_BYTES_MAX,
} from '../contracts/limits.js';

export { bodyHash } from './body-hash.js';
export { renderStatus } from './render.js';

/** Structurally a tool of the model's port. */
export interface ToolDefinition {
  readonly name: string;
  readonly description: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export type CompiledCall =
  | {
      readonly ok: true;
      readonly script: string;
      readonly historyLine: string | undefined;
      readonly timeoutMs: number;
      /** One line for people: the command's text, or what is done to which file. */
      readonly title: string;
    }
  /** What to tell the model, so that it can do better. */
  | { readonly ok: false; readonly problem: string };

type Compiled = Extract<CompiledCall, { ok: true }>;
type Arguments = Readonly<Record<string, unknown>>;

interface Tool {
  readonly definition: ToolDefinition;
  compile(args: Arguments): Compiled | string;
}

const SECONDS_MAX = COMMAND_TIMEOUT_MS_MAX / 1_000;
const SECONDS_DEFAULT = COMMAND_TIMEOUT_MS_DEFAULT / 1_000;
/** File tools move a file of bounded size; they need no time limit of the model's choice. */
const FILE_TIMEOUT_MS = 60_000;
const LINES_DEFAULT = 2_000;

const text = (description: string): object => ({ type: 'string', description });
const whole = (description: string, minimum: number): object => ({ type: 'integer', minimum, description });

function define(
  name: string,
  description: string,
  properties: Record<string, object>,
  required: string[],
): ToolDefinition {
  return { name, description, parameters: { type: 'object', properties, required, additionalProperties: false } };
}

/** Quotes a word for bash. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** `~` and `~/…` mean the home directory, as a person would expect; everything else is taken literally. */
function quotePath(path: string): string {
  if (path === '~') return '"$HOME"';
  return path.startsWith('~/') ? `"$HOME"/${quote(path.slice(2))}` : quote(path);
}

const bash: Tool = {
  definition: define(
    'bash',
    'Runs a command with bash on the machine and answers its output and exit status. The directory and exported variables ' +
      'carry over to the next command. There is no terminal and no input.',
    {
      command: text('What to run; may have several lines.'),
      timeout: whole(`Time limit in seconds, at most ${SECONDS_MAX}; default ${SECONDS_DEFAULT}.`, 1),
    },
    ['command'],
  ),
  compile({ command, timeout }) {
    if (typeof command !== 'string' || command.trim() === '') return '"command" must be text that is not empty.';
    if (command.includes('\0')) return '"command" must not contain NUL.';
    const seconds = timeout ?? SECONDS_DEFAULT;
    if (typeof seconds !== 'number' || !(seconds > 0) || seconds > SECONDS_MAX) {
      return `"timeout" must be a number of seconds above 0 and at most ${SECONDS_MAX}.`;
    }
    const timeoutMs = Math.ceil(seconds * 1_000);
    return { ok: true, script: command, historyLine: command, timeoutMs, title: command };
  },
};

const writeFile: Tool = {
  definition: define(
    'write_file',
    'Writes a text file on the machine, whole: makes missing directories, replaces what was there in one step and keeps its mode.',
    { path: text('Absolute, below ~, or relative to the current directory.'), content: text('The whole content.') },
    ['path', 'content'],
  ),
  compile({ path, content }) {
    const problem = pathProblem(path);
    if (problem !== undefined) return problem;
    if (typeof content !== 'string') return '"content" must be text.';
    const target = quotePath(path as string);
    // In a subshell, so that nothing of it stays in the user's shell context.
    const script = `(
set -eu
file=${target}
if [ -L "$file" ]; then file=$(readlink -f -- "$file"); fi
if [ -d "$file" ]; then echo "$file is a directory" >&2; exit 1; fi
mkdir -p -- "$(dirname -- "$file")"
part=$(mktemp -- "$file.XXXXXX")
trap 'rm -f -- "$part"' EXIT
base64 -d > "$part" <<'INNKEEPER_CONTENT'
${toBase64Lines(content)}
INNKEEPER_CONTENT
if [ -e "$file" ]; then chmod --reference="$file" -- "$part"; else chmod "$(printf '%o' $((0666 & ~$(umask))))" -- "$part"; fi
mv -f -- "$part" "$file"
echo "wrote $(stat -c %s -- "$file") bytes to $file"
)`;
    return { ok: true, script, historyLine: undefined, timeoutMs: FILE_TIMEOUT_MS, title: `write ${path as string}` };
  },
};

const readFile: Tool = {
  definition: define(
    'read_file',
    'Reads lines of a text file on the machine.',
    {
      path: text('Absolute, below ~, or relative to the current directory.'),
      offset: whole('First line, from 1; default 1.', 1),
      limit: whole(`Lines at the most; default ${LINES_DEFAULT}.`, 1),
    },
    ['path'],
  ),
  compile({ path, offset = 1, limit = LINES_DEFAULT }) {
    const problem = pathProblem(path);
    if (problem !== undefined) return problem;
    if (!isLine(offset)) return '"offset" must be a whole number from 1.';
    if (!isLine(limit)) return '"limit" must be a whole number from 1.';
    const target = quotePath(path as string);
    const script = `(
file=${target}
if [ -d "$file" ]; then echo "$file is a directory" >&2; exit 1; fi
sed -n '${offset},${offset + limit - 1}p;${offset + limit - 1}q' -- "$file" | head -c ${READ_FILE_BYTES_MAX}
code=\${PIPESTATUS[0]}
# 141: the size limit cut it short.
if [ "$code" = 141 ]; then code=0; fi
exit "$code"
)`;
    return { ok: true, script, historyLine: undefined, timeoutMs: FILE_TIMEOUT_MS, title: `read ${path as string}` };
  },
};

function pathProblem(path: unknown): string | undefined {
  if (typeof path !== 'string' || path === '') return '"path" must be text that is not empty.';
  return path.includes('\0') ? '"path" must not contain NUL.' : undefined;
}

function isLine(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
}

const BASE64_LINE_CHARACTERS = 76;

function toBase64Lines(content: string): string {
  const encoded = Buffer.from(content, 'utf8').toString('base64');
  return encoded.match(new RegExp(`.{1,${BASE64_LINE_CHARACTERS}}`, 'g'))?.join('\n') ?? '';
}

const tools: ReadonlyMap<string, Tool> = new Map(
  [bash, writeFile, readFile].map((tool) => [tool.definition.name, tool]),
);

export const toolDefinitions: readonly ToolDefinition[] = [...tools.values()].map(({ definition }) => definition);

/** A call of the model as a script. Never throws: what cannot be run answers the reason, worded for the model. */
export function compileToolCall(name: string, argumentsJson: string): CompiledCall {
  const tool = tools.get(name);
  if (tool === undefined)
    return refuse(`There is no tool "${name.slice(0, 64)}": use ${[...tools.keys()].join(', ')}.`);
  if (Buffer.byteLength(argumentsJson) > TOOL_ARGUMENTS_BYTES_MAX) {
    return refuse(`The arguments are larger than ${TOOL_ARGUMENTS_BYTES_MAX} bytes: write large files in parts.`);
  }
  let args: unknown;
  try {
    args = JSON.parse(argumentsJson === '' ? '{}' : argumentsJson);
  } catch {
    return refuse('The arguments are not valid JSON.');
  }
  if (typeof args !== 'object' || args === null || Array.isArray(args))
    return refuse('The arguments must be one object.');
  const known = Object.keys(tool.definition.parameters['properties'] as object);
  const unknown = Object.keys(args).find((key) => !known.includes(key));
  if (unknown !== undefined)
    return refuse(`"${unknown.slice(0, 64)}" is no argument of ${name}: use ${known.join(', ')}.`);
  const compiled = tool.compile(args as Arguments);
  return typeof compiled === 'string' ? refuse(compiled) : compiled;
}

function refuse(problem: string): CompiledCall {
  return { ok: false, problem };
}
