/** OpenAI's client: a chat completion is joined by its key and begins anew; a response goes on behind the last event that came. */
import OpenAI from 'openai';
import { endsOf, fetchOn, Refused, type Connection, type Heard, type Protocol, type ToldCommand } from './protocol.js';

/** The field of ours that the client hands on without looking at it. */
interface Annotated {
  readonly innkeeper?: { readonly command?: ToldCommand; readonly commands?: readonly ToldCommand[] };
}

const COMMANDS = { 'x-innkeeper-commands': 'annotation' };

function clientOf(connection: Connection): OpenAI {
  const { url, key } = connection;
  // The breaks are counted here, and what is done about them is the follower's.
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0, fetch: fetchOn(connection) });
}

export const openAiChat: Protocol = {
  name: 'chat completions',
  keepsVoid: true,
  open:
    ({ userId, turnId, prompt: content }) =>
    async (connection) => {
      const commands = new Map<string, ToldCommand>();
      let text = '';
      const heard = (state: string): Heard => ({ state, text, ends: endsOf(commands.values()) });
      try {
        const stream = await clientOf(connection).chat.completions.create(
          { model: 'innkeeper', messages: [{ role: 'user', content }], stream: true },
          { headers: { 'idempotency-key': turnId, 'x-innkeeper-user': userId, ...COMMANDS } },
        );
        for await (const chunk of stream) {
          connection.onPiece();
          const [choice] = chunk.choices;
          const { command } = (chunk as Annotated).innkeeper ?? {};
          text += choice?.delta.content ?? '';
          if (command !== undefined) commands.set(`${command.step}/${command.index}`, command);
          if (choice?.finish_reason === 'stop') return heard('completed');
        }
        return undefined;
      } catch (error) {
        const code = codeInStream(error);
        return code === undefined ? undefined : heard(code === 'CANCELLED' ? 'cancelled' : 'failed');
      }
    },
};

export const openAiResponses: Protocol = {
  name: 'responses',
  keepsVoid: false,
  open: ({ userId, turnId }) => {
    const id = `resp_${Buffer.from(`${userId}/${turnId}`).toString('base64url')}`;
    let last: number | undefined;
    let pieces = '';
    return async (connection) => {
      try {
        const behind = last === undefined ? {} : { starting_after: last };
        const stream = await clientOf(connection).responses.retrieve(
          id,
          { stream: true, ...behind },
          { headers: COMMANDS },
        );
        for await (const event of stream) {
          connection.onPiece();
          last = event.sequence_number;
          if (event.type === 'response.output_text.delta') pieces += event.delta;
          if (event.type !== 'response.completed' && event.type !== 'response.failed') continue;
          const { response } = event;
          const ends = endsOf((response as Annotated).innkeeper?.commands ?? []);
          return { state: response.status ?? '', text: textOf(response), pieces, ends };
        }
        return undefined;
      } catch (error) {
        if (codeInStream(error) !== undefined) throw error;
        return undefined;
      }
    };
  },
};

/** The client's own `output_text` is only in what it read whole. */
function textOf({ output }: OpenAI.Responses.Response): string {
  const parts = output.flatMap((item) => (item.type === 'message' ? item.content : []));
  return parts.map((part) => (part.type === 'output_text' ? part.text : '')).join('');
}

/** How a turn ended that did not complete; undefined: the connection broke, or the gateway is shut down. @throws Refused */
function codeInStream(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  if (error instanceof Refused || cause instanceof Refused) throw error instanceof Refused ? error : cause;
  if (!(error instanceof OpenAI.APIError) || error.status !== undefined) return undefined;
  const code = error.code ?? undefined;
  return code === 'RESULT_TIMEOUT' ? undefined : code;
}
