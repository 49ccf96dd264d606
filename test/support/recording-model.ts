/** A model service that keeps what it was sent and answers each call with the next of its answers. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SentMessage {
  readonly role: string;
  readonly content: string | null;
  readonly tool_calls?: readonly { readonly id: string; readonly function: { readonly name: string } }[];
  readonly tool_call_id?: string;
}

export interface SentRequest {
  readonly messages: readonly SentMessage[];
  readonly [key: string]: unknown;
}

export interface RecordingModel {
  readonly url: string;
  /** Every request's body, in order. */
  readonly requests: readonly SentRequest[];
  stop(): Promise<void>;
}

/** `answer` makes the message of the n-th answer, counted from 0. */
export async function startRecordingModel(
  answer: (n: number, request: SentRequest) => object = (n) => ({ content: `answer ${n}` }),
): Promise<RecordingModel> {
  const requests: SentRequest[] = [];
  const server = createServer((request, response) => {
    void readBody(request).then((text) => {
      const body = JSON.parse(text) as SentRequest;
      requests.push(body);
      const message = { role: 'assistant', content: null, ...answer(requests.length - 1, body) };
      const finish = 'tool_calls' in message ? 'tool_calls' : 'stop';
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({
          model: 'recording',
          choices: [{ index: 0, message, finish_reason: finish }],
          usage: { prompt_tokens: 7, completion_tokens: 3 },
        }),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}
