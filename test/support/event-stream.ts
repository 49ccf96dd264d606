/** A reader of event streams (SSE) as a client of the gateway writes one: one connection, or a follower that comes back by itself. */

/** An event of a stream. */
export interface Sent {
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

export interface ReadOptions {
  readonly key: string;
  /** Id of the last event that was read. */
  readonly lastId?: string | undefined;
  readonly signal?: AbortSignal;
  readonly onEvent: (sent: Sent) => void;
}

/** Reads one connection to its end. Rejects where it breaks, is refused (with the answer's status), or is aborted. */
export async function readStream(url: string, { key, lastId, signal, onEvent }: ReadOptions): Promise<void> {
  const answer = await fetch(url, {
    headers: { authorization: `Bearer ${key}`, ...(lastId === undefined ? {} : { 'last-event-id': lastId }) },
    ...(signal === undefined ? {} : { signal }),
  });
  const type = answer.headers.get('content-type') ?? '';
  if (!type.includes('text/event-stream')) {
    await answer.body?.cancel();
    throw new Error(`no event stream: ${answer.status} ${type}`);
  }
  const decoder = new TextDecoder();
  let text = '';
  for await (const bytes of answer.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(bytes, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const sent of blocks.flatMap(toSent)) onEvent(sent);
  }
}

/** A comment is none. */
function toSent(block: string): Sent[] {
  const fields = new Map(
    block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  );
  const [id = '', event = '', data] = ['id', 'event', 'data'].map((name) => fields.get(name));
  return data === undefined ? [] : [{ id, event, data: JSON.parse(data) as Record<string, unknown> }];
}

const PAUSE_MS_MAX = 300;

export interface Follower {
  readonly seen: Sent[];
  /** Breaks the connection of the moment. False: there is none. */
  cut(): boolean;
  /** Connections that it made. */
  readonly connections: () => number;
  /** Resolves once an event for which `isLast` holds was seen. */
  readonly ended: Promise<void>;
}

/** Follows over every break, asking one of the gateways after another, until the last event or the signal. */
export function follow(options: {
  readonly gateways: readonly string[];
  readonly path: string;
  readonly key: string;
  /** Takes what comes in place of `seen`. */
  readonly onEvent?: (sent: Sent) => void;
  readonly isLast: (sent: Sent) => boolean;
  readonly signal: AbortSignal;
}): Follower {
  const { gateways, path, key, isLast, signal } = options;
  const seen: Sent[] = [];
  const keep = options.onEvent ?? ((sent: Sent) => void seen.push(sent));
  let lastId: string | undefined;
  let connections = 0;
  let current: AbortController | undefined;
  const run = async (): Promise<void> => {
    for (;;) {
      signal.throwIfAborted();
      const url = `${gateways[connections % gateways.length] ?? ''}${path}`;
      connections += 1;
      const own = new AbortController();
      current = own;
      let isOver = false;
      const onEvent = (sent: Sent): void => {
        if (own.signal.aborted) return;
        keep(sent);
        lastId = sent.id;
        isOver = isLast(sent);
        if (isOver) own.abort();
      };
      await readStream(url, { key, lastId, signal: AbortSignal.any([signal, own.signal]), onEvent }).catch(
        () => undefined,
      ); // Broken: on to the next.
      current = undefined;
      if (isOver) return;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * PAUSE_MS_MAX));
    }
  };
  return {
    seen,
    connections: () => connections,
    cut: () => {
      current?.abort();
      return current !== undefined;
    },
    ended: run(),
  };
}
