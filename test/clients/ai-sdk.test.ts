/**
 * Goal: the AI SDK's chat works with the gateway as it is, and what it shows is what the record holds. Method: the package's own chat and
 * transport as a program (scenarios/ai-sdk.mjs) at a whole stack; what it saw beside Postgres and the machine's journal.
 */
import { DefaultChatTransport, type UIMessage } from 'ai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endOf, TURN_MS } from '../e2e/support/actions.js';
import { leakedMachines, openStage, type Stage } from '../e2e/support/stage.js';
import { waitFor } from '../support/wait-for.js';
import { play, type At } from './support/scenarios.js';
import { runSnippets } from './support/run-snippets.js';

interface Seen {
  readonly user: string;
  readonly status: string;
  readonly error?: string;
  readonly messages: readonly UIMessage<{ turnId: string; state?: string; errorCode?: string }>[];
  /** What the end of the message was, as it grew. */
  readonly states: readonly string[];
  readonly data: readonly { readonly type: string; readonly data: unknown }[];
  /** The conversation as the gateway gives it to a page that is opened. */
  readonly loaded?: readonly UIMessage[];
}
interface AllSeen {
  readonly plain: Seen;
  readonly command: Seen;
  readonly failed: Seen;
  readonly regenerated: Seen;
  readonly retold: Seen;
  readonly repeated: { readonly user: string; readonly chats: readonly Seen[] };
  readonly resumed: Seen & { readonly left: Seen; readonly reopened: readonly UIMessage[]; readonly idle: Seen };
  readonly named: Seen & { readonly chunks: readonly string[] };
  readonly cancelled: Seen;
  readonly stopped: Seen;
  readonly left: Seen;
  readonly refused: Seen;
}
const NAMES = [
  ...['plain', 'command', 'failed', 'regenerated', 'retold', 'repeated', 'resumed', 'named', 'cancelled', 'stopped'],
  ...['left', 'refused'],
];

let stage: Stage;
let at: At;
let seen: AllSeen;

beforeAll(async () => {
  stage = await openStage();
  const key = await stage.createKey();
  at = { url: (await stage.stack.startGateway()).url, key, user: 'ai' };
  seen = (await play('ai-sdk', NAMES, at)) as unknown as AllSeen;
}, 2 * TURN_MS);
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
});

/** The text that holds, of all answers. */
const textOf = ({ messages }: Pick<Seen, 'messages'>): string =>
  messages
    .filter(({ role }) => role === 'assistant')
    .flatMap(({ parts }) =>
      parts.map((part) => (part.type === 'text' && part.providerMetadata === undefined ? part.text : '')),
    )
    .join('');
const turnsOf = async (user: string): Promise<string[]> =>
  (await stage.database.turns(user)).map(({ turnId, state, ends }) => `${turnId} ${state} ${ends}`);
const idOf = ({ messages }: Pick<Seen, 'messages'>): string => messages[0]?.id ?? '';
/** The text of the answers, by the transcript. */
const recordedText = async ({ user, messages }: Seen): Promise<string> =>
  (await stage.transcript({ userId: user, turnId: idOf({ messages }) }))
    .filter(({ kind }) => kind === 'assistant')
    .map(({ text }) => text)
    .join('');

describe('a chat', () => {
  it('shows the answer as it is recorded, under the id of the message that asked', async () => {
    const { plain } = seen;
    expect(plain).toMatchObject({ status: 'ready', messages: [{ role: 'user' }, { id: `${idOf(plain)}/answer` }] });
    expect(textOf(plain)).toMatch(/^I am the built-in model/);
    expect(textOf(plain)).toBe(await recordedText(plain));
    expect(await turnsOf(plain.user)).toEqual([`${idOf(plain)} completed 1`]);
  });

  it('shows a command, its output while it is printed, and how it ended', async () => {
    const { command } = seen;
    const [call] = await stage.database.calls({ userId: command.user, turnId: idOf(command) });
    expect(command.messages[1]?.parts[1]).toEqual({
      ...{ type: 'dynamic-tool', toolName: 'bash', toolCallId: `${idOf(command)}/0/0`, providerExecuted: true },
      ...{ state: 'output-available', input: { command: 'for i in 1 2 3; do echo "line $i"; sleep 0.5; done' } },
      output: { output: call?.shown, outcome: 'exited', exitCode: 0, outputBytes: 21 },
      callProviderMetadata: { innkeeper: { cmdId: call?.cmdId } },
    });
    expect(call?.shown).toBe('line 1\nline 2\nline 3\n[exit code 0]');
    const [printing, ended] = ['dynamic-tool output-available preliminary', 'dynamic-tool output-available'].map(
      (state) => command.states.indexOf(state),
    );
    expect(printing).toBeGreaterThan(0);
    expect(ended).toBeGreaterThan(printing ?? 0);
    expect(command.data.map(({ data }) => (data as { phase: string }).phase)).toEqual(
      await stage.database.phases(command.user),
    );
  });

  it.each(['plain', 'command', 'failed', 'cancelled', 'resumed'] as const)(
    'that is loaded again is the same (%s)',
    (name) => {
      // A message of the client's own may hold more than its text; of a void part there is none here.
      expect(seen[name].loaded).toEqual(seen[name].messages);
    },
  );

  it('of two users at once is of each alone', async () => {
    for (const { user, loaded } of [seen.plain, seen.command]) {
      const rows = await stage.sql<{ turn_id: string }>('select turn_id from turns where user_id = $1', [user]);
      expect(loaded?.map(({ id }) => id)).toEqual(rows.flatMap(({ turn_id: id }) => [id, `${id}/answer`]));
    }
  });
});

describe('a turn that fails', () => {
  it('is an error of the chat, with its code; what was said is kept', async () => {
    const { failed } = seen;
    expect(failed).toMatchObject({ status: 'error', error: expect.stringMatching(/^MODEL_REFUSED: /) as string });
    expect(failed.messages[1]).toMatchObject({ metadata: { state: 'failed', errorCode: 'MODEL_REFUSED' } });
    expect(textOf(failed)).toBe(await recordedText(failed));
    expect(await turnsOf(failed.user)).toEqual([`${idOf(failed)} failed 1`]);
  });

  it.each([
    ['regenerated', 'INVALID_INPUT', 'no answer is made anew'],
    ['refused', 'UNAUTHENTICATED', 'not known'],
  ] as const)('before it begins (%s) is one with what to do', async (name, code, detail) => {
    const { status, error, user } = seen[name];
    expect(status).toBe('error');
    expect(JSON.parse(error ?? '')).toMatchObject({ code, detail: expect.stringContaining(detail) as string });
    expect(await turnsOf(user)).toHaveLength(name === 'refused' ? 0 : 1);
  });

  it('since its user asks too often says so', { timeout: TURN_MS }, async () => {
    const strict = await stage.stack.startGateway({ GATEWAY_USER_REQUESTS_PER_MINUTE: '1' });
    const { hasty } = await play<Seen>('ai-sdk', ['hasty'], { ...at, url: strict.url });
    expect(JSON.parse(hasty?.error ?? '')).toMatchObject({ status: 429, code: 'RATE_LIMITED' });
    expect(await turnsOf('ai-hasty')).toEqual([]);
    await strict.process.stop();
  });
});

describe('an answer', () => {
  it('that the model begins anew is there once; what it said before is marked as void', async () => {
    const { retold } = seen;
    const texts = retold.messages[1]?.parts.filter(({ type }) => type === 'text');
    expect(texts).toEqual([
      {
        type: 'text',
        text: 'This answer is cut off b',
        state: 'done',
        providerMetadata: { innkeeper: { void: true } },
      },
      { type: 'text', text: await recordedText(retold), state: 'done' },
    ]);
    expect(retold.loaded?.[1]?.parts.filter(({ type }) => type === 'text')).toEqual(texts?.slice(1));
  });

  it('is one, and its command runs once, however often the message is sent', async () => {
    const { user, chats } = seen.repeated;
    expect(await turnsOf(user)).toEqual(['m1 completed 1']);
    expect(await stage.lines(user, 'once.txt')).toEqual(['once']);
    expect((await stage.journal(user)).map(({ starts }) => starts)).toEqual([1]);
    for (const chat of chats) expect(chat).toMatchObject({ status: 'ready', messages: chats[0]?.messages ?? [] });
    expect(textOf(chats[0] ?? { messages: [] })).toMatch(/^I ran one command/);
  });

  it('that a page left in the middle is whole when the page is opened again, with nothing doubled', async () => {
    const { resumed } = seen;
    const whole = await recordedText(resumed);
    const partial = textOf(resumed.left);
    expect([partial.length > 0, partial.length < whole.length, whole.startsWith(partial)]).toEqual([true, true, true]);
    expect(resumed.reopened.map(({ role }) => role)).toEqual(['user']);
    expect(resumed).toMatchObject({ status: 'ready', messages: [{}, { metadata: { state: 'completed' } }] });
    expect(textOf(resumed)).toBe(whole);
    expect(await turnsOf(resumed.user)).toEqual([`${idOf(resumed)} completed 1`]);
    expect(await stage.journal(resumed.user)).toHaveLength(1);
  });

  it('that nobody makes is not resumed; one that is named comes again, over or not', () => {
    expect(seen.resumed.idle).toMatchObject({ status: 'ready', messages: [] });
    const { chunks } = seen.named;
    expect([chunks[0], chunks.at(-1)]).toEqual(['start', 'finish']);
    expect(chunks.filter((type) => type === 'text-delta')).toHaveLength(1);
  });

  it(
    'breaks off with its gateway, rather than end as if it were whole; another gateway has all of it',
    { timeout: TURN_MS },
    async () => {
      const [first, second] = await Promise.all([stage.stack.startGateway(), stage.stack.startGateway()]);
      const message = {
        id: 'm1',
        role: 'user' as const,
        parts: [{ type: 'text' as const, text: '$ echo begun; sleep 2; echo over' }],
      };
      const transport = (url: string) =>
        new DefaultChatTransport({
          api: `${url}/v1/users/ai-moved/ai-sdk/chat`,
          headers: { authorization: `Bearer ${at.key}` },
        });
      const asked = { chatId: 'main', messageId: undefined, messages: [message], abortSignal: undefined } as const;
      const begun = await transport(first.url).sendMessages({
        ...asked,
        trigger: 'submit-message',
        messages: [message],
      });
      const reading = (async () => {
        for await (const chunk of begun) if (chunk.type === 'tool-input-available') first.process.signal('SIGTERM');
      })();
      await expect(reading).rejects.toThrow();
      const resumed = await transport(second.url).reconnectToStream({ chatId: 'main' });
      const types: string[] = [];
      for await (const chunk of resumed ?? []) types.push(chunk.type);
      expect([types[0], types.at(-1)]).toEqual(['start', 'finish']);
      expect(await turnsOf('ai-moved')).toEqual(['m1 completed 1']);
      await second.process.stop();
    },
  );
});

describe('an end that somebody asks for', () => {
  it('by the route ends the command on the machine, and the chat says so', async () => {
    const { cancelled } = seen;
    expect(cancelled).toMatchObject({ status: 'ready', messages: [{}, { metadata: { state: 'cancelled' } }] });
    expect(cancelled.messages[1]?.parts[1]).toMatchObject({
      ...{ type: 'dynamic-tool', state: 'output-error', errorText: 'begun\n[cancelled, ended by SIGTERM]' },
    });
    expect(await turnsOf(cancelled.user)).toEqual([`${idOf(cancelled)} cancelled 1`]);
    const [command] = await stage.journal(cancelled.user);
    expect(command).toMatchObject({ starts: 1, endedAtMs: expect.any(Number) as number });
  });

  it("by the client's own stop is one where the request says so", { timeout: TURN_MS }, async () => {
    const { user, messages } = seen.stopped;
    const end = await endOf(stage.stack.client, { userId: user, turnId: idOf({ messages }) });
    expect(end).toMatchObject({ state: 'cancelled' });
    expect((await stage.database.calls({ userId: user, turnId: end.turnId }))[0]).toMatchObject({
      outcome: 'cancelled',
    });
  });

  it('by a disconnect alone is none', { timeout: TURN_MS }, async () => {
    const { user, messages } = seen.left;
    const end = await endOf(stage.stack.client, { userId: user, turnId: idOf({ messages }) });
    expect(end).toMatchObject({ state: 'completed' });
    await waitFor('the file is written', async () => (await stage.lines(user, 'done.txt')).length === 1);
  });
});

describe('the documentation', () => {
  it('shows what works', { timeout: TURN_MS }, async () => {
    const { stdout } = await runSnippets('AI SDK', 'ts', { ...at, user: 'ai-docs' });
    expect(stdout).toContain('ready\n[exit code 0]');
    expect(stdout).toMatch(/\nuser, assistant\n/);
    expect((await stage.database.turns('ai-docs')).map(({ state }) => state)).toEqual(['completed', 'cancelled']);
  });
});
