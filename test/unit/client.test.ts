/**
 * Goal: bad input is refused before any network, and a client whose servers are away says so in its own words. Method: a client that
 * knows only addresses where nothing listens: whatever tried to connect would answer with another code.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient, type InnkeeperClient } from '../../src/client.js';
import { IDLE_MS_MAX, IDLE_MS_MIN, PROMPT_BYTES_MAX, TOOL_ARGUMENTS_BYTES_MAX } from '../../src/contracts/limits.js';

const NOWHERE = '127.0.0.1:1';
const turn = { userId: 'ada', turnId: 'first' };
const LIST = { tool: 'bash', arguments: { command: 'ls' } } as const;

let client: InnkeeperClient;
beforeEach(() => {
  client = createClient({
    temporal: { address: NOWHERE },
    database: { url: `postgres://nobody:a-secret-password@${NOWHERE}/none` },
  });
});
afterEach(() => client.close());

const BAD_IDS: readonly (readonly [string, unknown])[] = [
  ['empty', ''],
  ['not text', 7],
  ['missing', undefined],
  ['with a slash', 'a/b'],
  ['with a percent sign', 'a%2fb'],
  ['with a line break', 'a\nb'],
  ['with a NUL', 'a\0b'],
  ['of 129 bytes', 'x'.repeat(129)],
  ['of 129 bytes in 65 characters', `${'ä'.repeat(64)}x`],
  ['with white space around', ' a'],
  ['a dot', '.'],
];

describe('a user id that is', () => {
  it.each(BAD_IDS)('%s is refused by every verb', async (_what, id) => {
    const userId = id as string;
    const verbs = [
      client.submitTurn({ userId, turnId: 't', prompt: 'hello' }),
      client.runTool({ userId, turnId: 't', ...LIST }),
      client.turnResult({ userId, turnId: 't' }),
      client.getTurn({ userId, turnId: 't' }),
      client.cancelTurn({ userId, turnId: 't' }),
      client.createUser({ userId }),
      client.getUser({ userId }),
      client.sleepNow({ userId }),
      client.wakeNow({ userId }),
      client.destroyUser({ userId }),
    ];
    for (const verb of await Promise.allSettled(verbs)) {
      expect(verb).toMatchObject({ status: 'rejected', reason: { code: 'INVALID_USER_ID', kind: 'rejected' } });
    }
  });
});

describe('a turn id that is', () => {
  it.each(BAD_IDS)('%s is refused by every verb', async (_what, id) => {
    const ref = { userId: 'ada', turnId: id as string };
    const verbs = [
      client.submitTurn({ ...ref, prompt: 'hello' }),
      client.runTool({ ...ref, ...LIST }),
      client.turnResult(ref),
      client.getTurn(ref),
      client.cancelTurn(ref),
    ];
    for (const verb of await Promise.allSettled(verbs)) {
      expect(verb).toMatchObject({ status: 'rejected', reason: { code: 'INVALID_TURN_ID' } });
    }
  });
});

describe('a prompt', () => {
  it.each([
    ['empty', '', 'PROMPT_EMPTY'],
    ['of white space', ' \n\t ', 'PROMPT_EMPTY'],
    ['one byte too long', 'x'.repeat(PROMPT_BYTES_MAX + 1), 'PROMPT_TOO_LARGE'],
    ['too long in bytes, not in characters', 'ä'.repeat(PROMPT_BYTES_MAX / 2 + 1), 'PROMPT_TOO_LARGE'],
    ['that is no text', { text: 'hello' }, 'INVALID_INPUT'],
  ])('%s is refused as such', async (_what, prompt, code) => {
    await expect(client.submitTurn({ ...turn, prompt: prompt as string })).rejects.toMatchObject({ code });
  });

  it.each([
    ['of one character', 'x'],
    ['as long as may be', 'x'.repeat(PROMPT_BYTES_MAX)],
  ])('%s gets as far as Postgres', async (_what, prompt) => {
    await expect(client.submitTurn({ ...turn, prompt })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });
});

describe('a call of a tool', () => {
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;

  it.each<[string, object, RegExp]>([
    ['that there is not', { tool: 'rm', arguments: {} }, /no tool named "rm"/],
    ['without what it needs', { tool: 'bash', arguments: {} }, /"command" must be text/],
    ['without arguments', { tool: 'bash' }, /"command" must be text/],
    ['with an argument too many', { ...LIST, arguments: { command: 'ls', cwd: '/' } }, /no argument "cwd"/],
    ['with a list for arguments', { ...LIST, arguments: ['ls'] }, /one JSON object/],
    ['with what no JSON can say', { ...LIST, arguments: circular }, /no JSON/],
    [
      'with more than fits',
      { ...LIST, arguments: { command: 'x'.repeat(TOOL_ARGUMENTS_BYTES_MAX) } },
      new RegExp(`larger than ${TOOL_ARGUMENTS_BYTES_MAX} bytes`),
    ],
  ])('%s is refused in words', async (_what, call, words) => {
    await expect(client.runTool({ ...turn, ...(call as typeof LIST) })).rejects.toMatchObject({
      ...{ code: 'INVALID_INPUT', message: expect.stringMatching(words) as string },
    });
  });

  it('that is taken gets as far as Postgres', async () => {
    const command = 'x'.repeat(TOOL_ARGUMENTS_BYTES_MAX - '{"command":""}'.length);
    for (const call of [LIST, { ...LIST, arguments: { command } }]) {
      await expect(client.runTool({ ...turn, ...call })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    }
  });
});

describe('other input', () => {
  it.each([Number.NaN, -1, Infinity])('a wait of %s ms is refused', async (timeoutMs) => {
    await expect(client.turnResult({ ...turn, timeoutMs })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  it.each([0, 1.5, Number.NaN, IDLE_MS_MIN - 1, IDLE_MS_MAX + 1])(
    'an idle time of %s ms is refused',
    async (idleMs) => {
      await expect(client.createUser({ userId: 'ada', idleMs })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    },
  );
});

describe('with its servers away', () => {
  it('it can be made and closed without them', async () => {
    await expect(client.close()).resolves.toBeUndefined();
    client = createClient({ temporal: { address: NOWHERE }, database: { url: `postgres://${NOWHERE}/none` } });
  });

  it('it says so, with advice and without its password', async () => {
    const failure: unknown = await client.getUser({ userId: 'ada' }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'STORE_UNAVAILABLE', advice: expect.any(String) as string });
    expect((failure as Error).message).toContain(NOWHERE);
    expect((failure as Error).message).not.toContain('a-secret-password');
  });

  it('it waits for a result no longer than asked', async () => {
    await expect(client.turnResult({ ...turn, timeoutMs: 50 })).rejects.toMatchObject({ code: 'RESULT_TIMEOUT' });
  });

  it('it stops waiting when it is told to, and when it is closed', async () => {
    const reason = new Error('enough');
    await expect(client.turnResult({ ...turn, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const waiting = expect(client.turnResult(turn)).rejects.toMatchObject({ code: 'RESULT_TIMEOUT' });
    await client.close();
    await waiting;
    client = createClient({ temporal: { address: NOWHERE }, database: { url: `postgres://${NOWHERE}/none` } });
  });

  it('it refuses a database URL that is none', () => {
    const make = () => createClient({ temporal: { address: NOWHERE }, database: { url: 'not a url' } });
    expect(make).toThrow(expect.objectContaining({ code: 'SETTINGS_INVALID' }));
  });
});
