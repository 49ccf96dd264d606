/**
 * One MCP server for one request: it lists the tools, and a call of one is a turn of the user that it waits for. It keeps nothing, so
 * that any replica answers.
 */
import { createHash } from 'node:crypto';
import {
  McpServer,
  ProtocolError,
  ProtocolErrorCode,
  type CallToolResult,
  type RequestId,
  type ServerContext,
} from '@modelcontextprotocol/server';
import type { FastifyBaseLogger } from 'fastify';
import { v7 as uuidv7 } from 'uuid';
import type { InnkeeperClient } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { parseTurnId } from '../contracts/ids.js';
import { parseToolCall, type ToolCall } from '../contracts/tools.js';
import { createCallStory, toErrorResult, TURN_ID_KEY } from './mcp-result.js';
import { INSTRUCTIONS, STATUS_TOOL, TOOLS, toStatus } from './mcp-tools.js';
import { toInnkeeperError } from './problem.js';

export interface McpServerParts {
  readonly client: InnkeeperClient;
  readonly userId: string;
  /** Which a client of the older protocol has. */
  readonly sessionId: string | undefined;
  /** Aborts when nobody reads the answer any more. */
  readonly gone: AbortSignal;
  /** Whether that is how the client cancels. */
  isCancelledWhenGone(): boolean;
  readonly closing: AbortSignal;
  readonly heartbeatMs: number;
  readonly log: FastifyBaseLogger;
}

type McpRequest = ServerContext['mcpReq'];

export function createMcpServer(parts: McpServerParts): McpServer {
  const { client, userId, gone, closing } = parts;
  const mcp = new McpServer(
    { name: 'innkeeper', title: "A user's Linux machine", version: '1' },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  );

  async function status(values: object = {}): Promise<CallToolResult> {
    const [extra] = Object.keys(values);
    if (extra !== undefined) {
      throw new InnkeeperError('INVALID_INPUT', `${STATUS_TOOL} has no argument ${JSON.stringify(extra)}.`);
    }
    const structuredContent = toStatus(await client.getUser({ userId }));
    return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent };
  }

  /** A turn that its caller can name may be come back for: it outlives its requests, however they end. */
  async function run(call: ToolCall, of: CallTurn, request: McpRequest): Promise<CallToolResult> {
    gone.throwIfAborted();
    const turn = { userId, turnId: of.turnId };
    await client.runTool({ ...turn, ...call, origin: 'mcp' });
    const story = createCallStory(turn.turnId, call.tool);
    const progress = openProgress(request, parts.heartbeatMs);
    const signal = AbortSignal.any([gone, closing]);
    try {
      for await (const item of client.followEvents({ userId, after: { beginningOf: turn.turnId }, signal })) {
        await progress.tell(story.tell(item));
        const result = story.result();
        if (result !== undefined) return result;
      }
      throw new Error('the events of a turn ended before the turn');
    } catch (error) {
      if (closing.aborted) throw new InnkeeperError('RESULT_TIMEOUT', 'The gateway ends before the turn does.');
      if (!of.isChosen && parts.isCancelledWhenGone()) await client.cancelTurn(turn);
      throw error;
    } finally {
      progress.close();
    }
  }

  // Beneath its register of tools, which would check arguments in words of its own.
  const { server } = mcp;
  server.setRequestHandler('tools/list', () => ({ tools: [...TOOLS] }));
  server.setRequestHandler('tools/call', async ({ params: { name, arguments: values } }, { mcpReq }) => {
    if (!TOOLS.some((tool) => tool.name === name)) {
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no tool named ${JSON.stringify(name)}.`);
    }
    let turn: CallTurn | undefined;
    try {
      if (name === STATUS_TOOL) return await status(values);
      turn = turnOf(mcpReq, parts.sessionId);
      return await run(parseToolCall(name, values).call, turn, mcpReq);
    } catch (error) {
      const known = toInnkeeperError(error);
      const isRefused = known.kind === 'rejected';
      if (!isRefused && error !== gone.reason) parts.log.warn({ code: known.code, err: error }, 'call failed');
      // What was refused was not stored.
      return toErrorResult(known, isRefused ? undefined : turn?.turnId);
    }
  });
  return mcp;
}

interface CallTurn {
  readonly turnId: string;
  /** By the caller. */
  readonly isChosen: boolean;
}

/** @throws InnkeeperError INVALID_TURN_ID */
function turnOf({ id, _meta }: McpRequest, sessionId: string | undefined): CallTurn {
  const chosen: unknown = _meta?.[TURN_ID_KEY];
  if (chosen !== undefined) return { turnId: parseTurnId(chosen), isChosen: true };
  return { turnId: sessionId === undefined ? uuidv7() : sessionTurnId(sessionId, id), isChosen: false };
}

/** A session's request has an id of its own: the request again is the same turn, and so is what a cancel names. */
export function sessionTurnId(sessionId: string, id: RequestId): string {
  const hash = createHash('sha256').update(JSON.stringify([sessionId, id]));
  return `mcp-${hash.digest('hex').slice(0, 32)}`;
}

/** Notices that grow in number, for a client that asked for them: of what happens, and now and then of nothing. */
function openProgress(
  { _meta, notify }: McpRequest,
  heartbeatMs: number,
): { tell(message: string | undefined): Promise<void>; close(): void } {
  const progressToken = _meta?.progressToken;
  if (progressToken === undefined) return { tell: () => Promise.resolve(), close: () => undefined };
  let progress = 0;
  const say = (said: { readonly message?: string }): Promise<void> =>
    notify({
      method: 'notifications/progress',
      params: { progressToken, progress: (progress += 1), ...said },
    }).catch(() => undefined); // Its reader is gone, which the stream itself will say.
  const heartbeat = setInterval(() => void say({}), heartbeatMs);
  return {
    tell: async (message) => (message === undefined ? undefined : say({ message })),
    close: () => clearInterval(heartbeat),
  };
}
