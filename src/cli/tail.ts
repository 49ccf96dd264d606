/** `innkeeper tail`: what happens to one user, as it happens. */
import type { Command } from 'commander';
import type { FeedItem, FollowFrom } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { formatPosition, parsePosition } from '../contracts/events.js';
import { parseUserId } from '../contracts/ids.js';
import { withUserOptions, type UserOptions } from './command.js';
import { deploymentConfig, withClient } from './deployment.js';
import { createLiveEventText } from './live-event-text.js';
import { stopSignal } from './stop-signal.js';

interface TailOptions extends UserOptions {
  readonly after?: string;
}

export function addTail(program: Command): void {
  withUserOptions(program.command('tail').description('follow what happens to a user, live; Ctrl-C ends it'))
    .option('--after <id>', 'begin behind this event, 0 for all; without it, behind the last one')
    .action(tail);
}

async function tail(options: TailOptions): Promise<void> {
  const config = deploymentConfig(options);
  const userId = parseUserId(options.user);
  const after = options.after === undefined ? 'end' : toPosition(options.after);
  const stop = stopSignal();
  const toText = options.json ? toJson : createLiveEventText();
  await withClient(config, async (client) => {
    try {
      for await (const item of client.followEvents({ userId, after, signal: stop.signal })) {
        process.stdout.write(toText(item));
      }
    } catch (error) {
      if (!stop.isReceived()) throw error;
    }
  });
}

function toPosition(text: string): FollowFrom {
  const position = parsePosition(text);
  if (position === undefined) throw new InnkeeperError('INVALID_INPUT', `"${text}" is not the id of an event.`);
  return position;
}

function toJson({ position, ...said }: FeedItem): string {
  return `${JSON.stringify({ id: formatPosition(position), ...said })}\n`;
}
