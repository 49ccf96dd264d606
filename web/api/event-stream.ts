/** One connection of the event stream: bytes -> events. It decides nothing. */
import { createParser } from 'eventsource-parser';

export interface SentEvent {
  /** undefined: it has no place in the stream. */
  readonly id: string | undefined;
  readonly type: string;
  readonly data: string;
}

/** Resolves at the stream's end; rejects when it breaks off. `onSign`: at each sign of life, comments included. */
export async function readEvents(
  body: ReadableStream<Uint8Array>,
  { onEvent, onSign }: { onEvent(event: SentEvent): void; onSign(): void },
): Promise<void> {
  const decoder = new TextDecoder();
  const parser = createParser({
    onEvent: ({ id, event, data }) => onEvent({ id, type: event ?? 'message', data }),
  });
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onSign();
    parser.feed(decoder.decode(value, { stream: true }));
  }
}
