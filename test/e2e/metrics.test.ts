/**
 * Goal: an operator sees by its metrics what a deployment did and what went wrong, and nothing of what anybody said. Method: a whole
 * stack with a gateway, scraped as Prometheus does, against what the tests had it do; words that would stand out are searched for in
 * every line.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { endOf, TURN_MS, untilWritten } from './support/actions.js';
import { openLanes } from './support/lane-handle.js';
import { createReconciler, isAbout, makeStray, SOON } from './support/reconcile.js';
import { makeTrouble, sleepNow } from './support/trouble.js';
import { openWatchedStage, type WatchedStage } from './support/watched.js';

const CANARY = 'kanarie7f3a';
const USER = `${CANARY}-user`;

let stage: WatchedStage;
beforeAll(async () => {
  stage = await openWatchedStage({ env: SOON });
});
afterAll(() => stage.close());

let turns = 0;
async function tell(userId: string, prompt: string) {
  const turnId = `${CANARY}-turn-${(turns += 1)}`;
  const answer = await stage.ask(`/v1/users/${userId}/turns`, { turnId, prompt });
  expect(answer.status).toBe(202);
  return endOf(stage.stack.client, { userId, turnId });
}

describe('a turn with a command', () => {
  it('is in the figures of the gateway, the worker and Temporal', { timeout: TURN_MS }, async () => {
    const prompt = `${CANARY}-prompt\n$ for i in 1 2 3; do echo ${CANARY}-output; sleep 0.3; done`;
    const { state, answer, turnId } = await tell(USER, prompt);
    expect([state, answer?.includes(`${CANARY}-output`)]).toEqual(['completed', true]);
    const stream = await stage.ask(`/v1/users/${USER}/events?turn=${turnId}`);
    expect(await stream.text()).toContain('turn.ended');

    const worker = await stage.worker();
    expect(worker.of('innkeeper_turns_ended_total', { outcome: 'completed', code: 'none' })).toBe(1);
    expect(worker.of('innkeeper_commands_ended_total', { outcome: 'exited' })).toBe(1);
    expect(worker.of('innkeeper_turn_queue_seconds_count')).toBe(1);
    expect(worker.of('innkeeper_turn_first_delta_seconds_count')).toBe(1);
    expect(worker.of('innkeeper_provider_calls_total', { call: 'create', result: 'ok' })).toBe(1);
    expect(worker.of('innkeeper_model_calls_total', { result: 'ok' })).toBe(2);
    expect(worker.of('innkeeper_activity_seconds_count', { activity: 'think', result: 'ok' })).toBe(2);
    expect(worker.of('innkeeper_activity_seconds_count', { activity: 'act', result: 'ok' })).toBe(1);
    expect(worker.of('process_cpu_seconds_total')).toBeGreaterThan(0);

    const route = { method: 'POST', route: '/v1/users/:user/turns' };
    const gateway = await waitFor('the stream to be counted', async () => {
      const figures = await stage.gateway();
      return figures.of('innkeeper_event_streams_ended_total', { reason: 'done' }) === 1 && figures;
    });
    expect(gateway.of('innkeeper_http_requests_total', { ...route, status: '2xx' })).toBe(1);
    expect(gateway.of('innkeeper_http_request_seconds_count', route)).toBe(1);
    expect(gateway.sum('innkeeper_http_request_seconds_count', { route: '/v1/users/:user/events' })).toBe(0);
    expect(gateway.of('innkeeper_turns_submitted_total', { result: 'new' })).toBe(1);
    expect(gateway.of('innkeeper_event_streams')).toBe(0);
    expect(gateway.of('innkeeper_store_up')).toBe(1);
    expect(gateway.of('innkeeper_machines', { phase: 'ready' })).toBe(1);
    expect(gateway.of('innkeeper_machines', { phase: 'failed' })).toBe(0);
    expect(gateway.of('innkeeper_open_turns', { state: 'running' })).toBe(0);
    expect(gateway.of('innkeeper_machine_leases', { kind: 'terminal' })).toBe(0);

    expect((await stage.temporal()).text).toMatch(/^temporal_\w+\{.*\} \d/m);
  });

  it('leaves a machine whose leases are counted by their kind', async () => {
    const filesLeases = async () => (await stage.gateway()).of('innkeeper_machine_leases', { kind: 'files' });
    expect(await filesLeases()).toBe(0);
    await stage.sql(
      `insert into machine_leases (lease_id, user_id, generation, kind, holder, expires_at)
       values ('counted', $1, 1, 'files', 'a test', now() + interval '1 minute')`,
      [USER],
    );
    expect(await filesLeases()).toBe(1);
    await stage.sql(`update machine_leases set ended_at = clock_timestamp() where lease_id = 'counted'`);
    expect(await filesLeases()).toBe(0);
  });

  it('that is sent twice, or refused, is counted as that', async () => {
    const turn = { turnId: 'twice', prompt: 'hello' };
    const sent = [turn, turn, { ...turn, prompt: 'other' }, { turnId: 'x', prompt: ' ' }];
    for (const body of sent) await stage.ask(`/v1/users/${USER}/turns`, body);
    const gateway = await stage.gateway();
    for (const result of ['repeated', 'TURN_ID_REUSED', 'PROMPT_EMPTY']) {
      expect(gateway.of('innkeeper_turns_submitted_total', { result })).toBe(1);
    }
    await stage.ask(`/${CANARY}`, undefined, 'PATCH');
    expect(
      (await stage.gateway()).of('innkeeper_http_requests_total', {
        ...{ method: 'PATCH', route: 'unknown', status: '4xx' },
      }),
    ).toBe(1);
    await endOf(stage.stack.client, { userId: USER, turnId: 'twice' });
  });
});

describe('trouble', () => {
  it('with the provider, the model and a lost machine is told by its codes', { timeout: 2 * TURN_MS }, async () => {
    const userId = `${CANARY}-trouble`;
    expect(await tell(userId, '!model 429 1 20\n$ echo one')).toMatchObject({ state: 'completed' });
    await sleepNow(stage, userId);
    await makeTrouble(stage, { kind: 'revision-conflict', route: 'machines.wake', count: 1 }, userId);
    expect(await tell(userId, '$ echo two')).toMatchObject({ state: 'completed' });
    const cut = tell(userId, '$ echo on >> ~/cut.txt; sleep 60');
    await untilWritten(stage, userId, 'cut.txt');
    await stage.stack.emulator.call('POST', `/_emulator/machines/${await stage.machineId(userId)}/delete`);
    expect(await cut).toMatchObject({ state: 'completed' });
    expect(await tell(userId, '!model refuse\n$ echo three')).toMatchObject({ errorCode: 'MODEL_REFUSED' });

    const worker = await stage.worker();
    expect(worker.of('innkeeper_model_calls_total', { result: 'MODEL_RATE_LIMITED' })).toBe(1);
    expect(worker.of('innkeeper_activity_failures_total', { activity: 'think', code: 'MODEL_RATE_LIMITED' })).toBe(1);
    expect(worker.sum('innkeeper_provider_conflicts_total', { call: 'wake' })).toBe(1);
    expect(worker.of('innkeeper_provider_calls_total', { call: 'wake', result: 'REVISION_CONFLICT' })).toBe(1);
    expect(worker.of('innkeeper_wake_seconds_count')).toBe(1);
    expect(worker.of('innkeeper_commands_ended_total', { outcome: 'unknown' })).toBe(1);
    expect(worker.of('innkeeper_commands_unknown_total', { reason: 'machine_replaced' })).toBe(1);
    expect(worker.of('innkeeper_turns_ended_total', { outcome: 'failed', code: 'MODEL_REFUSED' })).toBe(1);
  });

  it('that the reconciler finds is counted by kind and action, a dry run left out', async () => {
    const lanes = await openLanes(stage.temporalAddress);
    try {
      const reconciler = createReconciler(stage, lanes);
      const stray = await makeStray(stage);
      await reconciler.run({ isDryRun: true });
      const found = { kind: 'unknown_machine', action: 'wait' };
      expect((await stage.worker()).sum('innkeeper_reconcile_findings_total', found)).toBe(0);
      await reconciler.until('the stray', isAbout(stray, 'unknown_machine'));
      expect((await stage.worker()).sum('innkeeper_reconcile_findings_total', found)).toBeGreaterThan(0);
    } finally {
      await lanes.close();
    }
  });
});

it('what was said, and by whom, is in no line of any of them', async () => {
  await sleepNow(stage, USER);
  const served = [await stage.worker(), await stage.gateway(), await stage.temporal()];
  for (const { text } of served) {
    expect(text.length).toBeGreaterThan(1_000);
    expect(text.toLowerCase()).not.toContain(CANARY);
  }
});
