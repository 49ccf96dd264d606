/** `innkeeper chat`: a conversation with one user's agent, what it does on the machine shown as it happens. */
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { v7 as uuidv7 } from 'uuid';
import type { EventPosition, FeedItem, InnkeeperClient, TurnEvent } from '../client.js';
import type { ClientConfig } from '../config.js';
import { InnkeeperError } from '../contracts/errors.js';
import { parseUserId } from '../contracts/ids.js';
import { withUserOptions, type UserOptions } from './command.js';
import { deploymentConfig, withClient } from './deployment.js';
import { createEventText } from './event-text.js';
import { createLiveEventText } from './live-event-text.js';
import { stopSignal, type StopSignal } from './stop-signal.js';

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
  await withClient(config, async (client) => {
    const talk = createTalk({ client, userId, json, isTerminal, stop });
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
    }
  });
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
  userId: string;
  json: boolean;
  isTerminal: boolean;
  stop: StopSignal;
}): Talk {
  const { client, userId, json, isTerminal, stop } = of;
  const toText = isTerminal ? createLiveEventText() : onlyEvents(createEventText());
  let runningTurnId: string | undefined;
  /** Behind what was shown. */
  let after: EventPosition | undefined;

  const toLine = (item: FeedItem): string => (json ? onlyEvents(JSON.stringify)(item) : toText(item));

  async function follow(turnId: string): Promise<void> {
    // The machine's events, and this turn's; another client's turns are not shown here.
    const isShown = (of: string | null): boolean => of === null || of === turnId;
    const from = after ?? { beginningOf: turnId };
    for await (const item of client.followEvents({ userId, after: from, signal: stop.signal })) {
      const said = 'event' in item ? item.event : item.delta;
      after = item.position;
      if (isShown(said.turnId)) process.stdout.write(toLine(item));
      if ('event' in item && said.turnId === turnId && item.event.body.type === 'turn.ended') return;
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
        if (stop.isReceived()) return;
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

/** For whoever reads lines: of everything only the events, whole. */
function onlyEvents(toText: (event: TurnEvent) => string | undefined): (item: FeedItem) => string {
  return (item) => {
    const text = 'event' in item ? toText(item.event) : undefined;
    return text === undefined ? '' : `${text}\n`;
  };
}
