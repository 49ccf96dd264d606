/**
 * Goal: machines behave as each generation of the API says: bodies, revisions, phases, sleep and its losses, errors.
 * Method: the wire by hand, with the emulator's admin route as the outside truth.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Profile } from '../../src/emulator/index.js';
import { SIZES, TestEmulator, type Document } from './support.js';

describe.each<Profile>(['g2', 'g3', 'g5', 'g6'])('a machine of %s', (profile) => {
  let emulator: TestEmulator;
  beforeAll(async () => {
    emulator = await TestEmulator.start(profile);
  });
  afterAll(() => emulator.stop());

  const isFlat = profile === 'g5' || profile === 'g6';
  const phaseIn = (body: Document): unknown =>
    isFlat ? body['phase'] : (body['status'] as Record<string, unknown>)['phase'];

  it('lives from create to destroyed, and its ledger tells it', async () => {
    const created = await emulator.call('POST', '/v1/machines', { body: SIZES });
    expect(created.status).toBe(202);
    expect(phaseIn(created.body)).toBe('accepted');
    expect('status' in created.body).toBe(!isFlat);
    expect('autosleep_seconds' in created.body).toBe(profile !== 'g2');
    expect(created.headers.get('etag')).toBe('"1"');
    expect(created.headers.get('x-dedalus-storage-operation-id')).toMatch(/^sop-/);
    const id = String(created.body['machine_id']);
    expect(id).toMatch(profile === 'g6' ? /^[0-9a-f]{8}-[0-9a-f]{4}-7/ : /^dm-[0-9a-f]{8}-[0-9a-f]{4}-7/);
    await emulator.phase(id, 'running');

    const detail = await emulator.call('GET', `/v1/machines/${id}`);
    expect(detail.body['status']).toMatchObject({ phase: 'running', revision: '1', reason: 'DesiredStateReached' });
    expect(detail.headers.get('etag')).toBe('"1"');
    const listed = await emulator.call('GET', '/v1/machines');
    expect(phaseIn((listed.body['items'] as Document[])[0] ?? {})).toBe('running');

    expect((await emulator.change(id, 'sleep')).status).toBe(202);
    await emulator.phase(id, 'sleeping');
    expect((await emulator.change(id, 'sleep')).status).toBe(200);
    expect((await emulator.change(id, 'wake')).status).toBe(202);
    await emulator.phase(id, 'running');
    expect((await emulator.change(id, 'wake')).status).toBe(200);
    expect(await emulator.revision(id)).toBe('3');
    expect((await emulator.change(id, 'delete')).status).toBe(202);
    await emulator.phase(id, 'destroyed');
    expect((await emulator.call('GET', `/v1/machines/${id}`)).status).toBe(404);
    expect((await emulator.call('GET', '/v1/machines')).body['items']).toEqual([]);

    const phases = (await emulator.ledger('machine.phase')).filter((entry) => entry['machineId'] === id);
    expect(phases.map((entry) => entry['to'])).toEqual([
      ...['placement_pending', 'starting', 'running', 'stopping', 'sleeping', 'starting', 'running'],
      ...['destroying', 'destroyed'],
    ]);
    const boots = (await emulator.ledger('machine.boot')).filter((entry) => entry['machineId'] === id);
    expect(new Set(boots.map((entry) => entry['bootId'])).size).toBe(2);
    const awake = (await emulator.truth(id))['awake'] as { startedAt: string; endedAt: string }[];
    expect(awake).toHaveLength(2);
    for (const { startedAt, endedAt } of awake)
      expect(Date.parse(endedAt)).toBeGreaterThanOrEqual(Date.parse(startedAt));
  });

  it('refuses a stale revision, and a missing one where the generation demands it', async () => {
    const id = await emulator.machine();
    const path = `/v1/machines/${id}`;
    const stale = await emulator.call('PATCH', path, { body: { vcpu: 2 }, ifMatch: '"7"' });
    expect(stale).toMatchObject({
      status: 409,
      body: {
        error_code: 'REVISION_MISMATCH',
        retryable: true,
        details: { expected_revision: '1', provided_revision: '7' },
      },
    });
    for (const [method, url] of [
      ['POST', `${path}/sleep`],
      ['POST', `${path}/wake`],
      ['DELETE', path],
    ] as const) {
      expect((await emulator.call(method, url, { ifMatch: '7' })).status).toBe(409);
      if (profile === 'g2') expect((await emulator.call(method, url)).status).toBe(422);
    }
    const changed = await emulator.call('PATCH', path, { body: { vcpu: 2.25 }, ifMatch: 'W/"1"' });
    expect([changed.status, changed.body['vcpu'], changed.headers.get('etag')]).toEqual([200, 2.25, '"2"']);
    await emulator.change(id, 'delete');
  });

  it('wakes by itself for an execution', async () => {
    const id = await emulator.machine();
    await emulator.change(id, 'sleep');
    await emulator.phase(id, 'sleeping');
    const created = await emulator.call('POST', `/v1/machines/${id}/executions`, { body: { command: ['true'] } });
    expect(created.body['status']).toBe('wake_in_progress');
    const { document } = await emulator.executionEnd(id, String(created.body['execution_id']));
    expect(document['status']).toBe('succeeded');
    expect(await emulator.revision(id)).toBe('3');
    await emulator.change(id, 'delete');
  });

  it('has only the routes of its generation', async () => {
    const id = await emulator.machine();
    const path = `/v1/machines/${id}`;
    const found = async (url: string): Promise<boolean> => (await emulator.call('GET', url)).status !== 404;
    expect({
      terminals: await found(`${path}/terminals`),
      previews: await found(`${path}/previews`),
      ports: await found(`${path}/ports`),
      artifacts: await found(`${path}/artifacts`),
      network: await found(`${path}/network`),
      autoresizing: await found(`${path}/autoresizing`),
      usage: await found('/v1/usage'),
      ssh: await found(`${path}/ssh`),
    }).toEqual({
      terminals: profile !== 'g6',
      previews: profile === 'g2' || profile === 'g3',
      ports: profile === 'g5',
      artifacts: profile !== 'g6',
      network: profile === 'g5',
      autoresizing: profile === 'g6',
      usage: profile === 'g3' || profile === 'g5',
      ssh: true,
    });
    await emulator.change(id, 'delete');
  });
});

describe('every generation', () => {
  let emulator: TestEmulator;
  beforeAll(async () => {
    emulator = await TestEmulator.start('g3');
  });
  afterAll(() => emulator.stop());

  it('asks for a key before it looks at anything else', async () => {
    expect((await emulator.call('GET', '/v1/nowhere', { apiKey: null })).body['error_code']).toBe('AUTH_REQUIRED');
    expect((await emulator.call('POST', '/v1/machines', { apiKey: 'wrong', body: '{' })).body['error_code']).toBe(
      'AUTH_INVALID',
    );
    const withOtherHeader = { apiKey: null, headers: { 'x-api-key': emulator.running.apiKey } };
    expect((await emulator.call('GET', '/v1/machines', withOtherHeader)).status).toBe(200);
    expect((await emulator.call('GET', '/_emulator/ledger', { apiKey: null })).status).toBe(401);
    const nowhere = await emulator.call('GET', '/v1/nowhere');
    expect([nowhere.status, nowhere.headers.get('content-type')]).toEqual([404, 'application/problem+json']);
  });

  it.each([
    ['an unknown key', { ...SIZES, image: 'ubuntu-24.04' }, 422, 'body.image'],
    ['a missing size', { vcpu: 1, memory_mib: 1_024 }, 422, 'body.storage_gib'],
    ['a size of the wrong type', { ...SIZES, vcpu: 'one' }, 422, 'body.vcpu'],
    ['a part of a quarter vCPU', { ...SIZES, vcpu: 0.3 }, 422, 'body.vcpu'],
    ['a strange autosleep', { ...SIZES, autosleep: 'soon' }, 422, 'body.autosleep'],
    ['too much memory', { ...SIZES, memory_mib: 1_000_000 }, 400, undefined],
    ['no JSON', '{"vcpu":', 400, undefined],
  ])('refuses %s as a problem', async (_what, body, status, location) => {
    const answer = await emulator.call('POST', '/v1/machines', { body });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/problem+json']);
    if (location !== undefined) expect(answer.body['errors']).toMatchObject([{ location }]);
    else expect(answer.body['detail']).toBeTruthy();
  });

  it.each([
    ['30s', 30],
    ['2h', 7_200],
    ['1w3d', 864_000],
    ['7d3h4s', 615_604],
    ['1800', 1_800],
    ['never', 0],
  ])('reads autosleep %s as %d seconds', async (autosleep, seconds) => {
    const { body } = await emulator.call('POST', '/v1/machines', { body: { ...SIZES, autosleep } });
    expect(body['autosleep_seconds']).toBe(seconds);
    await emulator.change(String(body['machine_id']), 'delete');
  });

  it('refuses impossible moves, and a disk that shrinks', async () => {
    const id = await emulator.machine();
    const path = `/v1/machines/${id}`;
    expect((await emulator.call('PATCH', path, { body: { storage_gib: 5 } })).status).toBe(400);
    await emulator.admin('POST', `/machines/${id}/crash`);
    const detail = await emulator.call('GET', path);
    expect(detail.body['status']).toMatchObject({ phase: 'failed', reason: 'RuntimeWakeFailed' });
    const refused = await emulator.call('POST', `${path}/sleep`);
    expect(refused).toMatchObject({ status: 409, body: { error_code: 'INVALID_STATE', retryable: false } });
    expect((await emulator.call('DELETE', path)).status).toBe(202);
    await emulator.phase(id, 'destroyed');
    expect((await emulator.call('POST', `${path}/wake`)).status).toBe(404);
  });

  it('hands out lists in pages that survive a deletion between two of them', async () => {
    const ids = [await emulator.machine(), await emulator.machine(), await emulator.machine()];
    const first = await emulator.call('GET', '/v1/machines?limit=1');
    expect((first.body['items'] as { machine_id: string }[]).map((item) => item.machine_id)).toEqual([ids[0]]);
    await emulator.change(ids[0] ?? '', 'delete');
    await emulator.phase(ids[0] ?? '', 'destroyed');
    const next = await emulator.call('GET', `/v1/machines?limit=5&cursor=${String(first.body['next_cursor'])}`);
    expect((next.body['items'] as { machine_id: string }[]).map((item) => item.machine_id)).toEqual(ids.slice(1));
    expect(next.body['next_cursor']).toBeUndefined();
    for (const id of ids.slice(1)) await emulator.change(id, 'delete');
  });

  it('streams a machine on its way, and ends the stream when it has arrived', async () => {
    const { body } = await emulator.call('POST', '/v1/machines', { body: SIZES });
    const id = String(body['machine_id']);
    const response = await fetch(`${emulator.running.url}/v1/machines/${id}/status/stream`, {
      headers: { authorization: `Bearer ${emulator.running.apiKey}`, accept: 'text/event-stream' },
    });
    const phases = [...(await response.text()).matchAll(/event: status\ndata: .*"phase":"(\w+)"/g)].map(
      ([, phase]) => phase,
    );
    expect(phases.slice(-2)).toEqual(['starting', 'running']);
    await emulator.change(id, 'delete');
  });
});
