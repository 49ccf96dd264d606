/** `innkeeper chat`: a conversation with one user's agent, what it does on the machine shown as it happens. */
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { v7 as uuidv7 } from 'uuid';
import type { InnkeeperClient } from '../client.js';
import type { ClientConfig } from '../config.js';
import { InnkeeperError } from '../contracts/errors.js';
import type { TurnEvent } from '../contracts/events.js';
import { parseUserId } from '../contracts/ids.js';
import { readEvents } from '../store/events.js';
import type { Store } from '../store/pool.js';
import { createTurnListener, type TurnListener } from '../store/turn-listener.js';
import { withUserOptions, type UserOptions } from './command.js';
import { deploymentConfig, withClient, withStore } from './deployment.js';
import { createEventText } from './event-text.js';
import { stopSignal, type StopSignal } from './stop-signal.js';

const EVENTS_PAGE = 200;
/** Beneath the notifications, in case one is lost. */
const POLL_MS = 1_000;
const PROMPT = 'you> ';

export interface ChatOptions {
  readonly config: ClientConfig;
  readonly userId: string;
  readonly stop: StopSignal;
  /** Events as JSON lines in place of text. */
  readonly json: boolean;
}

export function addChat(program: Command): void {
  withUserOptions(program.command('chat').description("talk to a user's agent; Ctrl-C or /quit leaves")).action(
    async (options: UserOptions) => {
      const config = deploymentConfig(options);
      const userId = parseUserId(options.user);
      await runChat({ config, userId, stop: stopSignal(), json: options.json === true });
    },
  );
}

/** Reads messages line by line until the input ends, `/quit`, or a stop. A message at a time; `/cancel` ends the running one. */
export async function runChat({ config, userId, stop, json }: ChatOptions): Promise<void> {
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY && !json;
  await withClient(config, (client) =>
    withStore(config, async (store) => {
      const listener = createTurnListener({ store, url: config.database.url });
      const talk = createTalk({ client, store, listener, userId, json, stop });
      const lines = createInterface({
        input: process.stdin,
        output: isTerminal ? process.stdout : undefined,
        prompt: PROMPT,
      });
      // In a terminal that is read raw, Ctrl-C arrives here and not as a signal.
      lines.on('SIGINT', () => stop.raise());
      void stop.received.then(() => lines.close());
      if (isTerminal) {
        const hints = 'A line that begins with "$ " is run as it stands by the built-in model. /cancel, /quit.';
        process.stdout.write(`You are ${userId}. Type a message. ${hints}\n`);
        lines.prompt();
      }
      try {
        await readMessages({ lines, talk, isTerminal, stop });
      } finally {
        lines.close();
        await listener.close();
      }
    }),
  );
}

async function readMessages(of: {
  lines: ReturnType<typeof createInterface>;
  talk: Talk;
  isTerminal: boolean;
  stop: StopSignal;
}): Promise<void> {
  const { lines, talk, isTerminal, stop } = of;
  let running: Promise<void> = Promise.resolve();
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      const message = line.trim();
      if (message === '/quit') lines.close();
      else if (message === '/cancel') talk.cancel().catch(reject);
      else {
        running = running
          .then(() => (message === '' || stop.isReceived() ? undefined : talk.say(message)))
          .then(() => (isTerminal && !stop.isReceived() ? lines.prompt() : undefined));
        running.catch(reject);
      }
    });
    lines.once('close', resolve);
  });
  if (!isTerminal && !stop.isReceived()) await running;
}

interface Talk {
  /** Resolves when the turn is over; a refusal is shown, not thrown. */
  say(message: string): Promise<void>;
  cancel(): Promise<void>;
}

function createTalk(of: {
  client: InnkeeperClient;
  store: Store;
  listener: TurnListener;
  userId: string;
  json: boolean;
  stop: StopSignal;
}): Talk {
  const { client, store, listener, userId, json, stop } = of;
  const toText = createEventText();
  let runningTurnId: string | undefined;

  const show = (event: TurnEvent): void => {
    const text = json ? JSON.stringify(event) : toText(event);
    if (text !== undefined) process.stdout.write(`${text}\n`);
  };

  async function follow(turnId: string): Promise<void> {
    const [first] = await readEvents(store, { userId, turnId, after: 0, limit: 1 });
    let after = (first?.seq ?? 1) - 1;
    const bell = createBell(listener, userId);
    try {
      while (!stop.isReceived()) {
        const events = await readEvents(store, { userId, after, limit: EVENTS_PAGE });
        for (const event of events) {
          after = event.seq;
          // The machine's events, and this turn's; another client's turns are not shown here.
          if (event.turnId === null || event.turnId === turnId) show(event);
          if (event.turnId === turnId && event.body.type === 'turn.ended') return;
        }
        if (events.length === 0) await bell.rung(stop.received);
      }
    } finally {
      bell.close();
    }
  }

  return {
    async say(message) {
      const turnId = uuidv7();
      try {
        await client.submitTurn({ userId, turnId, prompt: message });
        runningTurnId = turnId;
        await follow(turnId);
      } catch (error) {
        if (!InnkeeperError.is(error)) throw error;
        process.stderr.write(`${error.code}: ${error.message} ${error.advice}\n`);
      } finally {
        runningTurnId = undefined;
      }
    },
    async cancel() {
      if (runningTurnId !== undefined) await client.cancelTurn({ userId, turnId: runningTurnId });
    },
  };
}

/** Rings when something was appended for the user, and now and then by itself. */
function createBell(
  listener: TurnListener,
  userId: string,
): { rung(stop: Promise<void>): Promise<void>; close(): void } {
  let hasRung = false;
  let ring = (): void => undefined;
  const unsubscribe = listener.subscribe(userId, () => {
    hasRung = true;
    ring();
  });
  return {
    rung: async (stop) => {
      let timer: NodeJS.Timeout | undefined;
      if (!hasRung) {
        const waited = new Promise<void>((resolve) => {
          ring = resolve;
          timer = setTimeout(resolve, POLL_MS);
        });
        await Promise.race([waited, stop]);
      }
      clearTimeout(timer);
      hasRung = false;
    },
    close: unsubscribe,
  };
}
