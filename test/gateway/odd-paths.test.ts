/**
 * Goal: what a path may hold, however odd, is answered in the shape of every other problem. Method: requests that no route can read,
 * and ids that Postgres cannot hold.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openGateway, type TestGateway } from './support/gateway.js';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openGateway();
});
afterAll(() => gateway.close());

describe('a path', () => {
  it.each([
    ['that cannot be decoded', '/v1/users/%ZZ', 400, 'INVALID_INPUT'],
    ['with a part beyond every bound', `/v1/users/${'x'.repeat(600)}`, 400, 'INVALID_INPUT'],
    ['with NUL for a user', '/v1/users/%00', 400, 'INVALID_USER_ID'],
    ['with NUL for a turn', '/v1/users/ada/turns/%00', 400, 'INVALID_TURN_ID'],
    ['with NUL for a command', '/v1/users/ada/outputs/%00', 404, 'OUTPUT_UNKNOWN'],
  ])('%s is answered as a problem with a code', async (_name, path, status, code) => {
    const answer = await gateway.ask(path);
    expect(answer).toMatchObject({ status, json: { status, code } });
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer.json['instance']).toMatch(/\S/);
  });
});
