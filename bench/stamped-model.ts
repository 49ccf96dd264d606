/** A model service whose every piece of text is the time at which it was written, in ms since the epoch; its pace is constant. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StampedModel {
  readonly url: string;
  stop(): Promise<void>;
}

const STAMP = /\b(\d{13})\b/g;

/** The stamps that a text holds. */
export function stampsOf(text: string): number[] {
  return Array.from(text.matchAll(STAMP), ([stamp]) => Number(stamp));
}

export async function startStampedModel(answer: {
  readonly piecesPerSecond: number;
  readonly pieces: number;
}): Promise<StampedModel> {
  const server = createServer((request, response) => {
    request.resume().once('end', () => write(response, answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function write(
  response: ServerResponse,
  { piecesPerSecond, pieces }: { piecesPerSecond: number; pieces: number },
): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const chunk = (delta: object, finish: string | null): void => {
    const choices = [{ index: 0, delta, finish_reason: finish }];
    response.write(
      `data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 0, model: 'stamped', choices })}\n\n`,
    );
  };
  let written = 0;
  const timer = setInterval(() => {
    if (written < pieces && !response.destroyed) {
      written += 1;
      chunk({ content: `${Date.now()} ` }, null);
      return;
    }
    clearInterval(timer);
    chunk({}, 'stop');
    response.end('data: [DONE]\n\n');
  }, 1_000 / piecesPerSecond);
}
