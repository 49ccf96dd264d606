/** `innkeeper turns` and `innkeeper show`: what a user said, what was done, and how it ended. */
import type { Command } from 'commander';
import { parseTurnId, parseUserId } from '../contracts/ids.js';
import { readEvents } from '../store/events.js';
import type { Store } from '../store/pool.js';
import type { TurnEvent } from '../contracts/events.js';
import { getTurn, listTurns, type TurnView } from '../store/turns.js';
import { print, wholeNumber, withUserOptions, type UserOptions } from './command.js';
import { deploymentConfig, withStore } from './deployment.js';
import { createEventText } from './event-text.js';
import { formatFields, formatTable, outputColumns, showInstant, type Column } from './table.js';

const EVENTS_PAGE = 500;
const TURNS_DEFAULT = 20;
const TURNS_MAX = 10_000;

const COLUMNS: readonly Column<TurnView>[] = [
  { title: '#', align: 'right', show: (turn) => String(turn.position) },
  { title: 'TURN', show: (turn) => turn.turnId },
  { title: 'STATE', show: (turn) => turn.errorCode ?? turn.state },
  { title: 'STEPS', align: 'right', show: (turn) => String(turn.steps) },
  { title: 'STARTED (UTC)', show: (turn) => showInstant(turn.startedAt).slice(5, 19) },
  { title: 'PROMPT', show: (turn) => turn.prompt },
];

export function addTurns(program: Command): void {
  withUserOptions(program.command('turns').description("list a user's turns, the latest first"))
    .option('--limit <count>', 'at most this many', wholeNumber(1, TURNS_MAX), TURNS_DEFAULT)
    .action(async (options: UserOptions & { readonly limit: number }) => {
      const userId = parseUserId(options.user);
      const { limit } = options;
      const turns = await withStore(deploymentConfig(options), (store) => listTurns(store, { userId, limit }));
      print({ turns }, options, () => formatTable(turns, COLUMNS, outputColumns(process.stdout)));
    });
}

export function addShow(program: Command): void {
  withUserOptions(program.command('show').description('show one turn: its events, commands and output'))
    .requiredOption('--turn <id>', "the turn's id")
    .action(async (options: UserOptions & { readonly turn: string }) => {
      const of = { userId: parseUserId(options.user), turnId: parseTurnId(options.turn) };
      const { turn, events } = await withStore(deploymentConfig(options), async (store) => ({
        turn: await getTurn(store, of),
        events: await allEvents(store, of),
      }));
      print({ turn, events }, options, () =>
        [describe(turn), '', ...events.map(createEventText())].filter(isLine).join('\n'),
      );
    });
}

async function allEvents(store: Store, of: { userId: string; turnId: string }): Promise<TurnEvent[]> {
  const all: TurnEvent[] = [];
  for (;;) {
    const page = await readEvents(store, { ...of, after: all.at(-1)?.seq ?? 0, limit: EVENTS_PAGE });
    all.push(...page);
    if (page.length < EVENTS_PAGE) return all;
  }
}

function describe(turn: TurnView): string {
  return formatFields([
    ['turn', `${turn.turnId}  (#${turn.position})`],
    ['state', turn.errorCode === null ? turn.state : `${turn.state}: ${turn.errorCode}`],
    ['steps', `${turn.steps} model calls, ${turn.toolCalls} tool calls`],
    ['tokens', `${turn.inputTokens} in, ${turn.outputTokens} out`],
    ['started', showInstant(turn.startedAt)],
    ['ended', showInstant(turn.endedAt)],
    ['prompt', turn.prompt],
  ]);
}

function isLine(line: string | undefined): line is string {
  return line !== undefined;
}
