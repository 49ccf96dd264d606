/** The event log's word on a tool call -> what MCP tells of it: lines on the way, then the one result. */
import type { CallToolResult } from '@modelcontextprotocol/server';
import type { FeedItem, TurnDelta, TurnEvent } from '../client.js';
import { ERROR_TABLE, type InnkeeperError } from '../contracts/errors.js';
import type { ToolName } from '../contracts/tools.js';

export interface CallStory {
  /** What somebody who waits is told of it; undefined: nothing. */
  tell(item: FeedItem): string | undefined;
  /** undefined: the turn is not over. */
  result(): CallToolResult | undefined;
}

type Body<T extends TurnEvent['body']['type']> = Extract<TurnEvent['body'], { readonly type: T }>;

/** Of a turn whose one call is given. */
export function createCallStory(turnId: string, tool: ToolName): CallStory {
  let command: Body<'command.ended'> | undefined;
  let end: Body<'turn.ended'> | undefined;

  function tellEvent({ turnId: of, body }: TurnEvent): string | undefined {
    if (body.type === 'machine.phase') return `The machine is ${body.phase}.`;
    if (body.type === 'machine.replaced') {
      return `Machine ${body.generation} replaces the one before: ${body.reason}.`;
    }
    if (of !== turnId) return undefined;
    if (body.type === 'turn.queued') return `This call is turn ${turnId}.`;
    if (body.type === 'turn.started') return 'It begins.';
    if (body.type === 'turn.resumed') return 'It goes on after an interruption.';
    if (body.type === 'command.ended') command = body;
    if (body.type === 'turn.ended') end = body;
    return undefined;
  }

  return {
    tell: (item) => {
      if ('event' in item) return tellEvent(item.event);
      return item.delta.turnId === turnId ? tellDelta(item.delta) : undefined;
    },
    result: () => (end === undefined ? undefined : toResult({ turnId, tool, command, end })),
  };
}

function tellDelta({ index, body }: TurnDelta): string | undefined {
  if (index === null) return undefined;
  if (body.type === 'output.delta') return withoutColours(body.text) || undefined;
  if (body.type === 'part.restarted') return '[The output is told anew.]';
  return body.type === 'part.resync' ? '[Some of the output is left out here; the result has it.]' : undefined;
}

/** The only control sequences of live output. */
function withoutColours(text: string): string {
  // eslint-disable-next-line no-control-regex -- escape sequences are what is removed
  return text.replace(/\u001b\[[\d;:]*m/g, '');
}

function toResult(call: {
  readonly turnId: string;
  readonly tool: ToolName;
  readonly command: Body<'command.ended'> | undefined;
  readonly end: Body<'turn.ended'>;
}): CallToolResult {
  const { turnId, tool, command, end } = call;
  const { outcome = null, exitCode = null, outputBytes = 0 } = command ?? {};
  const lines = [
    ...(command === undefined ? ['The call did not run.'] : [command.output]),
    ...(end.code === null ? [] : [`${end.code}: ${ERROR_TABLE[end.code].advice}`]),
  ];
  // A command may say by its code what it likes; a file tool says so that it failed.
  const hasFailed = outcome !== 'exited' || (tool !== 'bash' && exitCode !== 0);
  return {
    content: [{ type: 'text', text: lines.join('\n') }],
    structuredContent: { turnId, state: end.outcome, code: end.code, outcome, exitCode, outputBytes },
    isError: end.outcome !== 'completed' || hasFailed,
  };
}

/** `openTurnId`: the turn goes on, or may. */
export function toErrorResult(
  { code, message, advice }: InnkeeperError,
  openTurnId: string | undefined,
): CallToolResult {
  const goesOn =
    openTurnId === undefined
      ? ''
      : ` This call is turn ${openTurnId}, which may go on without you: to hear of its end, call again with the same ` +
        `arguments and ${JSON.stringify({ [TURN_ID_KEY]: openTurnId })} in _meta. Without it the call runs once more.`;
  return { content: [{ type: 'text', text: `${code}: ${message} ${advice}${goesOn}` }], isError: true };
}

/** In `_meta` of a call: the id of its turn, chosen by the caller. The same again is the same call. */
export const TURN_ID_KEY = 'innkeeper/turnId';
