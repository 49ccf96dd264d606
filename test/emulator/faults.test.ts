/** Goal: each fault strikes when, where and as often as it was asked to, and the ledger says so. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { SIZES, TestEmulator } from './support.js';

let emulator: TestEmulator;
let id: string;
beforeAll(async () => {
  emulator = await TestEmulator.start('g2');
  id = await emulator.machine();
});
afterAll(() => emulator.stop());
afterEach(() => emulator.admin('DELETE', '/faults'));

const get = () => emulator.call('GET', `/v1/machines/${id}`);

describe('a fault', () => {
  it.each([
    [409, 'REVISION_MISMATCH'],
    [412, 'PRECONDITION_FAILED'],
    [429, 'RATE_LIMITED'],
    [500, 'INTERNAL'],
    [502, 'BAD_GATEWAY'],
    [503, 'DEPENDENCY_UNAVAILABLE'],
  ])('can be a status %d, with and without retry hints', async (status, code) => {
    await emulator.fault('status', { status, retryAfterMs: 84, retryAfterHeaderMs: 1_500 });
    const hinted = await get();
    expect(hinted).toMatchObject({ status, body: { error_code: code, retry_after_ms: 84 } });
    expect([hinted.headers.get('retry-after'), hinted.headers.get('retry-after-ms')]).toEqual(['2', '1500']);
    await emulator.fault('status', { status });
    const bare = await get();
    expect(bare.body['retry_after_ms']).toBeUndefined();
    expect(bare.headers.get('retry-after')).toBe(null);
    expect((await get()).status).toBe(200);
  });

  it('strikes as often as it was told, on the route and machine it was told', async () => {
    const other = await emulator.machine();
    await emulator.fault('status', { status: 503, count: 2, match: { route: 'machines.get', machineId: id } });
    expect((await emulator.call('GET', `/v1/machines/${other}`)).status).toBe(200);
    expect((await emulator.call('GET', `/v1/machines/${id}/executions`)).status).toBe(200);
    expect([(await get()).status, (await get()).status, (await get()).status]).toEqual([503, 503, 200]);
    const hits = await emulator.ledger('fault.hit');
    expect(hits.slice(-2)).toMatchObject([
      { fault: 'status', route: 'machines.get', machineId: id },
      { fault: 'status', route: 'machines.get', machineId: id },
    ]);
  });

  it('can be a revision conflict on each change, although If-Match was right', async () => {
    const target = await emulator.machine();
    await emulator.fault('revision-conflict', { count: 4 });
    const ifMatch = '1';
    const path = `/v1/machines/${target}`;
    for (const [method, url, body] of [
      ['POST', `${path}/sleep`, undefined],
      ['POST', `${path}/wake`, undefined],
      ['PATCH', path, { vcpu: 2 }],
      ['DELETE', path, undefined],
    ] as const) {
      const answer = await emulator.call(method, url, { ifMatch, ...(body ? { body } : {}) });
      expect(answer).toMatchObject({ status: 409, body: { error_code: 'REVISION_MISMATCH', retryable: true } });
    }
    expect(await emulator.revision(target)).toBe('1');
  });

  it('can be the internal signature that wake and sleep miss on some fleets', async () => {
    await emulator.fault('internal-signature', { count: 2 });
    for (const verb of ['wake', 'sleep'] as const) {
      const answer = await emulator.change(id, verb);
      expect([answer.status, answer.body['message']]).toEqual([401, 'missing internal route signature']);
    }
  });

  it('can be a delete that answers 500 after it was committed', async () => {
    const target = await emulator.machine();
    await emulator.fault('error-after-commit', {
      status: 500,
      message: 'metering ledger',
      match: { route: 'machines.delete' },
    });
    expect((await emulator.change(target, 'delete')).status).toBe(500);
    await emulator.phase(target, 'destroyed');
  });

  it('can cut the answer in the middle of its JSON', async () => {
    await emulator.fault('cut-json');
    await expect(get()).rejects.toThrow();
    expect((await get()).status).toBe(200);
  });

  it('can be a list without items, an unknown phase and a stale read', async () => {
    await emulator.fault('null-items');
    expect((await emulator.call('GET', '/v1/machines')).body['items']).toBe(null);
    await emulator.fault('unknown-phase');
    expect((await get()).body['status']).toMatchObject({ phase: 'wake_pending' });
    const target = await emulator.machine();
    await emulator.change(target, 'sleep');
    await emulator.phase(target, 'sleeping');
    await emulator.fault('stale-read', { match: { machineId: target } });
    const stale = await emulator.call('GET', `/v1/machines/${target}`);
    expect((stale.body['status'] as { phase: string }).phase).not.toBe('sleeping');
    const fresh = await emulator.call('GET', `/v1/machines/${target}`);
    expect((fresh.body['status'] as { phase: string }).phase).toBe('sleeping');
  });

  it('can delay an answer before or after the change', async () => {
    const target = await emulator.machine();
    await emulator.fault('delay', { delayMs: 250, at: 'after', match: { route: 'machines.sleep' } });
    let isAnswered = false;
    const answer = emulator.change(target, 'sleep').then((result) => {
      isAnswered = true;
      return result;
    });
    await waitFor('the change is committed', async () => (await emulator.revision(target)) === '2');
    expect(isAnswered).toBe(false);
    expect((await answer).status).toBe(202);
  });

  it.each([
    'machine_not_routable',
    'machine_not_found',
    'host_agent_execute_failed',
    'execution_runner_prepare_failed',
  ])('can refuse an execution with %s inside a 200 document', async (code) => {
    await emulator.fault('execution-refusal', { code });
    const { document, output } = await emulator.exec(id, ['true']);
    expect(document).toMatchObject({ status: 'failed', error_code: code });
    expect('exit_code' in document).toBe(false);
    expect(output).toEqual({ execution_id: document['execution_id'] });
    expect((await emulator.exec(id, ['true'])).document['status']).toBe('succeeded');
  });

  it('can be a 503 just after running, or a machine that is running and not routable', async () => {
    await emulator.fault('not-routable-503');
    const answer = await emulator.call('POST', `/v1/machines/${id}/executions`, { body: { command: ['true'] } });
    expect(answer).toMatchObject({ status: 503, body: { error_code: 'DEPENDENCY_UNAVAILABLE', retryable: true } });
    await emulator.settings({ routableMs: 400 });
    const { body } = await emulator.call('POST', '/v1/machines', { body: SIZES });
    const target = String(body['machine_id']);
    await waitFor('it says running', async () => (await emulator.truth(target))['phase'] === 'running');
    expect((await emulator.exec(target, ['true'])).document['error_code']).toBe('machine_not_routable');
    await emulator.phase(target, 'running');
    expect((await emulator.exec(target, ['true'])).document['status']).toBe('succeeded');
    await emulator.settings({ routableMs: 0 });
  });

  it('can hold a machine in placement_pending until the faults are cleared', async () => {
    await emulator.fault('placement-pending', { match: { route: 'machines.create' } });
    const { body } = await emulator.call('POST', '/v1/machines', { body: SIZES });
    const target = String(body['machine_id']);
    const detail = await emulator.call('GET', `/v1/machines/${target}`);
    expect(detail.body['status']).toMatchObject({
      phase: 'placement_pending',
      reason: 'NoReadyHosts',
      retryable: true,
    });
    await emulator.admin('DELETE', '/faults');
    await emulator.phase(target, 'running');
    await emulator.change(target, 'sleep');
    await emulator.phase(target, 'sleeping');
    await emulator.fault('placement-pending', { match: { route: 'machines.wake' } });
    await emulator.change(target, 'wake');
    await emulator.phase(target, 'placement_pending');
    await emulator.change(target, 'delete');
    await emulator.phase(target, 'destroyed');
  });

  it('can lose the machine on wake', async () => {
    const target = await emulator.machine();
    await emulator.change(target, 'sleep');
    await emulator.phase(target, 'sleeping');
    await emulator.fault('runtime-wake-failed');
    await emulator.change(target, 'wake');
    await emulator.phase(target, 'failed');
    const detail = await emulator.call('GET', `/v1/machines/${target}`);
    expect(detail.body['status']).toMatchObject({ phase: 'failed', reason: 'RuntimeWakeFailed' });
    expect((detail.body['status'] as { last_error: string }).last_error).toBeTruthy();
  });

  it('can be had without the admin route, by reserved inputs', async () => {
    const stuck = await emulator.call('POST', '/v1/machines', { body: { ...SIZES, storage_gib: 1_404 } });
    expect(stuck.body['status']).toMatchObject({ phase: 'placement_pending', reason: 'NoReadyHosts' });
    const failed = await emulator.call('POST', '/v1/machines', { body: { ...SIZES, storage_gib: 1_500 } });
    expect(failed.body['status']).toMatchObject({ phase: 'failed', reason: 'StorageProvisioningFailed' });
    const foreign = await emulator.call('GET', '/v1/machines', {
      headers: { 'x-dedalus-org-id': 'org-of-someone-else' },
    });
    expect(foreign).toMatchObject({ status: 403, body: { error_code: 'AUTH_ORG_MISMATCH' } });
  });

  it('is refused when it is misspelt', async () => {
    const answer = await emulator.call('POST', '/_emulator/faults', { body: { kind: 'status', statsu: 500 } });
    expect(answer.status).toBe(422);
  });
});
