/**
 * Goal: a person works in a shell of their own and the agent goes on from there, whatever becomes of connections and gateways.
 * Method: gateways as processes, real shells; what happened is read from Postgres, the guest's journal and the provider's record.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERROR_TABLE } from '../../src/contracts/errors.js';
import { TERMINAL_CLOSE_BASE } from '../../src/contracts/terminal.js';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { endOf, say, TURN_MS, untilPhase } from '../e2e/support/actions.js';
import { openLanes } from '../e2e/support/lane-handle.js';
import { leakedMachines, openStage, type Stage } from '../e2e/support/stage.js';
import { runProgram } from '../support/run-program.js';
import type { RunningGateway } from '../support/stack.js';
import { takeTerminal, openTerminal, type TerminalClient, type TerminalOptions } from '../support/terminal-client.js';
import { waitFor } from '../support/wait-for.js';
import { snippetsOf } from './support/snippets.js';

/** Far below the length of a lease. */
const IDLE_MS = 1_500;
/** From the end of a lease to a sleep that it has put off. */
const SLEEP_MS = 90_000;

let stage: Stage;
let gateway: RunningGateway;
let key = '';
let otherKey = '';

beforeAll(async () => {
  stage = await openStage({ env: { IDLE_MS: String(IDLE_MS) } });
  gateway = await stage.stack.startGateway();
  key = await stage.createKey();
  otherKey = await stage.createKey();
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
});

const take = (userId: string, more: Partial<TerminalOptions> = {}): Promise<TerminalClient> =>
  takeTerminal({ base: gateway.url, userId, key, ...more });

/** Wakes the machine and takes the terminal; once more where it fell asleep again before that. */
async function sitDown(userId: string, more: Partial<TerminalOptions> = {}): Promise<TerminalClient> {
  await stage.stack.client.createUser({ userId });
  return await waitFor(`${userId} sits down`, async () => {
    await stage.stack.client.wakeNow({ userId });
    await untilPhase(stage, userId, 'ready');
    const person = await openTerminal({ base: gateway.url, userId, key, ...more });
    const first = await waitFor('a first word', () => person.told[0]);
    return first.type === 'taken' ? person : undefined;
  });
}

/** What the user's log tells of terminals and commands, in order. */
async function events(userId: string): Promise<{ type: string; at: Date; body: Record<string, unknown> }[]> {
  return stage.sql(
    `select body ->> 'type' as type, at, body from turn_events where user_id = $1
       and (body ->> 'type' like 'terminal.%' or body ->> 'type' like 'command.%') order by seq`,
    [userId],
  );
}
const typesOf = async (userId: string): Promise<string[]> => (await events(userId)).map(({ type }) => type);

/** The agent has asked for a command, and it was not submitted. */
async function untilHeld(userId: string, turnId: string): Promise<void> {
  await waitFor('a command is held', async () => {
    const rows = await stage.sql(
      `select 1 from tool_calls c join turns t using (turn_key)
       where t.user_id = $1 and t.turn_id = $2 and c.submitted_at is null and c.outcome is null`,
      [userId, turnId],
    );
    return rows.length > 0;
  });
}

describe('the program of docs/clients.md', () => {
  it('runs a line as a person, and hands back', { timeout: TURN_MS }, async () => {
    const userId = 'term-documented';
    await say(stage.stack.client, { userId, turnId: 't1', prompt: '$ echo begun' });
    const [code = ''] = snippetsOf("A person's terminal", 'js');
    const env = { INNKEEPER_URL: gateway.url, INNKEEPER_KEY: key };
    // Evaluated where its package is found, under the name of a file.
    const args = [
      '--input-type=module',
      '-e',
      code,
      'person.mjs',
      userId,
      'cd /usr/lib && echo "typed by $((40 + 2))"',
    ];
    // Its machine may have fallen asleep before.
    const end = await waitFor('the program is done', async () => {
      await stage.stack.client.wakeNow({ userId });
      await untilPhase(stage, userId, 'ready');
      const ended = await runProgram(process.execPath, args, { cwd: PROJECT_ROOT, env, timeoutMs: TURN_MS });
      return ended.code === 0 ? ended : undefined;
    });
    expect(end.stdout).toContain('typed by 42');
    expect(end.stderr).toContain('/usr/lib');
    const turn = await say(stage.stack.client, { userId, turnId: 't2', prompt: '$ pwd' });
    expect(turn.answer).toContain('/usr/lib');
  });
});

describe('a person at the terminal', () => {
  it(
    'works in their own shell while the agent waits, and the agent goes on where they left it',
    { timeout: 2 * TURN_MS },
    async () => {
      const userId = 'term-hand-over';
      await say(stage.stack.client, { userId, turnId: 't1', prompt: '$ mkdir -p ~/site; cd ~/site; export STAGE=one' });
      const person = await sitDown(userId);
      const home = await stage.home(userId);
      await person.type('echo "[$STAGE] in ${PWD##*/}"', '[one] in site');

      await stage.stack.client.submitTurn({
        userId,
        turnId: 't2',
        prompt: '$ echo "$STAGE ${PWD##*/} $(cat note.txt)"',
      });
      await untilHeld(userId, 't2');
      const before = (await stage.journal(userId)).length;
      await person.type('mkdir pages; cd pages; export STAGE=two; echo "by hand" > note.txt', '# ');
      await person.type('cat note.txt', 'by hand');
      // It was held all the while, and is still.
      await untilHeld(userId, 't2');
      expect(await stage.journal(userId)).toHaveLength(before);

      person.send({ type: 'hand_back' });
      expect(await person.hear('handed_back')).toEqual({
        ...{ type: 'handed_back', reason: 'handed_back' },
        directory: join('/home/machine', 'site', 'pages'),
      });
      expect(await person.closed).toBe(1000);
      const turn = await endOf(stage.stack.client, { userId, turnId: 't2' });
      expect(turn).toMatchObject({ state: 'completed' });
      expect(turn.answer).toContain('two pages by hand');
      expect(readFileSync(join(home, 'site', 'pages', 'note.txt'), 'utf8')).toBe('by hand\n');

      const told = await events(userId);
      expect(told.map(({ type }) => type).slice(-4)).toEqual([
        ...['terminal.taken', 'terminal.handed_back', 'command.started', 'command.ended'],
      ]);
      const backAt = told.find(({ type }) => type === 'terminal.handed_back')?.at.getTime() ?? 0;
      expect((await stage.journal(userId)).at(-1)?.startedAtMs).toBeGreaterThanOrEqual(backAt);
      const notes = (await stage.transcript({ userId, turnId: 't2' })).filter(({ kind }) => kind === 'note');
      expect(notes.map(({ text }) => text)).toEqual([
        expect.stringContaining('The shell is in "/home/machine/site/pages" now'),
      ]);
    },
  );

  it(
    'keeps the machine awake for as long as they are there, and it falls asleep after they have gone',
    { timeout: TURN_MS + SLEEP_MS },
    async () => {
      const userId = 'term-awake';
      const person = await sitDown(userId);
      const view = async (): Promise<{ machine: Record<string, unknown> }> => {
        const headers = { authorization: `Bearer ${key}` };
        const answer = await fetch(`${gateway.url}/v1/users/${userId}`, { headers });
        return (await answer.json()) as { machine: Record<string, unknown> };
      };
      const { until, holder } = await person.hear('taken');
      expect((await view()).machine).toMatchObject({
        ...{ phase: 'ready', awakeFor: 'lease', sleepsAt: null, leasedUntil: until },
        terminal: { holder, until },
      });
      // Renewed long after the idle time is over.
      await person.hear('lease');
      await person.type('echo still here', 'still here');
      expect(await stage.database.requestKeys(userId, 'sleep')).toEqual([]);
      person.send({ type: 'hand_back' });
      await person.closed;
      expect((await view()).machine).toMatchObject({ awakeFor: 'idle_time', leasedUntil: null, terminal: null });
      await waitFor(
        'the machine sleeps',
        async () => (await stage.database.machine(userId))?.phase === 'asleep',
        SLEEP_MS,
      );
      const refused = await openTerminal({ base: gateway.url, userId, key });
      expect(await refused.hear('error')).toMatchObject({ code: 'MACHINE_ASLEEP' });
      expect(await refused.closed).toBe(TERMINAL_CLOSE_BASE + ERROR_TABLE.MACHINE_ASLEEP.httpStatus);
    },
  );

  it('is alone there: another is told who has it, and gets it afterwards', { timeout: TURN_MS }, async () => {
    const userId = 'term-taken';
    const person = await sitDown(userId);
    const { holder, leaseId } = await person.hear('taken');
    for (const query of ['', `?lease=${leaseId}`]) {
      const second = await openTerminal({ base: gateway.url, userId, key: otherKey, query });
      expect(await second.hear('error')).toMatchObject({
        code: 'TERMINAL_TAKEN',
        message: expect.stringContaining(holder),
      });
      expect(await second.closed).toBe(4409);
    }
    person.keys('exit\r');
    expect(await person.hear('handed_back')).toMatchObject({ reason: 'exited' });
    const next = await take(userId, { key: otherKey, by: 'header' });
    expect((await next.hear('taken')).holder).not.toBe(holder);
    next.send({ type: 'hand_back' });
    await next.closed;
  });

  it('comes back to the same shell after a connection that broke', { timeout: TURN_MS }, async () => {
    const userId = 'term-broken';
    const person = await sitDown(userId);
    const { leaseId } = await person.hear('taken');
    await person.type('here=$$; echo "pid $here"', /pid \d+/);
    const [, pid = ''] = /pid (\d+)/.exec(person.seen()) ?? [];
    person.keys('for i in 1 2 3; do echo "line $i"; sleep 0.2; done; echo "over $((6 * 7))"\r');
    person.socket.terminate();
    const again = await take(userId, { query: `?lease=${leaseId}` });
    expect(await again.hear('taken')).toMatchObject({ leaseId, isResumed: true });
    await waitFor('what was printed meanwhile', () => again.seen().includes('over 42'));
    await again.type('echo "still $$"', `still ${pid}`);
    // A newer connection of theirs takes the place of one that is open.
    const newest = await take(userId, { query: `?lease=${leaseId}` });
    expect(await again.closed).toBe(1008);
    newest.send({ type: 'hand_back' });
    await newest.closed;
    expect((await typesOf(userId)).filter((type) => type.startsWith('terminal.'))).toEqual([
      ...['terminal.taken', 'terminal.handed_back'],
    ]);
  });

  it('goes on at another gateway in a new shell at the same place, and is told so', { timeout: TURN_MS }, async () => {
    const userId = 'term-moved';
    const other = await stage.stack.startGateway();
    const person = await sitDown(userId);
    const { leaseId } = await person.hear('taken');
    await person.type('cd /usr/lib; export PLACE=kept; echo "in $PWD"', 'in /usr/lib');
    const moved = await take(userId, { base: other.url, query: `?lease=${leaseId}` });
    expect(await moved.hear('taken')).toMatchObject({ isResumed: false });
    await moved.type('echo "$PWD $PLACE"', '/usr/lib kept');
    await person.closed;
    // What a gateway that ends has of terminals is handed back in order.
    other.process.signal('SIGTERM');
    expect(await moved.hear('handed_back')).toMatchObject({ reason: 'closing', directory: '/usr/lib' });
    expect(await other.process.exited).toMatchObject({ code: 0 });
    expect((await events(userId)).at(-1)?.body).toMatchObject({ type: 'terminal.handed_back', reason: 'closing' });
  });

  it(
    'whose gateway was killed holds the agent up no longer than the lease, and it goes on where they were',
    { timeout: 2 * TURN_MS },
    async () => {
      const userId = 'term-killed';
      const mortal = await stage.stack.startGateway();
      const person = await sitDown(userId, { base: mortal.url });
      await person.type('cd /usr/share; echo "in $PWD"', 'in /usr/share');
      await stage.stack.client.submitTurn({ userId, turnId: 't1', prompt: '$ pwd' });
      await untilHeld(userId, 't1');
      mortal.process.signal('SIGKILL');
      const turn = await endOf(stage.stack.client, { userId, turnId: 't1' });
      expect(turn).toMatchObject({ state: 'completed' });
      expect(turn.answer).toContain('/usr/share');
      const told = await events(userId);
      expect(told.map(({ type }) => type)).toEqual([
        ...['terminal.taken', 'terminal.handed_back', 'command.started', 'command.ended'],
      ]);
      expect(told[1]?.body).toMatchObject({ reason: 'expired', directory: null });
    },
  );

  it(
    'lets a command that runs go on, and a turn that is cancelled waits for nobody',
    { timeout: TURN_MS },
    async () => {
      const userId = 'term-beside';
      const prompt = '$ for i in $(seq 60); do [ -e ~/go-on ] && break; sleep 0.5; done; echo ran > ~/ran.txt';
      await stage.stack.client.submitTurn({ userId, turnId: 't1', prompt });
      await waitFor('the command runs', async () => (await typesOf(userId)).includes('command.started'));
      const person = await take(userId);
      await person.type('touch ~/go-on; echo "may $((1 + 1))"', 'may 2');
      expect(await endOf(stage.stack.client, { userId, turnId: 't1' })).toMatchObject({ state: 'completed' });
      expect(await stage.lines(userId, 'ran.txt')).toEqual(['ran']);
      await stage.stack.client.submitTurn({ userId, turnId: 't2', prompt: '$ echo never > ~/never.txt' });
      await untilHeld(userId, 't2');
      await stage.stack.client.cancelTurn({ userId, turnId: 't2' });
      expect(await endOf(stage.stack.client, { userId, turnId: 't2' })).toMatchObject({ state: 'cancelled' });
      person.send({ type: 'hand_back' });
      await person.closed;
      expect(await stage.lines(userId, 'never.txt')).toEqual([]);
    },
  );

  it('types nothing that anybody keeps: not Postgres, not a log, not Temporal', { timeout: TURN_MS }, async () => {
    const userId = 'term-private';
    const canary = 'canary7f3a9c41d2';
    const person = await sitDown(userId);
    await person.type(`echo ${canary} | tee ~/secret.txt; export TOKEN=${canary}`, canary);
    await person.type('cat ~/secret.txt', canary);
    person.send({ type: 'hand_back' });
    await person.closed;
    await say(stage.stack.client, { userId, turnId: 't1', prompt: '$ echo after' });
    // The search itself finds what is there.
    expect(await whoHolds('term-private')).toContain('users');
    expect(await whoHolds(canary)).toEqual([]);
    expect(readFileSync(join(await stage.home(userId), 'secret.txt'), 'utf8')).toBe(`${canary}\n`);
    const logs = readdirSync(stage.stack.dataDir).filter((name) => name.endsWith('.log'));
    expect(logs.length).toBeGreaterThanOrEqual(3);
    for (const name of logs)
      expect(readFileSync(join(stage.stack.dataDir, name), 'latin1'), name).not.toContain(canary);
    const lanes = await openLanes(stage.temporalAddress);
    const history = await lanes.of(userId).fetchHistory();
    await lanes.close();
    const kept = textOf(history);
    expect(kept).toContain('t1');
    expect(kept).not.toContain(canary);
  });
});

/** Tables of Postgres that hold this text anywhere. */
async function whoHolds(text: string): Promise<string[]> {
  const tables = await stage.sql<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = 'public'`,
  );
  const found: string[] = [];
  for (const { name } of tables) {
    // Bytes are searched as bytes: as text they are shown in hexadecimal.
    const hex = Buffer.from(text).toString('hex');
    const rows = await stage.sql(`select 1 from "${name}" t where t::text like $1 or t::text like $2 limit 1`, [
      `%${text}%`,
      `%${hex}%`,
    ]);
    if (rows.length > 0) found.push(name);
  }
  return found;
}

/** All text and all payloads of a history. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (typeof value !== 'object' || value === null) return '';
  return Object.values(value).map(textOf).join('\n');
}
