/**
 * Live text of one part of a turn, from the attempt that makes it to Postgres: batched by time and size, one write at a time, in
 * order. Nobody waits for it and nothing fails by it: what has not been written when the part is complete is in the part's event.
 */
import type { TurnDeltaBody } from '../contracts/events.js';
import { LIVE_BATCH_BYTES, LIVE_BATCH_MS, LIVE_RETRY_MS } from '../contracts/limits.js';
import type { PartKey, PlacedDelta } from '../store/deltas.js';
import type { ActivityLog } from './context.js';
import { toLogged } from './failure.js';

/** The port to where live text goes. */
export interface LiveText {
  /** False: no more is taken. Repeating an append changes nothing. */
  append(said: PartKey & { readonly try: number; readonly deltas: readonly PlacedDelta[] }): Promise<boolean>;
}

export interface LivePart {
  push(body: TurnDeltaBody): void;
  /** Drops what waits, and resolves once nothing is being written. Never rejects. */
  close(): Promise<void>;
}

export function openLivePart(
  parts: { readonly live: LiveText; readonly log: ActivityLog },
  key: PartKey & { readonly try: number },
): LivePart {
  let pending: TurnDeltaBody[] = [];
  let pendingBytes = 0;
  let n = 0;
  let isOpen = true;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> | undefined;
  /** Wakes a pause after an error. */
  let wake = (): void => undefined;

  /** Until Postgres has taken it, or takes nothing more. */
  async function write(deltas: readonly PlacedDelta[]): Promise<void> {
    let isLogged = false;
    while (isOpen) {
      try {
        isOpen = await parts.live.append({ ...key, deltas });
        return;
      } catch (error) {
        if (!isLogged) parts.log.info({ turnKey: key.turnKey, err: toLogged(error) }, 'live text waits for Postgres');
        isLogged = true;
        await new Promise<void>((resolve) => {
          const pause = setTimeout(resolve, LIVE_RETRY_MS);
          wake = () => {
            clearTimeout(pause);
            resolve();
          };
        });
      }
    }
  }

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (!isOpen || pending.length === 0 || writing !== undefined) return;
    const deltas = pending.map((body) => ({ n: (n += 1), body }));
    pending = [];
    pendingBytes = 0;
    writing = write(deltas).then(() => {
      writing = undefined;
      if (pendingBytes >= LIVE_BATCH_BYTES) flush();
      else if (pending.length > 0) plan();
    });
  }

  function plan(): void {
    timer ??= setTimeout(flush, LIVE_BATCH_MS);
  }

  return {
    push(body) {
      if (!isOpen) return;
      const last = pending.at(-1);
      const joined = last === undefined ? undefined : join(last, body);
      if (joined === undefined) pending.push(body);
      else pending[pending.length - 1] = joined;
      pendingBytes += bytesOf(body);
      if (pendingBytes >= LIVE_BATCH_BYTES) flush();
      else plan();
    },
    async close() {
      isOpen = false;
      clearTimeout(timer);
      wake();
      await writing;
    },
  };
}

/** Two pieces as one, where they say the same kind of thing; undefined where they do not. */
function join(one: TurnDeltaBody, other: TurnDeltaBody): TurnDeltaBody | undefined {
  if (one.type === 'answer.delta' && other.type === 'answer.delta') return { ...one, text: one.text + other.text };
  if (one.type === 'output.delta' && other.type === 'output.delta') return { ...one, text: one.text + other.text };
  if (one.type === 'call.delta' && other.type === 'call.delta' && one.index === other.index) {
    return { ...other, argumentsJson: one.argumentsJson + other.argumentsJson };
  }
  return undefined;
}

function bytesOf(body: TurnDeltaBody): number {
  if (body.type === 'call.delta') return Buffer.byteLength(body.argumentsJson);
  return 'text' in body ? Buffer.byteLength(body.text) : 0;
}
