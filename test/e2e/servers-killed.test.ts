/**
 * Temporal and Postgres, each killed with -9 and started again in the middle of a turn: the turn ends as if nothing had been.
 * Method: both servers are this file's own, started by the same starters as `npm start` uses, on ports that stay.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTools } from '../../src/dev/paths.js';
import { pickFreePorts } from '../../src/dev/ports.js';
import { startPostgres, type RunningPostgres } from '../../src/dev/postgres.js';
import { startTemporal, type RunningTemporal } from '../../src/dev/temporal.js';
import { silentLogger } from '../../src/log.js';
import { migrate } from '../../src/store/migrate.js';
import { waitFor } from '../support/wait-for.js';
import { endOf, say, untilWritten } from './support/actions.js';
import { openLanes } from './support/lane-handle.js';
import { openStage, type Stage } from './support/stage.js';

const dataDir = mkdtempSync(join(tmpdir(), 'innkeeper-killed-'));
let ports: number[];
let postgres: RunningPostgres;
let temporal: RunningTemporal;
let stage: Stage;

const runPostgres = (): Promise<RunningPostgres> => startPostgres({ dataDir, port: ports[0] ?? 0 });
const runTemporal = (): Promise<RunningTemporal> =>
  startTemporal({
    executable: readTools().temporal ?? 'temporal',
    dataDir,
    port: ports[1] ?? 0,
    uiPort: ports[2] ?? 0,
  });

beforeAll(async () => {
  ports = await pickFreePorts(3);
  [postgres, temporal] = await Promise.all([runPostgres(), runTemporal()]);
  await migrate({ url: postgres.url, log: silentLogger() });
  stage = await openStage({ databaseUrl: postgres.url, temporalAddress: temporal.address });
});
afterAll(async () => {
  await stage.close();
  await Promise.all([postgres.stop(), temporal.stop()]);
  rmSync(dataDir, { recursive: true, force: true });
});

const PROMPT = '$ echo one >> ~/runs.txt; sleep 3; echo over\n$ echo two >> ~/runs.txt; echo done';

async function inMidCommand(userId: string): Promise<void> {
  await stage.stack.client.submitTurn({ userId, turnId: 'turn', prompt: PROMPT });
  await untilWritten(stage, userId, 'runs.txt');
}

async function expectWhole(userId: string): Promise<void> {
  const { client } = stage.stack;
  const result = await endOf(client, { userId, turnId: 'turn' });
  expect(result, stage.stack.workerLog()).toMatchObject({ state: 'completed', steps: 3, toolCalls: 2 });
  expect(result.answer).toMatch(/over[^]*done/);
  expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two']);
  expect((await stage.journal(userId)).map(({ starts, exitCode }) => ({ starts, exitCode }))).toEqual([
    { starts: 1, exitCode: 0 },
    { starts: 1, exitCode: 0 },
  ]);
  expect((await stage.transcript({ userId, turnId: 'turn' })).map(({ kind }) => kind)).toEqual([
    'user',
    'assistant',
    'assistant',
    'assistant',
  ]);
  expect(await stage.creations(userId)).toHaveLength(1);
  expect(await say(client, { userId, turnId: 'next', prompt: '$ echo three' })).toMatchObject({ state: 'completed' });
}

describe('in the middle of a turn', () => {
  it('Temporal is killed with -9 and started again', async () => {
    await inMidCommand('temporal');
    temporal.process.signal('SIGKILL');
    await temporal.process.exited;
    temporal = await runTemporal();
    await expectWhole('temporal');
  });

  it('Postgres is killed with -9 and started again', async () => {
    await inMidCommand('postgres');
    postgres.process.signal('SIGKILL');
    await postgres.process.exited;
    postgres = await runPostgres();
    await expectWhole('postgres');
  });

  it('Postgres stays away while turns are submitted by signal alone, and is given them when it is back', async () => {
    const userId = 'by-signal';
    const { client } = stage.stack;
    await say(client, { userId, turnId: 'first', prompt: '$ echo one >> ~/runs.txt' });
    postgres.process.signal('SIGKILL');
    await postgres.process.exited;
    // Its backends live on until they notice.
    await waitFor('the connections are gone', async () => {
      const looks = Array.from({ length: 5 }, () => client.getUser({ userId }));
      return (await Promise.allSettled(looks)).every(({ status }) => status === 'rejected');
    });
    await expect(client.submitTurn({ userId, turnId: 'refused', prompt: 'Hello?' })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    const lanes = await openLanes(temporal.address);
    await lanes.of(userId).signal('enqueueTurn', { turnId: 'held', prompt: '$ echo two >> ~/runs.txt' });
    await lanes.close();
    postgres = await runPostgres();
    const isStored = async (): Promise<boolean> =>
      (await stage.database.turns(userId)).some(({ turnId, state }) => turnId === 'held' && state === 'completed');
    await waitFor('the held prompt is answered', isStored);
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two']);
  });
});
