/**
 * Goal: whatever comes, however odd, is answered in the shape of every other problem. Method: paths that no route can read, ids that
 * Postgres cannot hold, and bytes that are no request.
 */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
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

describe('bytes', () => {
  it.each([
    ['that are no HTTP', 'hello\r\n\r\n'],
    ['with a control character in a header', 'GET /v1/users/ada HTTP/1.1\r\nhost: x\r\nx-odd: \u0001\r\n\r\n'],
    ['with headers beyond every bound', `GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(20 * 1024)}\r\n\r\n`],
  ])('%s are answered as a problem too, and the connection ends', async (_name, bytes) => {
    const { hostname, port } = new URL(gateway.base);
    const socket = connect(Number(port), hostname);
    socket.write(bytes);
    const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    expect(head).toContain('content-type: application/problem+json');
    expect(JSON.parse(body)).toMatchObject({ status: 400, code: 'INVALID_INPUT' });
  });
});
