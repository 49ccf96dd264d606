/**
 * AG-UI: a run is a turn, and its id the turn's. We keep the conversation: of the messages that a client sends the user's last one is read, and
 * whoever runs the same id again follows the turn from its beginning.
 */
import { z } from 'zod';
import { InnkeeperError } from '../contracts/errors.js';
import { parseTurnId } from '../contracts/ids.js';
import { CONVERSATION_BODY_BYTES_MAX } from '../contracts/limits.js';
import { AgUiStream } from './ag-ui-stream.js';
import { cancelHeaders } from './cancel-on-disconnect.js';
import type { Gateway, RouteParts } from './parts.js';
import { describe, problems, takeBody, userOf } from './routes.js';
import { streamTurn } from './turn-stream.js';
import { userParams } from './views.js';

const runInput = z
  .looseObject({
    threadId: z.string().describe('Any: a user has one conversation'),
    runId: z.string().describe("The turn's id"),
    messages: z
      .array(z.looseObject({ id: z.string(), role: z.string() }))
      .describe('The last one of the user is what they say now; none: the run is one that there is'),
  })
  .meta({ id: 'AgUiRun' });
const content = z.union([z.string(), z.array(z.looseObject({ type: z.literal('text'), text: z.string() }))]);

export function addAgUiRoutes(app: Gateway, parts: RouteParts): void {
  const { client } = parts;
  app.post(
    '/v1/users/:user/ag-ui',
    {
      ...describe('user', {
        ...{ summary: 'Run the agent once by AG-UI, or follow a run again', tags: ['ag-ui'] },
        ...{ params: userParams, headers: cancelHeaders, body: runInput },
        response: {
          200: { description: 'The events of the run', content: { 'text/event-stream': { schema: z.string() } } },
          ...problems,
        },
      }),
      bodyLimit: CONVERSATION_BODY_BYTES_MAX,
    },
    async (request, reply) => {
      const { turnId, prompt, projection } = toRun(takeBody(request));
      const turn = { userId: userOf(request.params), turnId };
      if (prompt === undefined) await client.getTurn(turn);
      else await client.submitTurn({ ...turn, prompt });
      return streamTurn(parts, request, reply, { ...turn, projection, withMachine: true });
    },
  );
}

/** `prompt` undefined: a run that there is. @throws InnkeeperError INVALID_TURN_ID, INVALID_INPUT */
function toRun(run: z.infer<typeof runInput>): { turnId: string; prompt?: string; projection: AgUiStream } {
  const projection = new AgUiStream(run);
  const turnId = parseTurnId(run.runId);
  const said = run.messages.findLast(({ role }) => role === 'user');
  return { turnId, projection, ...(said === undefined ? {} : { prompt: toPrompt(said['content']) }) };
}

/** @throws InnkeeperError INVALID_INPUT */
function toPrompt(given: unknown): string {
  const { data, success } = content.safeParse(given);
  if (!success) throw new InnkeeperError('INVALID_INPUT', "messages: the user's last message must be of text alone.");
  return typeof data === 'string' ? data : data.map(({ text }) => text).join('\n');
}
