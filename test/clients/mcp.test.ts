/**
 * Goal: an agent that knows only MCP uses a user's machine under the same promises as everybody. Method: the official client,
 * unmodified and in both generations of the protocol, at a whole stack; what it is told is compared with Postgres and the journal on
 * the machine.
 */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Client, StreamableHTTPClientTransport, type CallToolResult } from '@modelcontextprotocol/client';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { toolDefinitions } from '../../src/contracts/tools.js';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { createUserTokens } from '../../src/gateway/user-tokens.js';
import { endOf, say, TURN_MS, untilWritten } from '../e2e/support/actions.js';
import { leakedMachines, openStage, type Stage } from '../e2e/support/stage.js';
import { openGateway } from '../gateway/support/gateway.js';
import { startRecordingModel, type RecordingModel } from '../support/recording-model.js';
import { runProgram } from '../support/run-program.js';
import type { RunningGateway } from '../support/stack.js';
import { waitFor } from '../support/wait-for.js';
import { snippetsOf } from './support/snippets.js';

/** Each way in which the official client may speak: by sessions (up to 2025-11-25), or without (2026-07-28). */
const ERAS = ['legacy', 'auto'] as const;
type Era = (typeof ERAS)[number];

let stage: Stage;
let model: RecordingModel;
let gateway: RunningGateway;
/** Another one, until it is ended. */
let replica: RunningGateway;
let key = '';
const clients: Client[] = [];

beforeAll(async () => {
  model = await startRecordingModel();
  stage = await openStage({ env: { MODEL_BASE_URL: model.url } });
  [gateway, replica] = await Promise.all([stage.stack.startGateway(), stage.stack.startGateway()]);
  key = await stage.createKey();
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
  await model.stop();
});

interface Connected {
  readonly client: Client;
  readonly transport: StreamableHTTPClientTransport;
  call(name: string, values: object, more?: Parameters<Client['callTool']>[1] & { turnId?: string }): Promise<Result>;
}
interface Result {
  readonly text: string;
  readonly isError: boolean;
  readonly structured: Record<string, unknown> | undefined;
}

async function connect(
  userId: string,
  { url = gateway.url, era = 'legacy', credential = key }: { url?: string; era?: Era; credential?: string } = {},
): Promise<Connected> {
  const transport = new StreamableHTTPClientTransport(new URL(`/v1/users/${userId}/mcp`, url), {
    requestInit: { headers: { authorization: `Bearer ${credential}` } },
  });
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: era } });
  clients.push(client);
  await client.connect(transport);
  return {
    ...{ client, transport },
    call: async (name, values, { turnId, ...options } = {}) => {
      const meta = turnId === undefined ? {} : { _meta: { 'innkeeper/turnId': turnId } };
      const params = { name, arguments: { ...values }, ...meta };
      return toResult(await client.callTool(params, { timeout: TURN_MS, ...options }));
    },
  };
}

function toResult({ content, structuredContent, isError = false }: CallToolResult): Result {
  const [first] = content;
  if (content.length !== 1 || first?.type !== 'text') throw new Error('a result is one text');
  return { text: first.text, isError, structured: structuredContent as Record<string, unknown> | undefined };
}

/** Lets a command go on that waits for it by `UNTIL_GO`. */
async function go(userId: string): Promise<void> {
  writeFileSync(join(await stage.home(userId), 'go'), '');
}
const UNTIL_GO = 'until [ -e ~/go ]; do sleep 0.1; done';

const turnsOf = async (userId: string): Promise<string[]> =>
  (await stage.database.turns(userId)).map(({ turnId, state, ends }) => `${turnId} ${state} ${ends}`);

/** A request as the older protocol sends it, to be sent as often as one likes. */
async function post(
  userId: string,
  body: object,
  headers: Record<string, string> = {},
  { url } = gateway,
): Promise<Response> {
  return fetch(new URL(`/v1/users/${userId}/mcp`, url), {
    method: 'POST',
    headers: {
      ...{ authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      ...{ accept: 'application/json, text/event-stream', ...headers },
    },
    body: JSON.stringify(body),
  });
}

/** The one answer in a stream. */
async function answerOf(response: Response): Promise<Record<string, unknown>> {
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith('data: '));
  return JSON.parse(lines.at(-1)?.slice('data: '.length) ?? '{}') as Record<string, unknown>;
}

describe.each(ERAS)('an agent (%s)', (era) => {
  it('is shown the tools of the model and one to look, each with what it takes and answers', async () => {
    const { client, transport } = await connect(`mcp-list-${era}`, { era });
    expect(transport.protocolVersion).toBe(era === 'legacy' ? '2025-11-25' : '2026-07-28');
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(['bash', 'write_file', 'read_file', 'status']);
    for (const { name, description, parameters } of toolDefinitions) {
      expect(tools.find((tool) => tool.name === name)).toMatchObject({ description, inputSchema: parameters });
    }
    for (const tool of tools) expect(tool.outputSchema?.type, tool.name).toBe('object');
    expect(tools.filter(({ annotations }) => annotations?.readOnlyHint).map(({ name }) => name)).toEqual([
      ...['read_file', 'status'],
    ]);
    expect(client.getInstructions()).toContain('at most once');
    // Nothing was made by looking.
    expect(await stage.sql('select from users where user_id = $1', [`mcp-list-${era}`])).toEqual([]);
  });

  it('runs a command as a turn, and reads its output and its exit code', { timeout: TURN_MS }, async () => {
    const userId = `mcp-run-${era}`;
    const { call } = await connect(userId, { era });
    const { text, isError, structured } = await call('bash', { command: 'echo "made of $((40 + 2))"; exit 3' });
    expect(text).toBe('made of 42\n[exit code 3]');
    expect(isError).toBe(false);
    expect(structured).toMatchObject({
      state: 'completed',
      code: null,
      outcome: 'exited',
      exitCode: 3,
      outputBytes: 11,
    });
    const turnId = String(structured?.['turnId']);
    expect(await turnsOf(userId)).toEqual([`${turnId} completed 1`]);
    expect(await stage.transcript({ userId, turnId })).toEqual([
      { kind: 'user', step: null, text: expect.stringMatching(/^\[.*MCP.*\] bash: echo "made of/) as string },
      { kind: 'assistant', step: 0, text: '' },
      { kind: 'assistant', step: 1, text: '' },
    ]);
    const [command, ...others] = await stage.journal(userId);
    expect(others).toEqual([]);
    expect(command).toMatchObject({ starts: 1, exitCode: 3 });
    const steps = await stage.sql(
      'select model, input_tokens from steps join turns using (turn_key) where user_id = $1',
      [userId],
    );
    expect(steps).toEqual([
      { model: 'given', input_tokens: null },
      { model: 'given', input_tokens: null },
    ]);
  });

  it('writes a file and reads it; a file that is not there is an error', { timeout: TURN_MS }, async () => {
    const userId = `mcp-files-${era}`;
    const { call } = await connect(userId, { era });
    const content = 'ä line\nand another\n';
    expect(await call('write_file', { path: '~/notes/a.txt', content })).toMatchObject({ isError: false });
    expect(await stage.lines(userId, 'notes/a.txt')).toEqual(['ä line', 'and another']);
    const read = await call('read_file', { path: '~/notes/a.txt', offset: 2 });
    expect(read).toMatchObject({ isError: false, text: expect.stringContaining('and another') as string });
    expect(read.text).not.toContain('ä line');
    const missing = await call('read_file', { path: '~/none.txt' });
    expect(missing).toMatchObject({ isError: true, structured: { state: 'completed', outcome: 'exited' } });
    expect(missing.structured?.['exitCode']).not.toBe(0);
  });

  it('is told live what happens and what is printed, without control sequences', { timeout: TURN_MS }, async () => {
    const userId = `mcp-live-${era}`;
    const { call } = await connect(userId, { era });
    const told: { progress: number; message?: string | undefined }[] = [];
    const command = String.raw`printf '\033[31mred\033[0m\n'; ${UNTIL_GO}; echo over`;
    const running = call('bash', { command }, { onprogress: (progress) => told.push(progress) });
    await waitFor('live output', () => told.some(({ message }) => message?.includes('red')));
    await go(userId);
    const { text, structured } = await running;
    expect(text).toBe('red\nover\n[exit code 0]');
    const messages = told.map(({ message }) => message);
    expect(messages[0]).toBe(`This call is turn ${String(structured?.['turnId'])}.`);
    expect(messages).toContain('The machine is ready.');
    expect(messages.join('')).toContain('red\n');
    expect(messages.join('')).not.toContain('\u001b');
    expect(told.map(({ progress }) => progress)).toEqual(told.map((_, n) => n + 1));
  });

  it.each([
    ['a missing argument', 'bash', {}, /^INVALID_INPUT: The argument "command" must be text/],
    ['an argument too many', 'bash', { command: 'ls', cwd: '/' }, /^INVALID_INPUT: bash has no argument "cwd"/],
    ['a line that there is not', 'read_file', { path: 'x', offset: 0 }, /^INVALID_INPUT: The argument "offset"/],
    [
      'too much',
      'write_file',
      { path: 'x', content: 'x'.repeat(128 * 1024) },
      /^INVALID_INPUT: The arguments are larger/,
    ],
    ['a question to status', 'status', { deep: true }, /^INVALID_INPUT: status has no argument "deep"/],
  ])('%s is refused in words, and nothing is stored', async (_what, name, values, words) => {
    const userId = `mcp-bad-${era}`;
    const { call } = await connect(userId, { era });
    expect(await call(name, values)).toMatchObject({ isError: true, text: expect.stringMatching(words) as string });
    expect(await stage.sql('select from users where user_id = $1', [userId])).toEqual([]);
  });

  it('that asks for a tool that there is not is refused by the protocol', async () => {
    const { call } = await connect(`mcp-bad-${era}`, { era });
    await expect(call('rm', {})).rejects.toMatchObject({ code: -32602 });
  });

  it('that cancels has its command stopped on the machine', { timeout: TURN_MS }, async () => {
    const userId = `mcp-cancel-${era}`;
    const { call } = await connect(userId, { era });
    const cancel = new AbortController();
    const running = call(
      'bash',
      { command: 'echo begun > ~/begun; sleep 300; echo over > ~/over' },
      { signal: cancel.signal },
    );
    running.catch(() => undefined);
    await untilWritten(stage, userId, 'begun');
    cancel.abort('no longer wanted');
    await expect(running).rejects.toThrow();
    await waitFor('the turn is over', async () => (await turnsOf(userId)).some((turn) => turn.endsWith('cancelled 1')));
    const [command] = await stage.journal(userId);
    expect(command).toMatchObject({ starts: 1, endedAtMs: expect.any(Number) as number });
    expect(await stage.lines(userId, 'over')).toEqual([]);
    // The machine is free for the next call.
    expect(await call('bash', { command: 'echo next' })).toMatchObject({ text: 'next\n[exit code 0]' });
  });

  it('that chose the id of its call may leave, and come back for the result', { timeout: TURN_MS }, async () => {
    const userId = `mcp-back-${era}`;
    const { call } = await connect(userId, { era });
    const command = `echo begun >> ~/begun; ${UNTIL_GO}; echo over`;
    const leaving = new AbortController();
    const left = call('bash', { command }, { turnId: 'long', signal: leaving.signal });
    left.catch(() => undefined);
    await untilWritten(stage, userId, 'begun');
    leaving.abort('for now');
    await expect(left).rejects.toThrow();
    // Later than the leaving was heard of: the gateway has done what it does about it.
    await call('status', {});
    const again = call('bash', { command }, { turnId: 'long' });
    await go(userId);
    expect(await again).toMatchObject({
      text: 'over\n[exit code 0]',
      structured: { turnId: 'long', state: 'completed' },
    });
    expect(await stage.lines(userId, 'begun')).toEqual(['begun']);
  });

  it('given the same id again by its caller is told of the same call', { timeout: TURN_MS }, async () => {
    const userId = `mcp-again-${era}`;
    const [one, other] = [await connect(userId, { era }), await connect(userId, { era })];
    const command = 'echo run >> ~/runs; wc -l < ~/runs';
    const results = await Promise.all([one, other].map(({ call }) => call('bash', { command }, { turnId: 'step-1' })));
    expect(results[1]).toEqual(results[0]);
    expect(results[0]).toMatchObject({ text: '1\n[exit code 0]', structured: { turnId: 'step-1' } });
    expect(await other.call('bash', { command }, { turnId: 'step-1' })).toEqual(results[0]);
    expect(await stage.journal(userId)).toMatchObject([{ starts: 1 }]);
    expect(await turnsOf(userId)).toEqual(['step-1 completed 1']);

    const reused = await one.call('bash', { command: 'true' }, { turnId: 'step-1' });
    expect(reused).toMatchObject({ isError: true, text: expect.stringMatching(/^TURN_ID_REUSED: /) as string });
    const odd = await one.call('bash', { command: 'true' }, { turnId: 'a/b' });
    expect(odd).toMatchObject({ isError: true, text: expect.stringMatching(/^INVALID_TURN_ID: /) as string });
  });
});

describe('status', () => {
  it('is read from the record, and wakes nothing', { timeout: TURN_MS }, async () => {
    const userId = 'mcp-status';
    const { call } = await connect(userId);
    expect(await call('status', {})).toMatchObject({
      ...{ isError: true, text: expect.stringMatching(/^USER_UNKNOWN: /) as string },
    });
    await call('bash', { command: 'true' });
    await stage.stack.client.sleepNow({ userId });
    await waitFor('it sleeps', async () => (await stage.database.machine(userId))?.phase === 'asleep');
    const before = await stage.provider.ledger(0);
    const { text, structured, isError } = await call('status', {});
    expect(structured).toEqual({
      ...{ machine: 'asleep', generation: 1, openTurns: 0, runningTurnId: null },
      lastTurnAt: expect.any(String) as string,
    });
    expect([JSON.parse(text), isError]).toEqual([structured, false]);
    const ofUser = (entry: { machineId?: string }): boolean => entry.machineId !== undefined;
    const machineId = await stage.machineId(userId);
    const since = (await stage.provider.ledger(0)).slice(before.length).filter(ofUser);
    expect(since.filter((entry) => entry.machineId === machineId)).toEqual([]);
    expect(await turnsOf(userId)).toHaveLength(1);
  });
});

describe('beside others', () => {
  it("two users' calls run on two machines at once", { timeout: TURN_MS }, async () => {
    const users = ['mcp-two-ada', 'mcp-two-bea'];
    const running = users.map(async (userId) => {
      const { call } = await connect(userId);
      return call('bash', { command: `echo ${userId} > ~/name; ${UNTIL_GO}; cat ~/name` });
    });
    // Neither ends before both have begun.
    for (const userId of users) await untilWritten(stage, userId, 'name');
    for (const userId of users) await go(userId);
    const results = await Promise.all(running);
    expect(results.map(({ text }) => text)).toEqual(users.map((userId) => `${userId}\n[exit code 0]`));
  });

  it('a message waits behind the call, and the model is then told of it', { timeout: TURN_MS }, async () => {
    const userId = 'mcp-behind';
    const { call } = await connect(userId);
    const running = call('bash', { command: `echo begun > ~/begun; ${UNTIL_GO}; echo the call is over` });
    await untilWritten(stage, userId, 'begun');
    const message = { userId, turnId: 'message', prompt: 'What has happened?' };
    expect(await stage.stack.client.submitTurn(message)).toMatchObject({ position: 2, state: 'queued' });
    expect(await stage.stack.client.getTurn(message)).toMatchObject({ state: 'queued' });
    await go(userId);
    const { structured } = await running;
    const answered = await endOf(stage.stack.client, message);
    expect(answered.state).toBe('completed');
    const first = await stage.stack.client.getTurn({ userId, turnId: String(structured?.['turnId']) });
    expect(first.origin).toBe('mcp');
    expect(Date.parse(answered.startedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(first.endedAt ?? ''));

    const [request, ...more] = model.requests.filter(({ messages }) => messages.at(-1)?.content === message.prompt);
    expect(more).toEqual([]);
    const sent = request?.messages.slice(1) ?? [];
    expect(sent.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'user']);
    expect(sent[0]?.content).toMatch(/by another agent.*bash: echo begun/);
    expect(sent[1]?.tool_calls?.[0]?.function.name).toBe('bash');
    expect(sent[2]?.content).toContain('the call is over');
  });

  it('a call waits behind a message', { timeout: TURN_MS }, async () => {
    const userId = 'mcp-after';
    await say(stage.stack.client, { userId, turnId: 'first', prompt: 'Hello' });
    const { call } = await connect(userId);
    expect(await call('bash', { command: 'echo second' })).toMatchObject({ text: 'second\n[exit code 0]' });
    expect((await stage.database.turns(userId)).map(({ position }) => position)).toEqual([1, 2]);
  });

  it('calls beyond the queue are refused', { timeout: TURN_MS }, async () => {
    const userId = 'mcp-full';
    const { call } = await connect(userId);
    const first = call('bash', { command: `echo begun > ~/begun; ${UNTIL_GO}` });
    await untilWritten(stage, userId, 'begun');
    const waiting = Array.from({ length: 19 }, () => call('bash', { command: 'true' }));
    await waitFor('all of them wait', async () => (await stage.database.turns(userId)).length === 20);
    expect(await call('bash', { command: 'true' })).toMatchObject({
      ...{ isError: true, text: expect.stringMatching(/^QUEUE_FULL: /) as string },
    });
    await go(userId);
    await Promise.all([first, ...waiting]);
    expect((await stage.journal(userId)).map(({ starts }) => starts)).toEqual(Array.from({ length: 20 }, () => 1));
  });
});

describe('a request of a session', () => {
  const callOf = (id: number, command: string) => ({
    ...{ jsonrpc: '2.0', id, method: 'tools/call' },
    params: { name: 'bash', arguments: { command } },
  });

  it('that comes twice is one call, at any replica', { timeout: TURN_MS }, async () => {
    const userId = 'mcp-twice';
    const { transport } = await connect(userId);
    const session = { 'mcp-session-id': transport.sessionId ?? '' };
    expect(session['mcp-session-id']).toMatch(/^[\x21-\x7e]{36}$/);
    const request = callOf(77, 'echo run >> ~/runs; wc -l < ~/runs');
    const answers = await Promise.all([post(userId, request, session), post(userId, request, session, replica)]);
    const [one, other] = await Promise.all(answers.map(answerOf));
    expect(one).toMatchObject({ id: 77, result: { content: [{ type: 'text', text: '1\n[exit code 0]' }] } });
    expect(other).toEqual(one);
    expect(await answerOf(await post(userId, request, session))).toEqual(one);
    expect(await stage.journal(userId)).toMatchObject([{ starts: 1 }]);

    // Another session's request of that id, and this session's of another id, are calls of their own.
    await answerOf(await post(userId, request, { 'mcp-session-id': 'another' }));
    await answerOf(await post(userId, { ...request, id: '77' }, session));
    expect(await stage.lines(userId, 'runs')).toHaveLength(3);
    expect(await answerOf(await post(userId, callOf(77, 'true'), session))).toMatchObject({
      ...{ result: { isError: true, content: [{ text: expect.stringMatching(/^TURN_ID_REUSED: /) as string }] } },
    });
  });

  it('is cancelled by its name, at any replica', { timeout: TURN_MS }, async () => {
    const userId = 'mcp-elsewhere';
    const session = { 'mcp-session-id': 'session-1' };
    const running = post(userId, callOf(5, 'echo begun > ~/begun; sleep 300'), session).then(answerOf);
    await untilWritten(stage, userId, 'begun');
    const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 5 } };
    expect((await post(userId, cancelled, { 'mcp-session-id': 'session-2' }, replica)).status).toBe(202);
    expect((await stage.database.turns(userId)).map(({ state }) => state)).toEqual(['running']);
    expect((await post(userId, cancelled, session, replica)).status).toBe(202);
    expect(await running).toMatchObject({ result: { isError: true, structuredContent: { state: 'cancelled' } } });
    expect(await stage.journal(userId)).toMatchObject([{ starts: 1, endedAtMs: expect.any(Number) as number }]);
  });

  it('goes on where its reader leaves without a word', { timeout: TURN_MS }, async () => {
    const userId = 'mcp-leaves';
    const { client, call } = await connect(userId);
    const running = call('bash', { command: `echo begun > ~/begun; ${UNTIL_GO}; echo over > ~/over` });
    running.catch(() => undefined);
    await untilWritten(stage, userId, 'begun');
    await client.close();
    await expect(running).rejects.toThrow();
    await go(userId);
    await untilWritten(stage, userId, 'over');
    await waitFor('the turn is over', async () => (await turnsOf(userId))[0]?.endsWith('completed 1') === true);
  });

  it('may cancel what it does not know, which is nothing', async () => {
    const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 5 } };
    expect((await post('mcp-nobody', cancelled, { 'mcp-session-id': 's' })).status).toBe(202);
    expect(await stage.sql(`select from users where user_id = 'mcp-nobody'`)).toEqual([]);
  });
});

describe('when something goes away', () => {
  it('a command with its machine has an unknown outcome, and is not run again', { timeout: 2 * TURN_MS }, async () => {
    const userId = 'mcp-unknown';
    const { call } = await connect(userId);
    await call('bash', { command: 'true' });
    const before = await stage.machineId(userId);
    const running = call('bash', { command: 'echo begun > ~/begun; sleep 300' }, { timeout: 2 * TURN_MS });
    await untilWritten(stage, userId, 'begun');
    await stage.stack.emulator.call('POST', `/_emulator/machines/${before}/delete`);
    const { text, isError, structured } = await running;
    expect(text).toMatch(/unknown how the command ended.*It is not run again/);
    expect(isError).toBe(true);
    expect(structured).toMatchObject({ outcome: 'unknown', exitCode: null });
    expect(await stage.lines(userId, 'begun')).toEqual([]);
  });

  it(
    'a gateway that ends says which turn goes on, and another one tells of its end',
    { timeout: 2 * TURN_MS },
    async () => {
      const userId = 'mcp-drain';
      const ending = replica;
      const { call } = await connect(userId, { url: ending.url });
      const command = `echo begun >> ~/begun; ${UNTIL_GO}; echo over`;
      const running = call('bash', { command });
      await untilWritten(stage, userId, 'begun');
      ending.process.signal('SIGTERM');
      const { text, isError } = await running;
      expect([isError, text]).toEqual([true, expect.stringMatching(/^RESULT_TIMEOUT: .*"innkeeper\/turnId":"mcp-/)]);
      expect(await ending.process.exited).toMatchObject({ code: 0 });
      const turnId = /"innkeeper\/turnId":"(mcp-\w+)"/.exec(text)?.[1] ?? '';
      const { call: callAgain } = await connect(userId);
      const again = callAgain('bash', { command }, { turnId });
      await go(userId);
      expect(await again).toMatchObject({ text: 'over\n[exit code 0]', structured: { turnId } });
      expect(await stage.lines(userId, 'begun')).toHaveLength(1);
    },
  );
});

describe('the route', () => {
  it('takes POST alone', async () => {
    for (const method of ['GET', 'DELETE']) {
      const answer = await fetch(new URL('/v1/users/mcp-route/mcp', gateway.url), {
        method,
        headers: { authorization: `Bearer ${key}`, accept: 'text/event-stream' },
      });
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
      expect(await answer.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED' });
    }
  });

  it('takes one message at a time', async () => {
    const ping = { jsonrpc: '2.0', id: 1, method: 'ping' };
    const answer = await post('mcp-route', [ping, { ...ping, id: 2 }]);
    expect([answer.status, await answer.json()]).toMatchObject([400, { code: 'INVALID_INPUT' }]);
    expect(await answerOf(await post('mcp-route', ping))).toMatchObject({ id: 1, result: {} });
  });

  it('refuses who has no key before there is any MCP', async () => {
    await expect(connect('mcp-route', { credential: 'ik_none' })).rejects.toMatchObject({ data: { status: 401 } });
    const bare = await fetch(new URL('/v1/users/mcp-route/mcp', gateway.url), { method: 'GET' });
    expect([bare.status, bare.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
  });

  it("refuses pages of other sites, another user's token, and more than the rate", { timeout: TURN_MS }, async () => {
    const issuer = await startIssuer();
    const { base, close } = await openGateway({
      ...{ tokens: issuer.tokens, rates: { keyPerMinute: 100, userPerMinute: 4 } },
    });
    try {
      const credential = await issuer.tokenOf('mcp-ada');
      await expect(connect('mcp-bea', { url: base, credential })).rejects.toMatchObject({ data: { status: 403 } });
      const page = await fetch(`${base}/v1/users/mcp-ada/mcp`, {
        method: 'POST',
        headers: { authorization: `Bearer ${credential}`, origin: 'https://evil.example' },
      });
      expect(await page.json()).toMatchObject({ status: 403, code: 'ORIGIN_REFUSED' });

      // Its beginning takes two or three requests.
      const { client } = await connect('mcp-ada', { url: base, credential });
      const listing = async (): Promise<void> => {
        for (let times = 0; times < 4; times += 1) await client.listTools();
      };
      await expect(listing()).rejects.toMatchObject({ data: { status: 429 } });
    } finally {
      await close();
      await issuer.close();
    }
  });

  it(
    'counts its open answers among the event streams, and tells quiet ones that they live',
    { timeout: TURN_MS },
    async () => {
      const streams = { max: 10, ofUserMax: 1, heartbeatMs: 20, stallMs: 30_000 };
      const { base, keys, client, close } = await openGateway({ streams });
      try {
        const userId = 'mcp-quiet';
        const { call, client: agent } = await connect(userId, { url: base, credential: keys.service });
        const told: (string | undefined)[] = [];
        // No worker is there: it waits.
        const running = call('bash', { command: 'true' }, { onprogress: ({ message }) => told.push(message) });
        const turnId = await waitFor('its turn', () => /turn (\S+)\.$/.exec(told.join(''))?.[1]);
        await waitFor('heartbeats', () => told.filter((message) => message === undefined).length >= 3);
        await expect(agent.listTools()).rejects.toMatchObject({ data: { status: 429 } });
        await client.cancelTurn({ userId, turnId });
        const { text, structured, isError } = await running;
        expect(text).toMatch(/^The call did not run\.\nCANCELLED: /);
        expect(structured).toMatchObject({ state: 'cancelled', code: 'CANCELLED', outcome: null, exitCode: null });
        expect(isError).toBe(true);
        expect((await agent.listTools()).tools).not.toEqual([]);
      } finally {
        await close();
      }
    },
  );
});

describe('what docs/clients.md shows', () => {
  it('connects, as a configuration', async () => {
    const [shown = ''] = snippetsOf('MCP', 'json');
    const { mcpServers } = JSON.parse(
      shown.replace('${INNKEEPER_URL}', gateway.url).replace('${INNKEEPER_KEY}', key).replace('/ada/', '/mcp-config/'),
    ) as { mcpServers: { machine: { type: string; url: string; headers: Record<string, string> } } };
    const { type, url, headers } = mcpServers.machine;
    expect(type).toBe('http');
    const client = new Client({ name: 'test', version: '1' });
    clients.push(client);
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    expect((await client.listTools()).tools).toHaveLength(4);
  });

  it('runs a command, as a program', { timeout: TURN_MS }, async () => {
    const [shown = ''] = snippetsOf('MCP', 'ts');
    const program = shown.replace('/ada/', '/mcp-program/');
    const { code, stdout, stderr } = await runProgram(process.execPath, ['--input-type=module', '--eval', program], {
      cwd: PROJECT_ROOT,
      env: { INNKEEPER_URL: gateway.url, INNKEEPER_KEY: key },
      timeoutMs: TURN_MS - 10_000,
    });
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^Linux\n\[exit code 0\]/);
    expect(stdout).toContain("outcome: 'exited'");
    expect(stderr).toContain('The machine is ready.');
  });
});

/** A chat product that signs tokens of its users. */
async function startIssuer() {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }];
  const server = createServer((_request, answer) => {
    answer.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const about = { issuer: 'https://chat.example', audience: 'innkeeper' };
  const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  return {
    tokens: createUserTokens({ ...about, jwksUrl }),
    tokenOf: (userId: string): Promise<string> =>
      new SignJWT({ sub: userId, iss: about.issuer, aud: about.audience })
        .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
        .setExpirationTime('1h')
        .sign(privateKey),
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}
