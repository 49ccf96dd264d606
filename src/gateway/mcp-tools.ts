/** The tools of a user's machine as MCP lists them. */
import type { Tool, ToolAnnotations } from '@modelcontextprotocol/server';
import type { UserView } from '../client.js';
import { toolDefinitions, type ToolName } from '../contracts/tools.js';

export const INSTRUCTIONS =
  'One Linux machine that belongs to one user, with files and programs that stay. Calls run one at a time and in order, also behind ' +
  "what the user's own agent is doing; a machine that sleeps is woken by a call. A command runs at most once: where its outcome is " +
  'unknown the result says so, and nothing repeats it. status tells of the machine without waking it.';

export const STATUS_TOOL = 'status';

const orNull = (type: string): { type: string[] } => ({ type: [type, 'null'] });

/** What a result says beside the output. */
const CALL_OUTPUT: Tool['outputSchema'] = {
  type: 'object',
  properties: {
    turnId: { type: 'string', description: 'The turn that the call was' },
    state: { enum: ['completed', 'failed', 'cancelled'], description: 'How the turn ended' },
    code: { ...orNull('string'), description: 'Why it did not complete' },
    outcome: {
      ...orNull('string'),
      description:
        'exited, signalled, timed_out, cancelled, interrupted, invalid or unknown: nobody knows how it ended, and it is not run again; ' +
        'null: it did not run',
    },
    exitCode: { ...orNull('integer'), description: 'null: it did not exit by itself' },
    outputBytes: { type: 'integer', description: 'Of all that it wrote, shown or not' },
  },
  required: ['turnId', 'state', 'code', 'outcome', 'exitCode', 'outputBytes'],
  additionalProperties: false,
};

const STATUS: Tool = {
  name: STATUS_TOOL,
  title: 'Look at the machine',
  description: 'Tells what your machine is doing, and which work is open, from the record. It wakes nothing.',
  inputSchema: { type: 'object', properties: {}, additionalProperties: false },
  outputSchema: {
    type: 'object',
    properties: {
      machine: {
        type: 'string',
        description: 'Its phase: ready, asleep, waking, …; none: it will be made by the first call',
      },
      generation: {
        type: 'integer',
        description: 'Grows when the machine is replaced; files of an earlier one are gone',
      },
      openTurns: { type: 'integer', description: 'Calls and messages that run or wait' },
      runningTurnId: orNull('string'),
      lastTurnAt: { ...orNull('string'), description: 'ISO 8601' },
    },
    required: ['machine', 'generation', 'openTurns', 'runningTurnId', 'lastTurnAt'],
    additionalProperties: false,
  },
  annotations: { readOnlyHint: true, openWorldHint: false },
};

const ABOUT: Readonly<Record<ToolName, { readonly title: string; readonly annotations: ToolAnnotations }>> = {
  bash: {
    title: 'Run a command',
    annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: true },
  },
  write_file: {
    title: 'Write a file',
    annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
  },
  read_file: { title: 'Read a file', annotations: { readOnlyHint: true, openWorldHint: false } },
};

export const TOOLS: readonly Tool[] = [
  ...toolDefinitions.map(({ name, description, parameters: inputSchema }) => ({
    ...{ name, description, inputSchema, outputSchema: CALL_OUTPUT },
    ...ABOUT[name],
  })),
  STATUS,
];

export function toStatus(user: UserView): Record<string, unknown> {
  const { machine, queueLength, runningTurnId, lastTurnAt } = user;
  return {
    ...{ machine: machine.phase, generation: machine.generation },
    ...{ openTurns: queueLength, runningTurnId, lastTurnAt },
  };
}
