/**
 * What people get wrong: each is answered with a stable code and what to do about it, nothing is half done, and nothing is lost.
 * Through the client library, the command and the worker's own start.
 */
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type InnkeeperClient } from '../../src/client.js';
import { ERROR_TABLE, InnkeeperError, type ErrorCode } from '../../src/contracts/errors.js';
import { PROMPT_BYTES_MAX } from '../../src/contracts/limits.js';
import { pickFreePort } from '../../src/dev/ports.js';
import { waitFor } from '../support/wait-for.js';
import { endOf, say, untilWritten } from './support/actions.js';
import { runProgram } from './support/command.js';
import { openLanes } from './support/lane-handle.js';
import { openStage, type Stage } from './support/stage.js';

const SECRET = 'never-to-be-printed-5d1f';
/** Nothing listens there: whoever tries to connect fails with another code than the one expected. */
const NOWHERE = '127.0.0.1:9';

const userVerbs = ['getUser', 'createUser', 'sleepNow', 'wakeNow', 'destroyUser'] as const;
const turnVerbs = ['getTurn', 'cancelTurn', 'turnResult'] as const;

async function refusal(work: Promise<unknown>): Promise<InnkeeperError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!InnkeeperError.is(error)) throw new Error('it was not refused by a code of ours', { cause: error });
  expect(error.advice).toBe(ERROR_TABLE[error.code].advice);
  expect(error.advice.length).toBeGreaterThan(20);
  return error;
}

describe('the client library, before any network', () => {
  let client: InnkeeperClient;
  beforeAll(() => {
    client = createClient({
      temporal: { address: NOWHERE },
      database: { url: `postgres://u:${SECRET}@${NOWHERE}/none` },
    });
  });
  afterAll(() => client.close());

  const turn = { userId: 'ada', turnId: 'turn', prompt: 'Hello' };
  it.for<[string, ErrorCode, Partial<Record<keyof typeof turn, unknown>>]>([
    ['an empty prompt', 'PROMPT_EMPTY', { prompt: '' }],
    ['a prompt of white space', 'PROMPT_EMPTY', { prompt: ' \n\t' }],
    ['a prompt that is no text', 'INVALID_INPUT', { prompt: 7 }],
    ['a prompt of one byte more than 64 KiB', 'PROMPT_TOO_LARGE', { prompt: 'ä'.repeat(PROMPT_BYTES_MAX / 2) + '.' }],
    ['a user id with a slash', 'INVALID_USER_ID', { userId: 'a/b' }],
    ['a user id with a percent sign', 'INVALID_USER_ID', { userId: 'a%2f' }],
    ['a user id with a control character', 'INVALID_USER_ID', { userId: 'a\u0000b' }],
    ['a user id of 129 bytes', 'INVALID_USER_ID', { userId: `${'ä'.repeat(64)}b` }],
    ['an empty user id', 'INVALID_USER_ID', { userId: '' }],
    ['no user id', 'INVALID_USER_ID', { userId: undefined }],
    ['a turn id with a slash', 'INVALID_TURN_ID', { turnId: '../x' }],
    ['a turn id with a newline', 'INVALID_TURN_ID', { turnId: 'a\nb' }],
    ['a turn id of 129 bytes', 'INVALID_TURN_ID', { turnId: 't'.repeat(129) }],
  ])('refuses %s', async ([, code, change]) => {
    const error = await refusal(client.submitTurn({ ...turn, ...(change as typeof turn) }));
    expect(error.code).toBe(code);
  });

  it('takes an id of 128 bytes and a prompt of 64 KiB, and then says that Postgres is away', async () => {
    const largest = { userId: 'ä'.repeat(64), turnId: 't'.repeat(128), prompt: 'x'.repeat(PROMPT_BYTES_MAX) };
    const error = await refusal(client.submitTurn(largest));
    expect(error.code).toBe('STORE_UNAVAILABLE');
    expect(JSON.stringify([error.message, error.details])).not.toContain(SECRET);
  });

  it('checks the ids of every other verb', async () => {
    const bad = { userId: 'a/b', turnId: 't' };
    for (const verb of [...userVerbs, ...turnVerbs]) {
      expect((await refusal(client[verb](bad))).code).toBe('INVALID_USER_ID');
    }
    for (const verb of turnVerbs) {
      expect((await refusal(client[verb]({ userId: 'ada', turnId: '%' }))).code).toBe('INVALID_TURN_ID');
    }
    expect((await refusal(client.createUser({ userId: 'ada', idleMs: 1 }))).code).toBe('INVALID_INPUT');
  });
});

describe('on a running stack', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage();
  });
  afterAll(() => stage.close());

  it('a user or turn that is not known is said to be so, and nothing is made of it', async () => {
    const { client } = stage.stack;
    const unknown = { userId: 'nobody', turnId: 'nothing' };
    for (const verb of [...userVerbs, ...turnVerbs]) {
      if (verb !== 'createUser') expect((await refusal(client[verb](unknown))).code).toBe('USER_UNKNOWN');
    }
    await client.createUser({ userId: 'somebody' });
    for (const verb of turnVerbs) {
      expect((await refusal(client[verb]({ ...unknown, userId: 'somebody' }))).code).toBe('TURN_UNKNOWN');
    }
    expect(await stage.sql('select user_id from users')).toEqual([{ user_id: 'somebody' }]);
  });

  it('a full queue refuses the 21st open turn, stores nothing of it, and takes it once there is room', async () => {
    const { client } = stage.stack;
    const userId = 'eager';
    await client.submitTurn({ userId, turnId: 't01', prompt: '$ echo t01 >> ~/order.txt; sleep 600' });
    await untilWritten(stage, userId, 'order.txt');
    for (let index = 2; index <= 20; index += 1) {
      await client.submitTurn({ userId, turnId: `t${String(index).padStart(2, '0')}`, prompt: 'Wait for me' });
    }
    const late = { userId, turnId: 't21', prompt: '$ echo t21 >> ~/order.txt' };
    expect((await refusal(client.submitTurn(late))).code).toBe('QUEUE_FULL');
    expect(await stage.database.turns(userId)).toHaveLength(20);
    // One of the open ones again is no further turn.
    const again = await client.submitTurn({ userId, turnId: 't20', prompt: 'Wait for me' });
    expect(again).toMatchObject({ isNew: false, position: 20 });
    expect((await refusal(client.submitTurn({ userId, turnId: 't20', prompt: 'Other' }))).code).toBe('TURN_ID_REUSED');

    await client.cancelTurn({ userId, turnId: 't01' });
    await endOf(client, { userId, turnId: 't20' });
    expect(await say(client, late)).toMatchObject({ state: 'completed', position: 21 });
    expect(await stage.lines(userId, 'order.txt')).toEqual(['t01', 't21']);
  });

  it('a provider key that is wrong ends the turn with what to check, and leaves no machine', async () => {
    const branch = stage.stack.openBranch({ env: { DEDALUS_API_KEY: SECRET } });
    await branch.startWorker();
    try {
      const userId = 'wrong-key';
      const result = await say(branch.client, { userId, turnId: 'first', prompt: '$ echo hello' });
      expect(result).toMatchObject({ state: 'failed', errorCode: 'MACHINE_UNAVAILABLE' });
      const lane = await laneError(userId);
      expect(lane).toBe('PROVIDER_UNAUTHORIZED');
      expect(branch.workerLog()).not.toContain(SECRET);
      // With the right key the same user goes on; what was refused before made nothing.
      await branch.workers[0]?.stop();
      await branch.startWorker({ DEDALUS_API_KEY: stage.stack.emulator.apiKey });
      expect(await say(branch.client, { userId, turnId: 'second', prompt: '$ echo hello' })).toMatchObject({
        state: 'completed',
      });
      expect(await stage.creations(userId)).toHaveLength(1);
    } finally {
      await branch.stop();
    }
  });

  it('a model key that is wrong ends the turn with the code of the model', async () => {
    const branch = stage.stack.openBranch({ env: { MODEL_API_KEY: SECRET } });
    await branch.startWorker();
    try {
      const result = await say(branch.client, { userId: 'wrong-model-key', turnId: 'first', prompt: 'Hello' });
      expect(result).toMatchObject({ state: 'failed', errorCode: 'MODEL_UNAUTHORIZED' });
      expect(branch.workerLog()).not.toContain(SECRET);
    } finally {
      await branch.stop();
    }
  });

  it('a size that the provider refuses ends the turn, and leaves nothing half made', async () => {
    const branch = stage.stack.openBranch();
    const worker = await branch.startWorker({ MACHINE_VCPU: '9999' });
    try {
      const userId = 'too-big';
      const result = await say(branch.client, { userId, turnId: 'first', prompt: '$ echo hello' });
      expect(result).toMatchObject({ state: 'failed', errorCode: 'MACHINE_UNAVAILABLE' });
      expect(await laneError(userId)).toBe('PROVIDER_REFUSED');
      expect(await stage.database.machine(userId)).toBeUndefined();
      await worker.stop();
      await branch.startWorker();
      expect(await say(branch.client, { userId, turnId: 'second', prompt: '$ echo hello' })).toMatchObject({
        state: 'completed',
      });
      expect(await stage.creations(userId)).toHaveLength(1);
    } finally {
      await branch.stop();
    }
  });

  it('a destroyed user is refused until created again', async () => {
    const { client } = stage.stack;
    const userId = 'gone';
    await client.createUser({ userId });
    await client.destroyUser({ userId });
    await waitFor('the user is destroyed', async () => (await client.getUser({ userId })).state === 'destroyed');
    expect((await refusal(client.submitTurn({ userId, turnId: 't', prompt: 'Hello' }))).code).toBe('USER_DESTROYED');
    expect(await stage.database.turns(userId)).toEqual([]);
  });

  it('the command says the same, with an exit code of its own', async () => {
    const env = {
      DATABASE_URL: stage.databaseUrl,
      TEMPORAL_ADDRESS: stage.temporalAddress,
      TEMPORAL_TASK_QUEUE: stage.stack.taskQueue,
    };
    for (const [args, code] of [
      [['turns', '--user', 'nobody'], 'USER_UNKNOWN'],
      [['sleep', '--user', 'nobody'], 'USER_UNKNOWN'],
      [['destroy', '--user', 'a/b'], 'INVALID_USER_ID'],
      [['show', '--user', 'somebody', '--turn', 'nothing'], 'TURN_UNKNOWN'],
    ] as const) {
      const { code: exitCode, stdout, stderr } = await runProgram('cli.js', args, env);
      expect({ args, exitCode, stdout }).toEqual({ args, exitCode: 2, stdout: '' });
      expect(stderr).toMatch(new RegExp(`^${code}: `));
      expect(stderr).toContain(ERROR_TABLE[code].advice);
    }
  });

  async function laneError(userId: string): Promise<string | null> {
    const lanes = await openLanes(stage.temporalAddress);
    try {
      const state = await lanes.of(userId).query<{ lastErrorCode: string | null }>('getState');
      return state.lastErrorCode;
    } finally {
      await lanes.close();
    }
  }
});

describe('at the start', () => {
  let taken: Server;
  let takenPort: number;
  beforeAll(async () => {
    takenPort = await pickFreePort();
    taken = createServer();
    await new Promise<void>((resolve) => taken.listen(takenPort, '127.0.0.1', resolve));
  });
  afterAll(() => new Promise((resolve) => taken.close(resolve)));

  const settings = {
    DATABASE_URL: `postgres://app:${SECRET}@${NOWHERE}/innkeeper`,
    TEMPORAL_ADDRESS: NOWHERE,
    DEDALUS_MACHINES_BASE_URL: `http://${NOWHERE}`,
    DEDALUS_API_KEY: SECRET,
    MODEL_BASE_URL: `http://${NOWHERE}`,
    MODEL_API_KEY: SECRET,
    MODEL_NAME: 'a-model',
  };

  it('a worker without settings lists every one that is missing, at once', async () => {
    const { code, stderr } = await runProgram('worker.js', [], {});
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/SETTINGS_INVALID/);
    for (const name of [
      'DATABASE_URL',
      'DEDALUS_MACHINES_BASE_URL',
      'DEDALUS_API_KEY',
      'MODEL_BASE_URL',
      'MODEL_NAME',
    ]) {
      expect(stderr).toContain(name);
    }
    expect(stderr).toContain(ERROR_TABLE.SETTINGS_INVALID.advice);
  });

  it('a worker with contradictory settings names all of them, and no secret', async () => {
    const wrong = { ...settings, TEMPORAL_TLS: 'false', TEMPORAL_API_KEY: SECRET, MACHINE_VCPU: 'many', IDLE_MS: '-1' };
    const { code, stderr } = await runProgram('worker.js', [], wrong);
    expect(code).not.toBe(0);
    for (const name of ['TEMPORAL_API_KEY', 'MACHINE_VCPU', 'IDLE_MS']) expect(stderr).toContain(name);
    expect(stderr).not.toContain(SECRET);
  });

  it('a worker without Postgres says so and ends', async () => {
    const { code, stderr } = await runProgram('worker.js', [], settings);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^STORE_UNAVAILABLE: /m);
    expect(stderr).toContain(ERROR_TABLE.STORE_UNAVAILABLE.advice);
    expect(stderr).not.toContain(SECRET);
  });

  it('a command without Postgres says so and ends', async () => {
    const { code, stdout, stderr } = await runProgram('cli.js', ['users', '--json'], settings);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^STORE_UNAVAILABLE: /);
    expect(stderr).not.toContain(SECRET);
  });

  it('an emulator whose port is taken names the port, and what to do', async () => {
    const { code, stdout, stderr } = await runProgram('cli.js', ['emulator', '--port', String(takenPort)], {});
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^PORT_IN_USE: /);
    expect(stderr).toContain(String(takenPort));
    expect(stderr).toContain(ERROR_TABLE.PORT_IN_USE.advice);
  });
});

describe('with Temporal away', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage({ workers: 0 });
  });
  afterAll(() => stage.close());

  it('a turn is stored, the sender is told to repeat it, and the repeat loses nothing', async () => {
    const turn = { userId: 'patient', turnId: 'turn', prompt: '$ echo one >> ~/runs.txt' };
    const away = stage.stack.openBranch({ temporalAddress: NOWHERE, taskQueue: stage.stack.taskQueue });
    const error = await refusal(away.client.submitTurn(turn)).finally(() => away.stop());
    expect(error.code).toBe('LANE_UNREACHABLE');
    expect(await stage.database.turns(turn.userId)).toMatchObject([{ turnId: 'turn', state: 'queued' }]);

    await stage.stack.startWorker();
    expect(await say(stage.stack.client, turn)).toMatchObject({ state: 'completed', position: 1 });
    expect(await stage.lines(turn.userId, 'runs.txt')).toEqual(['one']);
  });

  it('a worker says so and ends', async () => {
    const { code, stderr } = await runProgram('worker.js', [], {
      DATABASE_URL: stage.databaseUrl,
      TEMPORAL_ADDRESS: NOWHERE,
      DEDALUS_MACHINES_BASE_URL: stage.stack.emulator.url,
      DEDALUS_API_KEY: stage.stack.emulator.apiKey,
      MODEL_BASE_URL: `${stage.stack.emulator.url}/v1`,
      MODEL_API_KEY: SECRET,
      MODEL_NAME: 'a-model',
    });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^TEMPORAL_UNAVAILABLE: /m);
    expect(stderr).toContain(ERROR_TABLE.TEMPORAL_UNAVAILABLE.advice);
  });
});
