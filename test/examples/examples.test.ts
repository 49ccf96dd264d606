/**
 * Goal: each example does what its README says. Method: each as a process of its own, typed as there, against a whole stack with a
 * gateway; what it prints, and what Postgres and the machine's journal hold of it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { TURN_MS } from '../e2e/support/actions.js';
import { leakedMachines, openStage, type Stage } from '../e2e/support/stage.js';
import { pythonOf } from '../support/python.js';
import { runProgram, startProgram, type Program, type ProgramEnd } from '../support/run-program.js';
import { waitFor } from '../support/wait-for.js';

const example = (path: string): string => join(PROJECT_ROOT, 'examples', path);
/** Ended before the test is given up, so that what it said is told. */
const PROGRAM_MS = TURN_MS - 10_000;
/** Until somebody ends it. */
const LONG = '$ sleep 300';

let stage: Stage;
/** Where the examples are told that things are. */
let env: Record<string, string>;

beforeAll(async () => {
  stage = await openStage();
  const { url } = await stage.stack.startGateway();
  const key = await stage.createKey();
  env = {
    ...{ INNKEEPER_URL: url, INNKEEPER_KEY: key, DATABASE_URL: stage.databaseUrl },
    ...{ TEMPORAL_ADDRESS: stage.temporalAddress, TEMPORAL_TASK_QUEUE: stage.stack.taskQueue },
  };
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
});

/** Each with its state, and how often its end was told. */
async function turnsOf(userId: string): Promise<string[]> {
  return (await stage.database.turns(userId)).map(({ turnId, state, ends }) => `${turnId} ${state} ${ends}`);
}

describe('the backend in TypeScript', () => {
  const USER = 'of-backend';
  const MESSAGE = '$ echo "made of $((40 + 2))"';
  const start = (args: readonly string[], more: Record<string, string> = {}): Program =>
    startProgram(
      join(PROJECT_ROOT, 'node_modules', '.bin', 'tsx'),
      [example('backend-typescript/main.ts'), USER, ...args],
      { cwd: PROJECT_ROOT, env: { ...env, ...more }, timeoutMs: PROGRAM_MS },
    );

  it('shows what the agent does and says, and how it ended', { timeout: TURN_MS }, async () => {
    const { code, stdout, stderr } = await start(['msg-1', MESSAGE]).ended;
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^Turn 1 of of-backend\.\n/);
    expect(stdout).toContain('> echo "made of $((40 + 2))"\nmade of 42\n');
    expect(stdout).toContain('I ran one command:');
    expect(stdout).toMatch(/\n\[completed\]\n$/);
    expect(await turnsOf(USER)).toEqual(['msg-1 completed 1']);
  });

  it('given the same id again shows the same turn, and nothing runs twice', { timeout: TURN_MS }, async () => {
    const { code, stdout, stderr } = await start(['msg-1', MESSAGE]).ended;
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^msg-1 was submitted before: it is turn 1\.\n/);
    expect(stdout).toContain('made of 42\n');
    expect(await turnsOf(USER)).toEqual(['msg-1 completed 1']);
    expect(await stage.journal(USER)).toHaveLength(1);
  });

  it('given the same id for another message is refused, with what to do', { timeout: TURN_MS }, async () => {
    const end = await start(['msg-1', '$ echo else']).ended;
    expect(end).toMatchObject({ code: 1, stdout: '' });
    expect(end.stderr).toMatch(/^TURN_ID_REUSED: .*choose a new id/m);
    expect(await turnsOf(USER)).toEqual(['msg-1 completed 1']);
  });

  it('waits for a place in a queue that is full, and takes it', { timeout: TURN_MS }, async () => {
    const { client } = stage.stack;
    await client.submitTurn({ userId: USER, turnId: 'long', prompt: LONG });
    const program = start(['msg-2', '$ echo at last'], { OPEN_TURNS_MAX: '1' });
    await waitFor('it is refused', () => program.said.stderr.includes('QUEUE_FULL'));
    expect((await stage.database.turns(USER)).map(({ turnId }) => turnId)).toEqual(['msg-1', 'long']);
    await client.cancelTurn({ userId: USER, turnId: 'long' });
    const { code, stdout, stderr } = await program.ended;
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toContain('at last\n');
    expect(await turnsOf(USER)).toEqual(['msg-1 completed 1', 'long cancelled 1', 'msg-2 completed 1']);
  });
});

describe('HTTP with curl', () => {
  const USER = 'of-curl';
  const start = (args: readonly string[], more: Record<string, string> = {}): Program =>
    startProgram(example('http-curl/chat.sh'), args, { env: { ...env, ...more }, timeoutMs: PROGRAM_MS });
  const chat = (...args: string[]): Promise<ProgramEnd> => start(args).ended;

  it('asks and waits for the end, as often as it likes', { timeout: TURN_MS }, async () => {
    const message = String.raw`$ printf '%s\n' "a \"b\"	c"` + '\n$ echo two';
    const first = await chat('ask', USER, 'msg-1', message);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(first.stdout)).toMatchObject({
      ...{ turnId: 'msg-1', state: 'completed', isNew: true },
      turn: { prompt: message, answer: expect.stringContaining('two') as string },
    });
    const again = await chat('ask', USER, 'msg-1', message);
    expect(JSON.parse(again.stdout)).toMatchObject({ isNew: false, state: 'completed' });
    expect(await turnsOf(USER)).toEqual(['msg-1 completed 1']);
    expect(await stage.journal(USER)).toHaveLength(2);
  });

  it('follows a turn to its end, which a cancel brings', { timeout: TURN_MS }, async () => {
    const submitted = await chat('submit', USER, 'msg-2', LONG);
    expect(JSON.parse(submitted.stdout)).toMatchObject({ turnId: 'msg-2', position: 2, state: 'queued' });
    const following = start(['follow', USER, 'msg-2']);
    await waitFor('the command runs', () => following.said.stdout.includes(' command.started '));
    const cancelled = await chat('cancel', USER, 'msg-2');
    expect(JSON.parse(cancelled.stdout)).toEqual({ state: 'running' });
    const end = await following.ended;
    expect(end).toMatchObject({ code: 0, stderr: '' });
    const seen = durable(end.stdout);
    expect(seen.at(-1)).toMatch(/^\d+ turn\.ended \{.*"outcome":"cancelled"/);
    expect(await turnsOf(USER)).toEqual(['msg-1 completed 1', 'msg-2 cancelled 1']);

    const [id = ''] = seen[1]?.split(' ') ?? [];
    expect(durable((await chat('follow', USER, 'msg-2', id)).stdout)).toEqual(seen.slice(2));
  });

  it('reads what the machine has used', async () => {
    const { code, stdout } = await chat('usage', USER);
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as { awakeSeconds: number }).awakeSeconds).toBeGreaterThan(0);
  });

  it.each([[['usage', USER]], [['follow', USER, 'msg-1']]])('shows a refusal of %j, and fails', async (args) => {
    const { code, stdout } = await start(args, { INNKEEPER_KEY: 'ik_none' }).ended;
    expect(code).toBe(22);
    expect(JSON.parse(stdout)).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
  });

  it('is what the README types, and does as it says', { timeout: TURN_MS }, async () => {
    const typed = readmeLines().replaceAll('/users/ada', '/users/of-readme');
    const { code, stdout, stderr } = await runProgram('sh', ['-e', '-c', typed], { env, timeoutMs: PROGRAM_MS });
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toContain('"state":"completed"');
    expect(stdout).toContain('event: turn.ended');
    expect(await turnsOf('of-readme')).toEqual(['msg-3 completed 1']);
  });

  it('says what it can do where it is asked for something else', async () => {
    const { code, stderr } = await chat('dance', USER);
    expect([code, stderr]).toEqual([2, expect.stringContaining('follow USER')]);
  });

  /** Those below "Over HTTP", without the two that say where things are. */
  function readmeLines(): string {
    const text = readFileSync(join(PROJECT_ROOT, 'README.md'), 'utf8');
    const lines = /## Over HTTP\n[\s\S]*?```sh\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
    return lines.replaceAll(/^export .*\n/gm, '');
  }

  /** Lines of events that are kept; live text is gone once its part is complete. */
  function durable(stdout: string): string[] {
    return stdout.split('\n').filter((line) => line.includes('"seq":'));
  }
});

describe('the Temporal client in Python', () => {
  // Its lane's workflow id has escapes.
  const USER = 'of python & co';
  const send = (...args: string[]): Promise<ProgramEnd> =>
    runProgram(pythonOf('temporalio'), [example('temporal-python/send.py'), USER, ...args], {
      env: { ...env, PYTHONDONTWRITEBYTECODE: '1', PYTHONUTF8: '1' },
      timeoutMs: PROGRAM_MS,
    });

  it('sends a message and reads the answer; the same again is the same turn', { timeout: TURN_MS }, async () => {
    for (let times = 0; times < 2; times += 1) {
      const { code, stdout, stderr } = await send('msg-1', '$ echo from python');
      expect(code, stdout + stderr).toBe(0);
      expect(stdout).toContain('from python\n');
      expect(stdout).toMatch(/\n\[completed\]\n$/);
    }
    expect(await turnsOf(USER)).toEqual(['msg-1 completed 1']);
    expect(await stage.journal(USER)).toHaveLength(1);
  });
});
