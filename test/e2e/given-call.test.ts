/**
 * Goal: a turn whose call is given is a turn like any other: in order, at most once, cancelled, resumed; and it asks no model. Method:
 * the client library at a whole stack, with a model that keeps what it is asked; Postgres and the journal on the machine.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startRecordingModel, type RecordingModel } from '../support/recording-model.js';
import { endOf, TURN_MS, untilWritten } from './support/actions.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';

let stage: Stage;
let model: RecordingModel;
beforeAll(async () => {
  model = await startRecordingModel();
  stage = await openStage({ env: { MODEL_BASE_URL: model.url } });
});
afterAll(async () => {
  expect(model.requests).toEqual([]);
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
  await model.stop();
});

it(
  'runs in order, is told as it happens, and is one turn however often it is submitted',
  { timeout: TURN_MS },
  async () => {
    const { client } = stage.stack;
    const userId = 'given-order';
    const file = { path: '~/a.txt', content: 'one\n' };
    const write = { userId, turnId: 'write', tool: 'write_file', arguments: file } as const;
    const run = { userId, turnId: 'run', tool: 'bash', arguments: { command: 'cat ~/a.txt' } } as const;
    expect(await client.runTool(write)).toMatchObject({ position: 1, isNew: true });
    expect(await client.runTool(run)).toMatchObject({ position: 2, state: 'queued' });
    expect(await client.runTool(write)).toMatchObject({ position: 1, isNew: false });
    await expect(client.runTool({ ...run, arguments: { command: 'rm ~/a.txt' } })).rejects.toMatchObject({
      code: 'TURN_ID_REUSED',
    });
    expect(await endOf(client, run)).toMatchObject({ state: 'completed', origin: 'backend', answer: '', toolCalls: 1 });
    const told: string[] = [];
    for await (const item of client.followEvents({ userId, turnId: 'run', signal: AbortSignal.timeout(TURN_MS) })) {
      if (!('event' in item)) continue;
      const { body } = item.event;
      told.push(body.type === 'command.ended' ? `${body.type} ${body.output}` : body.type);
      if (body.type === 'turn.ended') break;
    }
    expect(told).toEqual([
      ...['turn.queued', 'turn.started', 'step.answered', 'command.started'],
      ...['command.ended one\n[exit code 0]', 'step.answered', 'turn.ended'],
    ]);
    expect((await stage.journal(userId)).map(({ starts }) => starts)).toEqual([1, 1]);
  },
);

it('goes on where its worker is killed, and runs once', { timeout: 2 * TURN_MS }, async () => {
  const { client, workers, startWorker } = stage.stack;
  const turn = { userId: 'given-killed', turnId: 'run' };
  const command = 'echo begun >> ~/begun; until [ -e ~/go ]; do sleep 0.1; done; echo over';
  await client.runTool({ ...turn, tool: 'bash', arguments: { command } });
  await untilWritten(stage, turn.userId, 'begun');
  workers.at(-1)?.signal('SIGKILL');
  await workers.at(-1)?.exited;
  await startWorker();
  writeFileSync(join(await stage.home(turn.userId), 'go'), '');
  expect(await endOf(client, turn)).toMatchObject({ state: 'completed', errorCode: null, steps: 2 });
  expect(await stage.lines(turn.userId, 'begun')).toEqual(['begun']);
  expect(await stage.journal(turn.userId)).toMatchObject([{ starts: 1, exitCode: 0 }]);
  expect(await stage.database.calls(turn)).toMatchObject([{ outcome: 'exited', exitCode: 0 }]);
});

it('is stopped on the machine where it is cancelled', { timeout: TURN_MS }, async () => {
  const { client } = stage.stack;
  const turn = { userId: 'given-cancel', turnId: 'run' };
  await client.runTool({ ...turn, tool: 'bash', arguments: { command: 'echo begun > ~/begun; sleep 300' } });
  await untilWritten(stage, turn.userId, 'begun');
  expect(await client.cancelTurn(turn)).toEqual({ state: 'running' });
  expect(await endOf(client, turn)).toMatchObject({ state: 'cancelled', errorCode: 'CANCELLED', answer: null });
  expect(await stage.database.calls(turn)).toMatchObject([{ outcome: 'cancelled' }]);
  expect(await stage.journal(turn.userId)).toMatchObject([{ starts: 1, endedAtMs: expect.any(Number) as number }]);
});
