/** Goal: one key is one effect, whatever is lost, repeated, changed or restarted in between. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newKey, SIZES, TestEmulator } from './support.js';

describe('an idempotency key', () => {
  let emulator: TestEmulator;
  beforeAll(async () => {
    emulator = await TestEmulator.start('g2');
  });
  afterAll(() => emulator.stop());
  const create = (key: string, body: unknown = SIZES) => emulator.call('POST', '/v1/machines', { body, key });

  it('is demanded on every change', async () => {
    const answer = await create('');
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ location: 'header.Idempotency-Key' }] } });
  });

  it('answers a repeated request with the first answer', async () => {
    const key = newKey();
    const first = await create(key);
    const again = await create(key);
    expect(again.body).toEqual(first.body);
    expect(again.status).toBe(first.status);
    expect(again.headers.get('etag')).toBe('"1"');
    const created = (await emulator.ledger('machine.created')).filter(
      (entry) => entry['machineId'] === first.body['machine_id'],
    );
    expect(created).toHaveLength(1);
  });

  it('refuses another body, with both hashes', async () => {
    const key = newKey();
    await create(key);
    const other = await create(key, { ...SIZES, vcpu: 2 });
    expect(other).toMatchObject({ status: 409, body: { error_code: 'IDEMPOTENCY_KEY_REUSED', retryable: false } });
    const details = other.body['details'] as Record<string, string>;
    expect(details['expected_request_hash']).toMatch(/^[0-9a-f]{8}$/);
    expect(details['provided_request_hash']).not.toBe(details['expected_request_hash']);
  });

  it('is told to wait while the first request is in flight', async () => {
    const key = newKey();
    await emulator.fault('delay', { delayMs: 300, match: { route: 'machines.create' } });
    const slow = create(key);
    let second = await create(newKey());
    second = await create(key);
    expect(second).toMatchObject({ status: 429, body: { error_code: 'RATE_LIMITED', retry_after_ms: 250 } });
    expect((await slow).status).toBe(202);
    expect((await create(key)).status).toBe(202);
  });

  it('finds the machine whose answer was lost after the commit', async () => {
    const key = newKey();
    const before = (await emulator.ledger('machine.created')).length;
    await emulator.fault('response-lost', { match: { route: 'machines.create' } });
    await expect(create(key)).rejects.toThrow();
    const retried = await create(key);
    expect(retried.status).toBe(202);
    expect(await emulator.ledger('machine.created')).toHaveLength(before + 1);
  });

  it('forgets refusals: the same key may be sent again', async () => {
    const id = await emulator.machine();
    const key = newKey();
    const sleep = (ifMatch: string) => emulator.call('POST', `/v1/machines/${id}/sleep`, { key, ifMatch });
    expect((await sleep('9')).status).toBe(409);
    expect((await sleep('1')).status).toBe(202);
    expect((await sleep('1')).status).toBe(202);
    expect(await emulator.revision(id)).toBe('2');
  });
});

it('an idempotency key survives a restart', async () => {
  const key = newKey();
  const first = await TestEmulator.start('g5');
  const created = await first.call('POST', '/v1/machines', { body: SIZES, key });
  await first.running.close();
  const second = await TestEmulator.start('g5', { dataDir: first.dataDir });
  const again = await second.call('POST', '/v1/machines', { body: SIZES, key });
  expect(again.body).toEqual(created.body);
  expect(second.running.apiKey).toBe(first.running.apiKey);
  await second.stop();
});
