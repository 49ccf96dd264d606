/**
 * Goal: AG-UI's agent works with the gateway as it is, its own checks included, and what it holds is what the record holds. Method: the
 * package's agent as a program (scenarios/ag-ui.mjs) at a whole stack; what it saw beside Postgres and the machine's journal.
 */
import type { Message } from '@ag-ui/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endOf, TURN_MS } from '../e2e/support/actions.js';
import { leakedMachines, openStage, type Stage } from '../e2e/support/stage.js';
import { play, type At } from './support/scenarios.js';
import { runSnippets } from './support/run-snippets.js';

interface Seen {
  readonly user: string;
  readonly events: readonly {
    readonly type: string;
    readonly name?: string;
    readonly value?: Record<string, unknown>;
  }[];
  /** How the run ended: its outcome, or the code of its error. */
  readonly outcome?: string;
  /** Of the request. */
  readonly error?: { readonly status?: number; readonly message: string };
  readonly messages: readonly Message[];
}
interface AllSeen extends Readonly<Record<'plain' | 'command' | 'failed' | 'retold' | 'cancelled', Seen>> {
  readonly repeated: { readonly user: string; readonly runs: readonly Seen[] };
  readonly resumed: Seen & { readonly left: readonly Message[] };
  readonly named: Seen & { readonly first: Seen };
  readonly stopped: Seen;
  readonly left: Seen;
  readonly refused: Seen;
}
const NAMES = [
  ...[
    'plain',
    'command',
    'failed',
    'retold',
    'repeated',
    'resumed',
    'named',
    'cancelled',
    'stopped',
    'left',
    'refused',
  ],
];

let stage: Stage;
let at: At;
let seen: AllSeen;

beforeAll(async () => {
  stage = await openStage();
  const key = await stage.createKey();
  at = { url: (await stage.stack.startGateway()).url, key, user: 'ag' };
  seen = (await play('ag-ui', NAMES, at)) as unknown as AllSeen;
}, 2 * TURN_MS);
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
});

const isVoid = ({ metadata }: Message): boolean =>
  (metadata?.['innkeeper'] as { void?: boolean } | undefined)?.void === true;
/** The text that holds, of all answers. */
const textOf = (messages: readonly Message[]): string =>
  messages.map((message) => (message.role === 'assistant' && !isVoid(message) ? (message.content ?? '') : '')).join('');
const turnsOf = async (user: string): Promise<string[]> =>
  (await stage.database.turns(user)).map(({ turnId, state, ends }) => `${turnId} ${state} ${ends}`);
/** The text of the run's answers, by the transcript. */
const recordedText = async (userId: string): Promise<string> =>
  (await stage.transcript({ userId, turnId: 'r1' }))
    .filter(({ kind }) => kind === 'assistant')
    .map(({ text }) => text)
    .join('');
const customs = ({ events }: Seen, name: string): unknown[] =>
  events.filter((event) => event.name === name).map(({ value }) => value);

describe('a run', () => {
  it('is the turn of its id, and its message what is recorded', async () => {
    const { plain } = seen;
    expect(plain.outcome).toBe('success');
    expect(plain.messages.map(({ id }) => id)).toEqual(['m1', 'r1/0/text']);
    expect(textOf(plain.messages)).toMatch(/^I am the built-in model/);
    expect(textOf(plain.messages)).toBe(await recordedText(plain.user));
    expect(await turnsOf(plain.user)).toEqual(['r1 completed 1']);
  });

  it('shows a command as a tool call with its result, and its output and the machine by the way', async () => {
    const { command } = seen;
    const [call] = await stage.database.calls({ userId: command.user, turnId: 'r1' });
    expect(command.messages[1]).toMatchObject({
      toolCalls: [{ id: 'r1/0/0', function: { name: 'bash', arguments: expect.stringContaining('echo') as string } }],
    });
    expect(command.messages[2]).toEqual({
      ...{ id: 'r1/0/0/result', role: 'tool', toolCallId: 'r1/0/0', content: call?.shown },
      metadata: { innkeeper: { outcome: 'exited', exitCode: 0, outputBytes: 21, cmdId: call?.cmdId } },
    });
    const printed = customs(command, 'output.delta').map((value) => (value as { text: string }).text);
    expect(printed.length).toBeGreaterThan(0);
    expect('line 1\nline 2\nline 3\n'.startsWith(printed.join(''))).toBe(true);
    expect(customs(command, 'machine.phase').map((value) => (value as { phase: string }).phase)).toEqual(
      await stage.database.phases(command.user),
    );
    expect(command.messages).toHaveLength(4);
  });

  it('that fails is an error with its code; what was said is kept', async () => {
    expect(seen.failed.outcome).toBe('MODEL_REFUSED');
    expect(textOf(seen.failed.messages)).toBe(await recordedText(seen.failed.user));
    expect(await turnsOf(seen.failed.user)).toEqual(['r1 failed 1']);
  });

  it('whose answer the model begins anew has it once; what it said before is marked as void', async () => {
    const { user, messages } = seen.retold;
    expect(messages.filter(isVoid).map(({ content }) => content)).toEqual(['This answer is cut off b']);
    expect(textOf(messages)).toBe(await recordedText(user));
  });

  it('is one turn, and its command runs once, however often it is started', async () => {
    const { user, runs } = seen.repeated;
    expect(await turnsOf(user)).toEqual(['r1 completed 1']);
    expect(await stage.lines(user, 'once.txt')).toEqual(['once']);
    expect((await stage.journal(user)).map(({ starts }) => starts)).toEqual([1]);
    for (const run of runs) expect(run).toMatchObject({ outcome: 'success', messages: runs[0]?.messages ?? [] });
    expect(textOf(runs[0]?.messages ?? [])).toMatch(/^I ran one command/);
  });

  it('that was left in the middle is whole when it is run again, with nothing doubled', async () => {
    const { user, left, messages, outcome } = seen.resumed;
    const whole = await recordedText(user);
    const partial = textOf(left);
    expect([partial.length > 0, partial.length < whole.length, whole.startsWith(partial)]).toEqual([true, true, true]);
    expect(outcome).toBe('success');
    expect(textOf(messages)).toBe(whole);
    expect(new Set(messages.map(({ id }) => id)).size).toBe(messages.length);
    expect(await turnsOf(user)).toEqual(['r1 completed 1']);
    expect(await stage.journal(user)).toHaveLength(1);
  });

  it('is followed by its id alone where nothing is said', () => {
    expect(seen.named.messages).toEqual(seen.named.first.messages.slice(1));
  });

  it('of two users at once is of each alone', async () => {
    // Both have the same ids.
    for (const { user, messages } of [seen.plain, seen.command])
      expect(textOf(messages)).toBe(await recordedText(user));
    expect(textOf(seen.plain.messages)).not.toBe(textOf(seen.command.messages));
  });
});

describe('a run that is refused', () => {
  it('since its key is wrong does nothing', async () => {
    expect(seen.refused.error).toMatchObject({
      status: 401,
      message: expect.stringContaining('UNAUTHENTICATED') as string,
    });
    expect(await turnsOf(seen.refused.user)).toEqual([]);
  });

  it('since its user asks too often says so', { timeout: TURN_MS }, async () => {
    const strict = await stage.stack.startGateway({ GATEWAY_USER_REQUESTS_PER_MINUTE: '1' });
    const { hasty } = await play<Seen>('ag-ui', ['hasty'], { ...at, url: strict.url });
    expect(hasty?.error).toMatchObject({ status: 429, message: expect.stringContaining('RATE_LIMITED') as string });
    expect(await turnsOf('ag-hasty')).toEqual(['r1 completed 1']);
    await strict.process.stop();
  });
});

describe('an end that somebody asks for', () => {
  it('by the route ends the command on the machine, and the run says so', async () => {
    const { user, outcome, messages } = seen.cancelled;
    expect(outcome).toBe('cancelled');
    expect(messages.at(-1)).toMatchObject({ role: 'tool', content: 'begun\n[cancelled, ended by SIGTERM]' });
    expect(await turnsOf(user)).toEqual(['r1 cancelled 1']);
    expect((await stage.journal(user))[0]).toMatchObject({ starts: 1, endedAtMs: expect.any(Number) as number });
  });

  it.each([
    ['stopped', 'cancelled'],
    ['left', 'completed'],
  ] as const)(
    'by a disconnect is one only where the request says so (%s)',
    { timeout: TURN_MS },
    async (name, state) => {
      expect(seen[name].outcome).toBe('abort');
      expect(await endOf(stage.stack.client, { userId: seen[name].user, turnId: 'r1' })).toMatchObject({ state });
    },
  );
});

describe('the documentation', () => {
  it('shows what works', { timeout: TURN_MS }, async () => {
    const { stdout } = await runSnippets('AG-UI', 'ts', { ...at, user: 'ag-docs' });
    expect(stdout).toContain('ready\n[exit code 0]');
    expect((await stage.database.turns('ag-docs')).map(({ state }) => state)).toEqual(['completed']);
  });
});
