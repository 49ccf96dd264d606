/** What a client of a protocol is to the fault suite: it follows a turn on one connection, and says what it had of it in the end. */

export interface FollowedTurn {
  readonly userId: string;
  readonly turnId: string;
  readonly prompt: string;
}

export interface Connection {
  readonly url: string;
  readonly key: string;
  /** Breaks the connection. */
  readonly signal: AbortSignal;
  /** To be called with each piece that came. */
  readonly onPiece: () => void;
}

/** What a client had of a turn in the end, in the record's words. */
export interface Heard {
  readonly state: string;
  /** All that the agent said in its steps. */
  readonly text: string;
  /** How commands ended that came to an end by themselves, by their place in the turn (`step/index`): outcome and exit code. */
  readonly ends: ReadonlyMap<string, string>;
  /** The text as it came in pieces, where those are gathered over breaks. */
  readonly pieces?: string;
}

/** Follows on one connection. undefined: it broke, or the gateway ended it before the turn was over. @throws Refused */
export type FollowOnce = (connection: Connection) => Promise<Heard | undefined>;

export interface Protocol {
  readonly name: string;
  /** What was said and is void stays in the text. */
  readonly keepsVoid: boolean;
  /** One for each turn: it keeps what a client would keep to resume. */
  readonly open: (turn: FollowedTurn) => FollowOnce;
}

/** The gateway's word that no repeat can mend, or a stream that the protocol's own client does not take. */
export class Refused extends Error {}

/** Outcomes of commands that came to an end by themselves. */
export const ENDED: ReadonlySet<unknown> = new Set(['exited', 'signalled', 'timed_out']);

export interface ToldCommand {
  readonly step: number;
  readonly index: number;
  readonly outcome: string | null;
  readonly exitCode: number | null;
}

export function endsOf(commands: Iterable<ToldCommand>): Map<string, string> {
  const ended = [...commands].filter(({ outcome }) => ENDED.has(outcome));
  return new Map(ended.map(({ step, index, outcome, exitCode }) => [`${step}/${index}`, `${outcome} ${exitCode}`]));
}

/** The place of a tool call that is named `turn/step/index`. */
export const placeOf = (toolCallId: string): string => toolCallId.split('/').slice(-2).join('/');

const TOO_MANY = 429;

/** `fetch` that breaks off by the connection's signal. @throws Refused */
export function fetchOn({ signal }: Connection): typeof fetch {
  return async (input, init) => {
    const signals = [signal, ...(init?.signal instanceof AbortSignal ? [init.signal] : [])];
    const answer = await fetch(input, { ...init, signal: AbortSignal.any(signals) });
    if (answer.status >= 400 && answer.status < 500 && answer.status !== TOO_MANY) {
      throw new Refused(`${answer.status} ${await answer.text()}`);
    }
    return answer;
  };
}

/**
 * The same for clients that do not stand a break on Node: to them it is an end. What they have is as unfinished as before.
 * Our own signal is heard here too: of some forty bodies that were broken off in a run two or three stayed pending for ever (Node 20.20).
 */
export function fetchEnding(connection: Connection): typeof fetch {
  const fetching = fetchOn(connection);
  const { signal } = connection;
  const broken = new Promise<undefined>((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  return async (input, init) => {
    const { status, headers, body } = await fetching(input, init);
    if (body === null) return new Response(null, { status, headers });
    const reader = body.getReader();
    const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
      const { value } = (await Promise.race([reader.read().catch(() => undefined), broken])) ?? {};
      if (value !== undefined) return controller.enqueue(value);
      controller.close();
      await reader.cancel().catch(() => undefined);
    };
    return new Response(new ReadableStream({ pull, cancel: () => reader.cancel() }), { status, headers });
  };
}
