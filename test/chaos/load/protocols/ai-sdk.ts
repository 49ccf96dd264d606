/** The AI SDK's transport and its reader of messages: a stream that is resumed begins with the answer's beginning. */
import { DefaultChatTransport, readUIMessageStream, type UIMessage } from 'ai';
import { ENDED, fetchEnding, placeOf, type Heard, type Protocol } from './protocol.js';

type Answer = UIMessage<{ readonly state?: string }>;

export const aiSdk: Protocol = {
  name: 'AI SDK',
  keepsVoid: false,
  open:
    ({ userId, turnId }) =>
    async (connection) => {
      const { url, key, onPiece } = connection;
      const api = `${url}/v1/users/${userId}/ai-sdk/chat`;
      const transport = new DefaultChatTransport<Answer>({
        ...{ api, headers: { authorization: `Bearer ${key}` } },
        fetch: fetchEnding(connection),
        prepareReconnectToStreamRequest: () => ({ api: `${api}/main/stream?turn=${turnId}` }),
      });
      const stream = await transport.reconnectToStream({ chatId: 'main' });
      if (stream === null) return undefined;
      let answer: Answer | undefined;
      for await (const message of readUIMessageStream<Answer>({ stream })) {
        onPiece();
        answer = message;
      }
      return answer === undefined ? undefined : toHeard(answer);
    },
};

function toHeard({ metadata, parts }: Answer): Heard | undefined {
  if (metadata?.state === undefined) return undefined;
  const texts = parts.flatMap((part) =>
    part.type === 'text' && part.providerMetadata?.['innkeeper']?.['void'] !== true ? [part.text] : [],
  );
  const ends = parts.flatMap((part): [string, string][] => {
    if (part.type !== 'dynamic-tool' || part.state !== 'output-available' || part.preliminary === true) return [];
    const { outcome, exitCode } = part.output as { readonly outcome: string; readonly exitCode: number | null };
    return ENDED.has(outcome) ? [[placeOf(part.toolCallId), `${outcome} ${exitCode}`]] : [];
  });
  return { state: metadata.state, text: texts.join('\n\n'), ends: new Map(ends) };
}
