/**
 * How a call of a tool becomes a script for the machine. Compiling is pure and stable: a stored call compiles to the same script on
 * every attempt, or its body hash would conflict. Which calls are taken is src/contracts/tools.ts.
 */
import { COMMAND_TIMEOUT_MS_DEFAULT, COMMAND_TIMEOUT_MS_MAX } from '../contracts/limits.js';
import {
  checkToolCall,
  READ_LINES_DEFAULT,
  TIMEOUT_SECONDS_DEFAULT,
  type Refused,
  type ToolCall,
} from '../contracts/tools.js';
import { readFileScript, writeFileScript } from './file-scripts.js';

export { bodyHash } from './body-hash.js';
export { renderStatus } from './render-output.js';

const READ_LINES_MAX = 1_000_000;

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
  | Refused;

/** Checks a call of the model and makes it a script; never throws. */
export function compileToolCall(name: string, argumentsJson: string): CompiledCall {
  const checked = checkToolCall(name, argumentsJson);
  return checked.ok ? { ok: true, ...compile(checked.call), title: checked.title } : checked;
}

function compile(call: ToolCall): { script: string; historyLine: string | undefined; timeoutMs: number } {
  switch (call.tool) {
    case 'bash': {
      const { command, timeout = TIMEOUT_SECONDS_DEFAULT } = call.arguments;
      const timeoutMs = Math.min(COMMAND_TIMEOUT_MS_MAX, Math.max(1, Math.round(timeout * 1_000)));
      return { script: command, historyLine: command, timeoutMs };
    }
    case 'write_file': {
      const { path, content } = call.arguments;
      return ofFile(writeFileScript(path, content));
    }
    case 'read_file': {
      const { path, offset = 1, limit = READ_LINES_DEFAULT } = call.arguments;
      return ofFile(readFileScript(path, { offset, lines: Math.min(limit, READ_LINES_MAX) }));
    }
  }
}

function ofFile(script: string): { script: string; historyLine: undefined; timeoutMs: number } {
  return { script, historyLine: undefined, timeoutMs: COMMAND_TIMEOUT_MS_DEFAULT };
}
